"""Ops that pass one of their operands on: where, masked_fill, maximum, minimum. Ties and NaN follow torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError, GradRuntimeError
from gradc.ir.op import Op
from gradc.ir.types import TensorType, broadcast_types, i1, promote, tensor

from .axis import SCALAR_NAMES
from .family import binary_call, elementwise, is_number, spelling
from .sampling import both, masks, reals

REAL = (-2.0, 2.0)


def _where_type(condition: TensorType, self: TensorType, other: TensorType) -> TensorType:
    if condition.dtype is not i1:
        got = SCALAR_NAMES[condition.dtype.name]
        raise DTypeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype {got}")
    return tensor(broadcast_types(condition, self, other), promote(self, other))


def _where_call(op: Any, condition: Any, input: Any, other: Any) -> Any:
    return op(condition, input, other)


def _masked(entries: Callable[..., Any], at: int) -> Callable[..., Any]:
    """Samples with the operand at this position turned into a mask."""

    def sample(rng: Any) -> list[tuple[Any, ...]]:
        out = []
        for xs, *rest in entries(rng):
            out.append(([x > 0 if i == at else x for i, x in enumerate(xs)], *rest))
        return out

    return sample


WHERE = elementwise(
    "where",
    ("condition", "self", "other"),
    np.where,
    lambda b, condition, self, other: b.select(condition, self, other),
    {
        "self": lambda b, ct, condition: b.where(condition, ct, 0.0),
        "other": lambda b, ct, condition: b.where(condition, 0.0, ct),
    },
    infer=_where_type,
    saved={"condition": "condition"},
    edges=("self", "other"),
    torch=(
        spelling("where", _where_call, methods=(), inplace=False),
        spelling("where", lambda op, self, condition, other: op(condition, self, other), names=(), inplace=False),
    ),
    traits=frozenset({"keeps:condition"}),
    sample=both(
        _masked(reals(REAL, REAL, REAL), 0),
        lambda rng: [([np.asarray([True, False]), np.asarray([1, 2]), np.asarray([0.5, 1.5], np.float32)], {})],
    ),
)


def _masked_fill_type(self: TensorType, mask: TensorType, *rest: TensorType, value: float | None = None) -> TensorType:
    if mask.dtype is not i1:
        got = mask.dtype.torch_name.replace("int64", "long int").replace("int32", "int")
        raise DTypeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {got}")
    for t in rest:
        if t.ndim:
            raise GradRuntimeError(
                f"masked_fill only supports a 0-dimensional value tensor, but got tensor with {t.ndim} dimension(s)."
            )
        if promote(self, t) is not self.dtype:
            got, want = SCALAR_NAMES[t.dtype.name], SCALAR_NAMES[self.dtype.name]
            raise DTypeError(f"result type {got} can't be cast to the desired output type {want}")
    return tensor(broadcast_types(self, mask), self.dtype)


def _masked_fill_call(op: Any, input: Any, mask: Any, value: Any) -> Any:
    if is_number(value):
        return op(input, mask, value=value)
    return op(input, mask, value, record=MASKED_FILL_TENSOR)


MASKED_FILL = elementwise(
    "masked_fill",
    ("self", "mask"),
    lambda x, mask, value: np.where(mask, np.asarray(value).astype(x.dtype), x),
    lambda b, self, mask, value: b.select(mask, b.scalar(value, self.dtype), self),
    {"self": lambda b, ct, mask: b.where(mask, 0.0, ct)},
    attrs={"value": "number"},
    infer=_masked_fill_type,
    saved={"mask": "mask"},
    edges=("self",),
    torch=(spelling("masked_fill", _masked_fill_call),),
    traits=frozenset({"keeps:mask"}),
    sample=_masked(reals(REAL, REAL, attrs=({"value": 3.0}, {"value": float("-inf")}), ints=True), 1),
)
MASKED_FILL_TENSOR = elementwise(
    "masked_fill_tensor",
    ("self", "mask", "value"),
    lambda x, mask, value: np.where(mask, value, x),
    lambda b, self, mask, value: b.select(mask, value, self),
    {
        "self": lambda b, ct, mask: b.where(mask, 0.0, ct),
        "value": lambda b, ct, mask: b.where(mask, ct, 0.0),
    },
    infer=_masked_fill_type,
    grad_fn="MaskedFillBackward1",
    saved={"mask": "mask"},
    edges=("self", "value"),
    torch=(),
    traits=frozenset({"keeps:mask"}),
    sample=lambda rng: [
        ([x, m, np.float32(1.5).reshape(())], {}, "masked_fill") for (x, m), _ in _masked(reals(REAL, REAL), 1)(rng)
    ],
)


def _tied(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    a, b = (rng.integers(-1, 2, (4, 5)).astype(np.float32) for _ in range(2))
    return [([a, b], {})]


def _extreme(name: str, numpy: Callable[..., Any], beyond: str, of_bools: str) -> Op:
    """maximum and minimum: NaN wins; a tie halves the cotangent, a NaN passes it to both."""

    def formula(b: Any, self: Any, other: Any) -> Any:
        return b.call(of_bools if self.dtype is i1 else name, self, other)

    def rule(b: Any, ct: Any, mine: Any, theirs: Any) -> Any:
        shared = b.where(mine.eq(theirs), ct * 0.5, ct)
        return b.where(b.call(beyond, mine, theirs), 0.0, shared)

    return elementwise(
        name,
        ("self", "other"),
        numpy,
        formula,
        {
            "self": lambda b, ct, self, other: rule(b, ct, self, other),
            "other": lambda b, ct, self, other: rule(b, ct, other, self),
        },
        saved={"self": "self", "other": "other"},
        torch=(spelling(name, binary_call, inplace=False),),
        traits=frozenset({"commutative"}),
        sample=both(reals(REAL, REAL, ints=True), _tied, masks(2)),
    )


MAXIMUM = _extreme("maximum", np.maximum, "lt", "bitwise_or")
MINIMUM = _extreme("minimum", np.minimum, "gt", "bitwise_and")


def _extreme_number(name: str, numpy: Callable[..., Any], plain: str, keeps: str, of_bools: str) -> Op:
    """fmax and fmin: a number wins over NaN; the first operand gets the cotangent of a tie."""

    def formula(b: Any, self: Any, other: Any) -> Any:
        if not self.dtype.is_float:
            return b.call(of_bools if self.dtype is i1 else plain, self, other)
        return b.select(self.eq(self), b.select(other.eq(other), b.call(plain, self, other), self), other)

    def first(b: Any, self: Any, other: Any) -> Any:
        return b.call(keeps, self, other) | b.isnan(other)

    return elementwise(
        name,
        ("self", "other"),
        numpy,
        formula,
        {
            "self": lambda b, ct, self, other: b.where(first(b, self, other), ct, 0.0),
            "other": lambda b, ct, self, other: b.where(first(b, self, other), 0.0, ct),
        },
        saved={"self": "self", "other": "other"},
        torch=(spelling(name, binary_call, inplace=False),),
        sample=both(reals(REAL, REAL, ints=True), _tied, masks(2)),
    )


FMAX = _extreme_number("fmax", np.fmax, "maximum", "ge", "bitwise_or")
FMIN = _extreme_number("fmin", np.fmin, "minimum", "le", "bitwise_and")
