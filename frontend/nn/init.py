"""Initial values of parameters: torch's `nn.init`, over gradc's generator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradc.ir.errors import GradValueError

from ..autograd.grad_mode import no_grad
from ..random import Generator, rng_of
from ..storage import Array
from ..tensor import Tensor

GAINS = {
    **dict.fromkeys(("linear", "sigmoid", "conv1d", "conv2d", "conv3d"), 1.0),
    **{"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4},
}


def calculate_gain(nonlinearity: str, param: Any = None) -> float:
    """The factor that keeps the variance through a nonlinearity."""
    if nonlinearity == "leaky_relu":
        if param is None:
            slope = 0.01
        elif isinstance(param, (int, float)) and not isinstance(param, bool):
            slope = param
        else:
            raise GradValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in GAINS:
        raise GradValueError(f"Unsupported nonlinearity {nonlinearity}")
    return GAINS[nonlinearity]


def _fill(tensor: Any, values: Any) -> Tensor:
    with no_grad():
        made: Tensor = tensor.copy_(Tensor._of(np.asarray(values).astype(tensor.dtype.numpy)))
    return made


def _uniform(tensor: Tensor, a: float, b: float, generator: Generator | None) -> Tensor:
    return _fill(tensor, rng_of(generator).uniform(a, b, tuple(tensor.shape)))


def _normal(tensor: Tensor, mean: float, std: float, generator: Generator | None) -> Tensor:
    return _fill(tensor, rng_of(generator).normal(mean, std, tuple(tensor.shape)))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Numbers spread evenly over [a, b)."""
    return _uniform(tensor, a, b, generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal numbers."""
    return _normal(tensor, mean, std, generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers, drawn again until they lie within [a, b]."""
    if not a < b or (mean + 8 * std < a or mean - 8 * std > b):
        raise GradValueError(f"trunc_normal_: the interval [{a}, {b}] holds almost nothing of N({mean}, {std})")
    rng = rng_of(generator)
    values: Array = np.asarray(rng.normal(mean, std, tuple(tensor.shape)))
    while True:
        outside = (values < a) | (values > b)
        if not outside.any():
            return _fill(tensor, values)
        values[outside] = rng.normal(mean, std, int(outside.sum()))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One value everywhere."""
    with no_grad():
        made: Tensor = tensor.fill_(val)
    return made


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Ones on the diagonal of a matrix of zeros."""
    if tensor.ndim != 2:
        raise GradValueError("Only tensors with 2 dimensions are supported")
    return _fill(tensor, np.eye(*tensor.shape))


def fans(tensor: Tensor) -> tuple[int, int]:
    """How many elements one output reads, and how many outputs one input reaches."""
    if tensor.ndim < 2:
        raise GradValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


_calculate_fan_in_and_fan_out = fans


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Evenly spread, with variance 2 gain² / (fan in + fan out) (Glorot and Bengio, 2010)."""
    bound = gain * math.sqrt(6.0 / sum(fans(tensor)))
    return _uniform(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal, with variance 2 gain² / (fan in + fan out) (Glorot and Bengio, 2010)."""
    return _normal(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), generator)


def _kaiming(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise GradValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan = fans(tensor)[0 if mode == "fan_in" else 1]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Evenly spread, with variance gain² / fan (He et al., 2015)."""
    if 0 in tensor.shape:
        return tensor
    bound = math.sqrt(3.0) * _kaiming(tensor, a, mode, nonlinearity)
    return _uniform(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal, with variance gain² / fan (He et al., 2015)."""
    if 0 in tensor.shape:
        return tensor
    return _normal(tensor, 0.0, _kaiming(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """A matrix with orthonormal rows or columns (the dimensions after the first taken as one)."""
    if tensor.ndim < 2:
        raise GradValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    flat = rng_of(generator).standard_normal((rows, tensor.numel() // rows))
    q, r = np.linalg.qr(flat.T if rows < flat.shape[1] else flat)
    q = q * np.sign(np.diag(r))
    return _fill(tensor, gain * (q.T if rows < flat.shape[1] else q).reshape(tensor.shape))
