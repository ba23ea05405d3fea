"""Constructors for ops that come in families: they fill in what all members share, so that a record says only what is
its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from gradc.ir.dim import normalize_axis
from gradc.ir.errors import DTypeError, NotDifferentiableError, UnsupportedError
from gradc.ir.op import ELEMENTWISE, Op, Torch, define
from gradc.ir.types import DType, TensorType, broadcast_types, f32, i64, promote, tensor

ACCEPTS = {
    "any": ("bool", "int", "float"),
    "number": ("int", "float"),
    "float": ("float",),
    "integral": ("bool", "int"),
    "int": ("int",),
}
"""Which kinds of element type an elementwise op takes."""


def same_as_promoted(
    name: str,
    *,
    floating: bool = False,
    accepts: str = "any",
    kernel: str | None = None,
    no_bool: str | None = None,
    out: DType | None = None,
    by: str = "",
) -> Callable[..., Any]:
    """Type rule of elementwise ops: broadcast shapes, promote dtypes. `floating` turns integers into float32 (torch's
    rule for exp, div, ...); `out` fixes the result's dtype (comparisons); `by` names a number attribute that promotes
    like a Python number beside the tensors; other kinds than `accepts` are refused in the name of torch's `kernel`,
    bool by the sentence `no_bool` if there is one."""
    kinds = ACCEPTS[accepts]

    def infer(*types: TensorType, **attrs: Any) -> TensorType:
        first = types[0]
        same = types.count(first) == len(types)
        d = first.dtype if same else promote(*types)
        if by:
            d = beside_number(d, attrs.get(by))
        if d.kind == "bool" and no_bool is not None:
            raise DTypeError(no_bool)
        if d.kind not in kinds:
            refuse(kernel or f"{name}_cpu", d)
        if floating and not d.is_float:
            d = f32
        if out is not None:
            d = out
        if same and d is first.dtype:
            return first
        return tensor(broadcast_types(*types), d)

    return infer


def refuse(kernel: str, d: DType) -> NoReturn:
    """torch's sentence for a kernel that does not exist for an element type."""
    from .axis import SCALAR_NAMES

    raise UnsupportedError(f"\"{kernel}\" not implemented for '{SCALAR_NAMES[d.name]}'")


def beside_number(d: DType, *numbers: Any) -> DType:
    """The dtype of a tensor after arithmetic with Python numbers (None is absent)."""
    for n in numbers:
        if isinstance(n, float) and not d.is_float:
            d = f32
        elif n is not None and not isinstance(n, bool) and d.kind == "bool":
            d = i64
    return d


def is_number(x: Any) -> bool:
    """A Python (or NumPy scalar) number, as opposed to a tensor."""
    return isinstance(x, (bool, int, float, np.generic))


def zero(b: Any, ct: Any) -> Any:
    """The cotangent of an operand whose derivative is zero everywhere: torch gives zeros there, not None."""
    return b.scalar(0.0, ct.dtype)


def no_derivative(name: str) -> Callable[..., Any]:
    """The rule of an operand that torch has no derivative for."""

    def rule(b: Any, ct: Any) -> Any:
        raise NotDifferentiableError(f"derivative for aten::{name} is not implemented")

    return rule


def camel(name: str) -> str:
    return "".join(p.capitalize() for p in name.split("_"))


def unary_call(op: Any, input: Any) -> Any:
    return op(input)


def binary_call(op: Any, input: Any, other: Any) -> Any:
    return op(input, other)


def spelling(
    name: str,
    call: Callable[..., Any],
    *,
    also: Sequence[str] = (),
    names: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    inplace: bool = True,
) -> Torch:
    """gradc.<name>, Tensor.<name> and Tensor.<name>_, and the same under the names in `also`."""
    every = (name, *also)
    return Torch(
        call=call,
        names=every if names is None else tuple(names),
        methods=every if methods is None else tuple(methods),
        inplace=tuple(n + "_" for n in every) if inplace else (),
    )


def functional(name: str, call: Callable[..., Any], *more: str) -> Torch:
    """gradc.nn.functional.<name>, and the dotted names in `more`."""
    return Torch(call=call, names=(f"nn.functional.{name}", *more))


def elementwise(
    name: str,
    operands: Sequence[str],
    numpy: Callable[..., Any],
    formula: Callable[..., Any],
    adjoint: Mapping[str, Callable[..., Any]] | None = None,
    *,
    floating: bool = False,
    accepts: str = "any",
    kernel: str | None = None,
    no_bool: str | None = None,
    out: DType | None = None,
    by: str = "",
    infer: Callable[..., Any] | None = None,
    torch: Sequence[Torch] | None = None,
    also: Sequence[str] = (),
    inplace: bool = True,
    grad_fn: str | None = None,
    traits: frozenset[str] = frozenset(),
    **more: Any,
) -> Op:
    """Define `grad.<name>`, offered (unless `torch` says otherwise) under its own name and those in `also`."""
    if torch is None:
        torch = (spelling(name, unary_call if len(operands) == 1 else binary_call, also=also, inplace=inplace),)
    rule = same_as_promoted(
        name, floating=floating, accepts=accepts, kernel=kernel, no_bool=no_bool, out=out, by=by
    )
    return define(
        Op(
            name=f"grad.{name}",
            kind=ELEMENTWISE,
            operands=tuple(operands),
            results=("result",),
            infer=infer or rule,
            numpy=numpy,
            formula=formula,
            adjoint=adjoint or {},
            grad_fn=grad_fn or f"{camel(name)}Backward0",
            torch=tuple(torch),
            traits=frozenset({"promotes"}) | traits,
            **more,
        )
    )


def axes(dim: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """torch's `dim` argument of a reduction as sorted non-negative axes; None and () mean all."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(rank))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    out = tuple(sorted(normalize_axis(int(d), rank) for d in dims))
    if len(set(out)) != len(out):
        from gradc.ir.errors import GradRuntimeError

        raise GradRuntimeError(f"dim {out[0]} appears multiple times in the list of dims")
    return out if rank else ()


def reduced_shape(shape: tuple[int, ...], dims: Sequence[int], keepdim: bool) -> tuple[int, ...]:
    gone = set(dims)
    if keepdim:
        return tuple(1 if i in gone else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in gone)
