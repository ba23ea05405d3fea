"""einsum and the products that are spelled with it. Repeated labels, ellipses and broadcasting are resolved by the
call; the record sees one letter per dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradc.ir.dim import normalize_axis
from gradc.ir.errors import GradRuntimeError, ShapeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, tensor

from .contract import check_dtypes
from .equation import LETTERS, LOWER, UPPER, resolve
from .labels import arrange, pair, reduce_to
from .matrix import SCALARS
from .shape import normal


def split_equation(equation: str) -> tuple[list[str], str]:
    inputs, out = equation.split("->")
    return inputs.split(","), out


def _extents(types: Sequence[Any], labels: Sequence[str]) -> dict[str, int]:
    extents: dict[str, int] = {}
    for i, (t, ls) in enumerate(zip(types, labels, strict=True)):
        for label, d in zip(ls, t.shape, strict=True):
            if extents.setdefault(label, d) != d:
                raise ShapeError(
                    f"einsum(): subscript {label} has size {d} for operand {i} which does not broadcast with "
                    f"previously seen size {extents[label]}"
                )
    return extents


def _einsum_type(*types: TensorType, equation: str) -> TensorType:
    labels, out = split_equation(equation)
    extents = _extents(types, labels)
    d = types[0].dtype
    for t in types[1:]:
        d = check_dtypes(types[0], t, "bmm", SCALARS)
    return tensor(tuple(extents[label] for label in out), d)


def contract_all(
    b: Any, values: Sequence[Any], labels: Sequence[Sequence[str]], out: str, extents: dict[str, int]
) -> Any:
    """The product of labelled values, taken from left to right, with the labels `out`."""
    x, have = values[0], list(labels[0])
    for i in range(1, len(values)):
        later = {label for ls in labels[i + 1 :] for label in ls} | set(out)
        seen = [*have, *(v for v in labels[i] if v not in have)]
        keep = [v for v in seen if v in later]
        x, have = pair(b, x, have, values[i], labels[i], keep), keep
    x, have = reduce_to(b, x, have, set(out))
    return arrange(b, x, have, out, extents)


def _einsum_parts(b: Any, *operands: Any, equation: str) -> Any:
    labels, out = split_equation(equation)
    return contract_all(b, operands, labels, out, _extents(operands, labels))


def _einsum_adjoint(b: Any, ct: Any, operands: Any, index: int, equation: str) -> Any:
    labels, out = split_equation(equation)
    others = [i for i in range(len(operands)) if i != index]
    return contract_all(
        b,
        [ct, *(operands[i] for i in others)],
        [out, *(labels[i] for i in others)],
        labels[index],
        _extents(operands, labels),
    )


def _einsum_call(op: Any, equation: str, *operands: Any) -> Any:
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    tensors, canonical = resolve(equation, operands)
    return op(*tensors, equation=canonical)


def _tensordot_call(op: Any, a: Any, b: Any, dims: Any = 2) -> Any:
    if isinstance(dims, int):
        if dims < 0:
            raise GradRuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise GradRuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        pairs = [(a.ndim - dims + i, i) for i in range(dims)]
        given = [(i - dims, i) for i in range(dims)]
    else:
        left, right = dims
        if len(left) != len(right):
            raise GradRuntimeError("both dimension lists should have same length")
        given = list(zip(left, right, strict=True))
        pairs = [(normalize_axis(i, a.ndim), normalize_axis(j, b.ndim)) for i, j in given]
    for (i, j), (p, q) in zip(pairs, given, strict=True):
        if a.shape[i] != b.shape[j]:
            raise GradRuntimeError(
                f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {p} and second has size "
                f"{b.shape[j]} in dim {q}"
            )
    x = list(LETTERS[: a.ndim])
    y = list(LETTERS[a.ndim : a.ndim + b.ndim])
    for i, j in pairs:
        y[j] = x[i]
    out = [v for v in x if v not in y] + [v for v in y if v not in x]
    return op(a, b, equation=f"{''.join(x)},{''.join(y)}->{''.join(out)}")


def _inner_call(op: Any, input: Any, other: Any) -> Any:
    if input.ndim == 0 or other.ndim == 0:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise GradRuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    x, y = LOWER[: input.ndim - 1], UPPER[: other.ndim - 1]
    return op(input, other, equation=f"{x}z,{y}z->{x}{y}")


def _outer_call(op: Any, self: Any, vec2: Any) -> Any:
    for name, t in (("self", self), ("vec2", vec2)):
        if t.ndim != 1:
            raise GradRuntimeError(f"outer: Expected 1-D argument {name}, but got {t.ndim}-D")
    return self.reshape(-1, 1) * vec2


def _bilinear_call(op: Any, input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    if weight.ndim != 3:
        raise GradRuntimeError(f"bilinear(): weight must have three dimensions, got {weight.ndim}")
    for i, x in enumerate((input1, input2)):
        if x.shape[-1] != weight.shape[1 + i]:
            raise GradRuntimeError(
                f"bilinear(): input{i + 1} size does not match weight size: got {x.shape[-1]} but expected "
                f"{weight.shape[1 + i]}"
            )
    for i, (p, q) in enumerate(zip(input1.shape[:-1], input2.shape[:-1], strict=True)):
        if p != q:
            raise GradRuntimeError(f"bilinear(): input batch dimensions do not match at dim {i}: got {p} and {q}")
    lead = LOWER[: input1.ndim - 1]
    out = op(input1, weight, input2, equation=f"{lead}X,ZXY,{lead}Y->{lead}Z")
    return out if bias is None else out + bias


EINSUM = define(
    Op(
        name="grad.einsum",
        kind=COMPOSITE,
        operands=("operands*",),
        results=("result",),
        attrs={"equation": "str"},
        infer=_einsum_type,
        decompose=_einsum_parts,
        adjoint={"operands": _einsum_adjoint},
        grad_fn="ViewBackward0",
        flops=2,
        torch=(
            Torch(_einsum_call, ("einsum",)),
            Torch(_tensordot_call, ("tensordot",)),
            Torch(_inner_call, ("inner",), ("inner",)),
            Torch(_outer_call, ("outer", "ger"), ("outer", "ger")),
            Torch(_bilinear_call, ("nn.functional.bilinear",)),
        ),
        sample=lambda rng: [
            ((normal(rng, 2, 3), normal(rng, 3, 4)), {"equation": "ij,jk->ki"}),
            ((normal(rng, 2, 3),), {"equation": "ij->j"}),
            ((normal(rng, 2, 3), normal(rng, 2), normal(rng, 3, 2)), {"equation": "ab,a,bc->c"}),
            ((normal(rng, 2), normal(rng, 3)), {"equation": "a,b->"}),
        ],
        doc="A sum of products by labelled dimensions; the equation is explicit, no label repeats in an operand.",
    )
)
