"""clamp in all its forms, and nan_to_num. The cotangent passes on the closed interval [min, max]; NaN gets none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import Op
from gradc.ir.types import TensorType, dtype, tensor

from .family import beside_number, elementwise, is_number, spelling
from .sampling import Entry, both, reals

REAL = (-2.0, 2.0)


def _bound_type(self: TensorType, *, min: float | None = None, max: float | None = None) -> TensorType:
    d = beside_number(self.dtype, min, max)
    for bound in (min, max):
        if d.kind == "int" and bound is not None and not np.iinfo(d.numpy).min <= bound <= np.iinfo(d.numpy).max:
            raise GradRuntimeError(f"value cannot be converted to type {d.torch_name}_t without overflow")
    return self if d is self.dtype else tensor(self.shape, d)


def bounded(x: Any, min: float | None, max: float | None) -> tuple[Any, Any, Any]:
    """The operand and its bounds in the dtype of the result."""
    d = beside_number(dtype(x.dtype), min, max).numpy
    return x.astype(d), *(None if v is None else d.type(v) for v in (min, max))


def _clamp(x: Any, min: float | None = None, max: float | None = None) -> Any:
    x, low, high = bounded(x, min, max)
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def clamp_formula(b: Any, self: Any, min: float | None = None, max: float | None = None) -> Any:
    d = beside_number(self.dtype, min, max)
    x = self if d is self.dtype else b.convert(self, dtype=d)
    x = x if min is None else b.maximum(x, b.scalar(min, d))
    return x if max is None else b.minimum(x, b.scalar(max, d))


def _clamp_rule(b: Any, ct: Any, self: Any, min: float | None = None, max: float | None = None) -> Any:
    return b.where(_inside(self, min, max), ct, 0.0)


def _inside(x: Any, low: Any, high: Any) -> Any:
    if low is None or high is None:
        return x <= high if low is None else x >= low
    return (x >= low) & (x <= high)


def _clamp_call(op: Any, input: Any, min: Any = None, max: Any = None) -> Any:
    if min is None and max is None:
        raise GradRuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if all(v is None or is_number(v) for v in (min, max)):
        return op(input, min=min, max=max)
    if max is None:
        return op(input, min, record=CLAMP_MIN_TENSOR, grad_fn="ClampBackward0")
    if min is None:
        return op(input, max, record=CLAMP_MAX_TENSOR, grad_fn="ClampBackward0")
    return op(input, min, max, record=CLAMP_TENSOR)


CLAMP = elementwise(
    "clamp",
    ("self",),
    _clamp,
    clamp_formula,
    {"self": lambda b, ct, self, min, max: _clamp_rule(b, ct, self, min, max)},
    attrs={"min": "number?", "max": "number?"},
    infer=_bound_type,
    grad_fn="ClampBackward1",
    saved={"self": "self", "min": "min", "max": "max"},
    torch=(spelling("clamp", _clamp_call, also=("clip",)),),
    sample=both(
        reals(REAL, attrs=({"min": -1.0, "max": 0.5}, {"min": 0.25}, {"max": 0.25})),
        lambda rng: [
            ([np.asarray([-1.0, -0.5, 0.0, 0.5, 1.0], np.float32)], {"min": -0.5, "max": 0.5}),
            ([np.arange(-3, 4)], {"min": -1, "max": 2}),
            ([np.arange(-3, 4)], {"min": -0.5}),
        ],
    ),
)


def _one_sided(side: str, tile: str, numpy: Callable[..., Any], outside: str) -> tuple[Op, Op]:
    """clamp_min or clamp_max by a number, and by a tensor."""
    name = f"clamp_{side}"

    def call(op: Any, input: Any, bound: Any) -> Any:
        return op(input, **{side: bound}) if is_number(bound) else op(input, bound, record=by_tensor)

    spelled = {
        "min": lambda op, input, min: call(op, input, min),
        "max": lambda op, input, max: call(op, input, max),
    }
    rules = {
        "min": lambda b, ct, self, min: _clamp_rule(b, ct, self, min, None),
        "max": lambda b, ct, self, max: _clamp_rule(b, ct, self, None, max),
    }
    bound_rules = {
        "min": lambda b, ct, self, min: b.where(b.call(outside, self, min), ct, 0.0),
        "max": lambda b, ct, self, max: b.where(b.call(outside, self, max), ct, 0.0),
    }
    by_number = elementwise(
        name,
        ("self",),
        _clamp,
        clamp_formula,
        {"self": rules[side]},
        attrs={side: "number"},
        infer=_bound_type,
        saved={"self": "self", side: side},
        torch=(spelling(name, spelled[side]),),
        sample=reals(REAL, attrs=({side: 0.25},)),
    )
    by_tensor = elementwise(
        f"{name}_tensor",
        ("self", side),
        numpy,
        lambda b, *xs: b.call(tile, *xs),
        {"self": rules[side], side: bound_rules[side]},
        grad_fn=f"Clamp{side.capitalize()}Backward1",
        saved={"self": "self", side: side},
        torch=(),
        sample=reals(REAL, REAL, ints=True, torch=name),
    )
    return by_number, by_tensor


CLAMP_MIN, CLAMP_MIN_TENSOR = _one_sided("min", "maximum", np.maximum, "lt")
CLAMP_MAX, CLAMP_MAX_TENSOR = _one_sided("max", "minimum", np.minimum, "gt")
def _three_samples(rng: Any) -> list[Entry]:
    """Bounds in and out of order; of one shape, because torch's gradients fail when the bounds have more elements."""
    ordered = reals(REAL, (-1.0, 0.2), (0.0, 1.0), torch="clamp")(rng)
    every = [*ordered, *reals(REAL, REAL, REAL, torch="clamp", ints=True)(rng)]
    return [entry for entry in every if len({x.shape for x in entry[0]}) == 1]


CLAMP_TENSOR = elementwise(
    "clamp_tensor",
    ("self", "min", "max"),
    lambda x, low, high: np.minimum(np.maximum(x, low), high),
    lambda b, self, min, max: b.minimum(b.maximum(self, min), max),
    {
        "self": lambda b, ct, self, min, max: b.where(_inside(self, min, max), ct, 0.0),
        "min": lambda b, ct, self, min, max: b.where((self < min) & (min < max), ct, 0.0),
        "max": lambda b, ct, self, min, max: b.where((self > max) | (max < min), ct, 0.0),
    },
    grad_fn="ClampBackward0",
    saved={"self": "self", "min": "min", "max": "max"},
    torch=(),
    sample=_three_samples,
)


def _limits(d: Any, nan: float, posinf: float | None, neginf: float | None) -> tuple[float, float, float]:
    top = float(np.finfo(d.numpy).max) if d.bits > 16 or d.name == "f16" else 3.3895313892515355e38
    return nan, top if posinf is None else posinf, -top if neginf is None else neginf


def _nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    if x.dtype.kind != "f":
        return x
    n, p, m = _limits(dtype(x.dtype), nan, posinf, neginf)
    return np.nan_to_num(x, nan=n, posinf=p, neginf=m)


def _nan_to_num_formula(
    b: Any, self: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    d = self.dtype
    if not d.is_float:
        return self
    n, p, m = (b.scalar(v, d) for v in _limits(d, nan, posinf, neginf))
    inf = float("inf")
    return b.select(self.eq(self), b.select(self.eq(inf), p, b.select(self.eq(-inf), m, self)), n)


def _nan_to_num_call(
    op: Any, input: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Any:
    if input.dtype.is_half:
        _, posinf, neginf = _limits(input.dtype, 0.0, posinf, neginf)
    return op(input, nan=0.0 if nan is None else float(nan), posinf=posinf, neginf=neginf)


NAN_TO_NUM = elementwise(
    "nan_to_num",
    ("self",),
    _nan_to_num,
    _nan_to_num_formula,
    {"self": lambda b, ct, self: b.where(b.isfinite(self), ct, 0.0)},
    attrs={"nan": "float?", "posinf": "float?", "neginf": "float?"},
    saved={"self": "self"},
    torch=(spelling("nan_to_num", _nan_to_num_call),),
    sample=lambda rng: [
        ([np.asarray([[1.0, np.nan, -0.5], [np.inf, -np.inf, 3.0]], np.float32)], at)
        for at in ({}, {"nan": 1.0, "posinf": 2.0, "neginf": -2.0})
    ],
)
