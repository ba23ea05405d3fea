"""Distributions, made of Philox words: uniform, normal, integers, Bernoulli, and dropout.

All take a seed and an offset as operands (0-d int64; see philox.py for what a draw uses up), and none keeps its
numbers: dropout's adjoint draws the mask again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError, GradRuntimeError, GradValueError
from gradc.ir.op import ELEMENTWISE, RANDOM, Op, define
from gradc.ir.types import DType, TensorType, f32, f64, i64, tensor, u32

from .philox import philox_type, scalars
from .shape import normal as sample_normal

MANTISSA = {"f32": 24, "f16": 11, "bf16": 8}
"""The bits of a word that a float of this type holds exactly, so that a number below 1 stays below 1."""


def _unit_type(x: TensorType, *, bits: int, dtype: DType) -> TensorType:
    if x.dtype is not u32 or not dtype.is_float or not 0 < bits <= 32:
        raise DTypeError(f"unit_float: expected bits of dtype uint32 and a float dtype, got {x} and {dtype}")
    return tensor(x.shape, dtype)


def _unit_formula(b: Any, self: Any, bits: int, dtype: DType) -> Any:
    d = dtype.compute
    return b.convert(self >> b.scalar(32 - bits, u32), dtype=d) * b.scalar(2.0**-bits, d)


UNIT_FLOAT = define(
    Op(
        name="grad.unit_float",
        kind=ELEMENTWISE,
        operands=("self",),
        results=("result",),
        attrs={"bits": "int", "dtype": "dtype"},
        infer=_unit_type,
        numpy=lambda x, bits, dtype: np.ldexp((x >> np.uint32(32 - bits)).astype(np.float64), -bits),
        formula=_unit_formula,
        sample=lambda rng: [
            ((np.array([0, 1, 255, 2**31, 2**32 - 1], np.uint32),), {"bits": 24, "dtype": f32}),
            ((np.array([[0, 2**32 - 1]], np.uint32),), {"bits": 27, "dtype": f64}),
        ],
        doc="The upper bits of a word as a number in [0, 1).",
    )
)


def _shape_type(seed: TensorType, offset: TensorType, *, shape: tuple[int, ...], dtype: DType, **_: Any) -> TensorType:
    philox_type(seed, offset, shape=shape)
    return tensor(shape, dtype)


def _float_type(name: str) -> Any:
    def infer(seed: TensorType, offset: TensorType, *, shape: tuple[int, ...], dtype: DType, stream: int = 0) -> Any:
        if not dtype.is_float:
            raise DTypeError(f"{name}: expected a floating-point dtype, got {dtype.torch_name}")
        return _shape_type(seed, offset, shape=shape, dtype=dtype)

    return infer


def _uniform_parts(b: Any, seed: Any, offset: Any, shape: tuple[int, ...], dtype: DType, stream: int = 0) -> Any:
    word = b.philox(seed, offset, shape=shape, stream=2 * stream)
    if dtype is not f64:
        return b.unit_float(word, bits=MANTISSA[dtype.name], dtype=dtype)
    fine = b.philox(seed, offset, shape=shape, stream=2 * stream + 1)
    low = b.unit_float(fine, bits=26, dtype=f64) * b.scalar(2.0**-27, f64)
    return b.unit_float(word, bits=27, dtype=f64) + low


UNIFORM = define(
    Op(
        name="grad.uniform",
        kind=RANDOM,
        operands=("seed", "offset"),
        results=("result",),
        attrs={"shape": "ints", "dtype": "dtype", "stream": "int?"},
        infer=_float_type("uniform"),
        decompose=_uniform_parts,
        sample=lambda rng: [
            (scalars(rng), {"shape": (3, 5), "dtype": f32}),
            (scalars(rng), {"shape": (7,), "dtype": f64}),
        ],
        doc="Uniform in [0, 1), with as many bits as the dtype holds.",
    )
)


def _normal_parts(b: Any, seed: Any, offset: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    d = dtype.compute
    radius = b.uniform(seed, offset, shape=shape, dtype=d, stream=0)
    angle = b.uniform(seed, offset, shape=shape, dtype=d, stream=1)
    length = b.sqrt(b.log(b.scalar(1.0, d) - radius) * b.scalar(-2.0, d))
    out = length * b.cos(angle * b.scalar(2 * math.pi, d))
    return out if dtype is d else b.convert(out, dtype=dtype)


NORMAL = define(
    Op(
        name="grad.normal",
        kind=RANDOM,
        operands=("seed", "offset"),
        results=("result",),
        attrs={"shape": "ints", "dtype": "dtype"},
        infer=_float_type("normal"),
        decompose=_normal_parts,
        doc="Normal with mean 0 and variance 1, by Box and Muller.",
    )
)


def _randint_type(
    seed: TensorType, offset: TensorType, *, shape: tuple[int, ...], low: int, high: int, dtype: DType
) -> TensorType:
    if high <= low:
        raise GradRuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if high - low > 2**32:
        raise GradRuntimeError(f"randint: a range of more than 2**32 values is not covered, got {low} to {high}")
    return _shape_type(seed, offset, shape=shape, dtype=dtype)


def _randint_parts(b: Any, seed: Any, offset: Any, shape: tuple[int, ...], low: int, high: int, dtype: DType) -> Any:
    word = b.convert(b.philox(seed, offset, shape=shape), dtype=i64)
    out = b.remainder(word, b.scalar(high - low, i64)) + b.scalar(low, i64)
    return out if dtype is i64 else b.convert(out, dtype=dtype)


RANDINT = define(
    Op(
        name="grad.randint",
        kind=RANDOM,
        operands=("seed", "offset"),
        results=("result",),
        attrs={"shape": "ints", "low": "int", "high": "int", "dtype": "dtype"},
        infer=_randint_type,
        decompose=_randint_parts,
        doc="Integers from `low` to below `high`, by the remainder of a word (as torch does).",
    )
)


def _bernoulli_type(p: TensorType, seed: TensorType, offset: TensorType) -> TensorType:
    if not p.dtype.is_float:
        raise DTypeError(f"bernoulli: expected probabilities of a floating-point dtype, got {p}")
    return _shape_type(seed, offset, shape=p.shape, dtype=p.dtype)


BERNOULLI = define(
    Op(
        name="grad.bernoulli",
        kind=RANDOM,
        operands=("self", "seed", "offset"),
        results=("result",),
        infer=_bernoulli_type,
        decompose=lambda b, self, seed, offset: b.convert(
            b.uniform(seed, offset, shape=self.shape, dtype=f32) < self, dtype=self.dtype
        ),
        adjoint={"self": lambda b, self_t: b.full(shape=self_t.shape, value=0.0, dtype=self_t.dtype)},
        grad_fn="BernoulliBackward0",
        doc="1 with the probability that the operand gives, else 0; its gradient is zeros, as in torch.",
    )
)


def _dropout_type(x: TensorType, seed: TensorType, offset: TensorType, *, p: float) -> TensorType:
    if not 0.0 <= p <= 1.0:
        raise GradValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not x.dtype.is_float:
        raise DTypeError(f"dropout: expected a floating-point tensor, got {x}")
    return _shape_type(seed, offset, shape=x.shape, dtype=x.dtype)


def _dropout_parts(b: Any, self: Any, seed: Any, offset: Any, p: float) -> Any:
    kept = b.uniform(seed, offset, shape=self.shape, dtype=f32) >= b.scalar(p, f32)
    d = self.dtype.compute
    scale = b.scalar(1.0 / (1.0 - p) if p < 1.0 else 0.0, d)
    # A product and not a choice: a dropped infinity is NaN, as in torch
    out = self * b.where(kept, scale, b.scalar(0.0, d))
    return out if out.dtype is self.dtype else b.convert(out, dtype=self.dtype)


DROPOUT = define(
    Op(
        name="grad.dropout",
        kind=RANDOM,
        operands=("self", "seed", "offset"),
        results=("result",),
        attrs={"p": "float"},
        infer=_dropout_type,
        decompose=_dropout_parts,
        adjoint={"self": lambda b, ct, seed, offset, p: b.dropout(ct, seed, offset, p=p)},
        grad_fn="MulBackward0",
        sample=lambda rng: [
            ((sample_normal(rng, 4, 5), *scalars(rng)), {"p": 0.3}),
            ((sample_normal(rng, 3), *scalars(rng)), {"p": 1.0}),
        ],
        doc="Elements zeroed with probability p, the others divided by 1 - p.",
    )
)
