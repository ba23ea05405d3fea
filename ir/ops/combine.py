"""Elementwise ops of two and three operands built from arithmetic: copysign, hypot, lerp, addcmul, addcdiv."""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError, GradRuntimeError
from gradc.ir.formulas_power import hypot
from gradc.ir.types import TensorType

from .axis import SCALAR_NAMES
from .family import beside_number, elementwise, is_number, same_as_promoted, spelling, zero
from .sampling import both, reals

REAL = (-2.0, 2.0)
POSITIVE = (0.3, 3.0)


def _copysign_formula(b: Any, self: Any, other: Any) -> Any:
    a = b.abs(self)
    return b.select((other < 0.0) | (other.eq(0.0) & (1.0 / other < 0.0)), -a, a)


COPYSIGN = elementwise(
    "copysign",
    ("self", "other"),
    np.copysign,
    _copysign_formula,
    {
        "self": lambda b, ct, self, result: ct * b.where(self.eq(0.0), 0.0, result / self),
        "other": zero,
    },
    floating=True,
    saved={"self": "self", "result": "result"},
    doc="The magnitude of self with the sign of other. The sign of a NaN counts as plus in kernels.",
    sample=reals(REAL, REAL, ints=True),
)

HYPOT = elementwise(
    "hypot",
    ("self", "other"),
    np.hypot,
    hypot,
    {
        "self": lambda b, ct, self, result: ct * (self / result),
        "other": lambda b, ct, other, result: ct * (other / result),
    },
    accepts="float",
    saved={"self": "self", "other": "other", "result": "result"},
    sample=reals(REAL, POSITIVE),
)


def _lerp(self: Any, end: Any, weight: Any) -> Any:
    return np.where(np.abs(weight) < 0.5, self + weight * (end - self), end - (end - self) * (1 - weight))


def _lerp_formula(b: Any, self: Any, end: Any, weight: Any) -> Any:
    step = end - self
    if isinstance(weight, float):
        return self + step * weight if abs(weight) < 0.5 else end - step * (1.0 - weight)
    return b.select(b.abs(weight) < 0.5, self + step * weight, end - step * (1.0 - weight))


def _lerp_type(self: TensorType, end: TensorType, *rest: TensorType, weight: float = nan) -> TensorType:
    for name, t in zip(("end", "weight"), (end, *rest), strict=False):
        if t.dtype is not self.dtype:
            got, want = SCALAR_NAMES[t.dtype.name].lower(), SCALAR_NAMES[self.dtype.name].lower()
            raise DTypeError(f"expected dtype {want} for `{name}` but got dtype {got}")
    out: TensorType = _lerp_promoted(self, end, *rest)
    return out


_lerp_promoted = same_as_promoted("lerp", accepts="float", kernel="lerp_kernel_scalar")


def _lerp_call(op: Any, input: Any, end: Any, weight: Any) -> Any:
    if is_number(weight):
        return op(input, end, weight=float(weight))
    return op(input, end, weight, record=LERP_TENSOR)


LERP = elementwise(
    "lerp",
    ("self", "end"),
    _lerp,
    _lerp_formula,
    {
        "self": lambda b, ct, weight: ct * (1.0 - weight),
        "end": lambda b, ct, weight: ct * weight,
    },
    attrs={"weight": "float"},
    infer=_lerp_type,
    saved={"weight": "weight"},
    torch=(spelling("lerp", _lerp_call),),
    sample=reals(REAL, REAL, attrs=({"weight": 0.3}, {"weight": 0.75})),
)

LERP_TENSOR = elementwise(
    "lerp_tensor",
    ("self", "end", "weight"),
    _lerp,
    _lerp_formula,
    {
        "self": lambda b, ct, weight: ct * (1.0 - weight),
        "end": lambda b, ct, weight: ct * weight,
        "weight": lambda b, ct, self, end: ct * (end - self),
    },
    infer=_lerp_type,
    grad_fn="LerpBackward1",
    saved={"self": "self", "end": "end", "weight": "weight"},
    torch=(),
    sample=reals(REAL, REAL, (0.0, 1.0), torch="lerp"),
)

_promoted = same_as_promoted("addcmul")


def _addcmul_type(self: TensorType, tensor1: TensorType, tensor2: TensorType, *, value: float = 1) -> TensorType:
    out: TensorType = _promoted(self, tensor1, tensor2)
    if beside_number(out.dtype, value) is not out.dtype:
        raise GradRuntimeError(f"value cannot be converted to type {out.dtype.torch_name} without overflow")
    return out


def _addcdiv_type(self: TensorType, tensor1: TensorType, tensor2: TensorType, *, value: float = 1) -> TensorType:
    if not (tensor1.dtype.is_float or tensor2.dtype.is_float):
        raise DTypeError(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a "
            "true division of tensor1 and tensor2."
        )
    return _addcmul_type(self, tensor1, tensor2, value=value)


def _three(op: Any, input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    return op(input, tensor1, tensor2, value=value)


ADDCMUL = elementwise(
    "addcmul",
    ("self", "tensor1", "tensor2"),
    lambda self, tensor1, tensor2, value=1: self + value * tensor1 * tensor2,
    lambda b, self, tensor1, tensor2, value=1: self + tensor1 * tensor2 * value,
    {
        "self": lambda b, ct: ct,
        "tensor1": lambda b, ct, tensor2, value: ct * tensor2 * value,
        "tensor2": lambda b, ct, tensor1, value: ct * tensor1 * value,
    },
    attrs={"value": "number"},
    infer=_addcmul_type,
    saved={"tensor1": "tensor1", "tensor2": "tensor2", "value": "value"},
    torch=(spelling("addcmul", _three),),
    sample=both(
        reals(REAL, REAL, REAL, attrs=({"value": 1}, {"value": 0.5})),
        reals(REAL, REAL, REAL, ints=True, attrs=({"value": 2},)),
    ),
)

ADDCDIV = elementwise(
    "addcdiv",
    ("self", "tensor1", "tensor2"),
    lambda self, tensor1, tensor2, value=1: self + value * (tensor1 / tensor2),
    lambda b, self, tensor1, tensor2, value=1: self + tensor1 / tensor2 * value,
    {
        "self": lambda b, ct: ct,
        "tensor1": lambda b, ct, tensor2, value: ct * value / tensor2,
        "tensor2": lambda b, ct, tensor1, tensor2, value: -ct * value * tensor1 / (tensor2 * tensor2),
    },
    attrs={"value": "number"},
    infer=_addcdiv_type,
    saved={"tensor1": "tensor1", "tensor2": "tensor2", "value": "value"},
    torch=(spelling("addcdiv", _three),),
    sample=reals(REAL, REAL, POSITIVE, attrs=({"value": 1}, {"value": 0.5})),
)
