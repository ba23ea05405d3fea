"""Statistics made of other functions: quantiles, covariance and correlation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis
from gradc.ir.errors import GradRuntimeError
from gradc.ir.ops.returns import named
from gradc.ir.types import f32, f64, i64

from .creation import finish, full
from .tensor import Tensor

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _order(name: str, input: Tensor, q: Any) -> Tensor:
    """`q` as a tensor of the input's dtype; raises GradRuntimeError with torch's sentences."""
    if input.numel() == 0:
        raise GradRuntimeError(f"{name}() input tensor must be non-empty")
    if input.dtype not in (f32, f64):
        raise GradRuntimeError(f"{name}() input tensor must be either float or double dtype")
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise GradRuntimeError(f"{name}() q must be in the range [0, 1] but got {q:g}")
        return full((), q, dtype=input.dtype)
    if q.ndim > 1:
        raise GradRuntimeError(f"{name}() q must be a scalar or 1D tensor")
    if q.dtype is not input.dtype:
        raise GradRuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
    if q._traced is None and not bool(((q._array >= 0) & (q._array <= 1)).all()):
        raise GradRuntimeError(f"{name}() q values must be in the range [0, 1]")
    return q


def _quantile(
    name: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip_nan: bool
) -> Tensor:
    q = _order(name, input, q)
    if interpolation not in INTERPOLATIONS:
        raise GradRuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    d = 0 if dim is None else normalize_axis(dim, input.ndim)
    rows = input.reshape(-1) if dim is None or not input.ndim else input.movedim(d, -1)
    ordered = rows.sort(-1)[0]
    n, missing = rows.shape[-1], rows.isnan()
    if skip_nan:
        place = (q * (n - missing.sum(-1, keepdim=True) - 1).to(rows.dtype)).clamp_min(0)
    else:
        place = (q * (n - 1)).expand((*rows.shape[:-1], q.numel())).masked_fill(missing.any(-1, keepdim=True), n - 1)
    if interpolation in ("lower", "higher", "nearest"):
        place = {"lower": place.floor, "higher": place.ceil, "nearest": place.round}[interpolation]()
    below = place.floor()
    out = ordered.gather(-1, below.to(i64))
    if interpolation in ("linear", "midpoint"):
        above = ordered.gather(-1, place.ceil().to(i64))
        out = out.lerp(above, place - below if interpolation == "linear" else full((), 0.5, dtype=out.dtype))
    out = out.movedim(-1, 0)
    if keepdim:
        kept = [1 if dim is None or i == d else n for i, n in enumerate(input.shape)]
        out = out.reshape([q.numel(), *kept])
    return out if q.ndim else out[0]  # type: ignore[no-any-return]


def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The q-th quantiles, q a number or a vector (whose results are stacked in front), of all elements or along `dim`:
    the element at place q (n - 1) of the sorted row, between two elements as `interpolation` says. NaN where a row has
    one. float32 and float64."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """`quantile` of the elements that are no NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


def _weights(name: str, weights: Tensor, n: int, kind: str) -> None:
    right = weights.dtype.is_float if kind == "aweights" else weights.dtype.kind == "int"
    if weights.ndim > 1:
        raise GradRuntimeError(
            f"cov(): expected {name} to have one or fewer dimensions but got {name} with {weights.ndim} dimensions"
        )
    if not right:
        from .autograd.saved import type_name

        want = "floating point" if kind == "aweights" else "integral"
        raise GradRuntimeError(
            f"cov(): expected {name} to have {want} dtype but got {name} with {type_name(weights.dtype)} dtype"
        )
    if weights.numel() != n:
        raise GradRuntimeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input but got "
            f"{weights.numel()} != {n}"
        )
    if weights._traced is None and bool((weights._array < 0).any()):
        raise GradRuntimeError(f"cov(): {name} cannot be negative")


def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariance of the rows of a matrix (each a variable, each column an observation), or the variance of a
    vector. `fweights` say how often a column was observed, `aweights` how much it counts."""
    if input.ndim > 2:
        raise GradRuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions"
        )
    if input.dtype.kind == "bool":
        raise GradRuntimeError("cov(): bool dtype is not supported for input")
    x = input if input.ndim == 2 else input.reshape(1, -1)
    x = x if x.dtype.is_float else x.to(f32)
    n, weights, total = x.shape[1], None, full((), x.shape[1], dtype=x.dtype)
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is not None:
            _weights(name, given, n, name)
            part = given.reshape(-1).to(x.dtype)
            weights = part if weights is None else weights * part
    if weights is not None:
        total = weights.sum()
    mean = (x if weights is None else x * weights).sum(1, keepdim=True) / total
    if aweights is None or weights is None or correction == 0:
        freedom = total - correction
    else:
        freedom = total - correction * (weights * aweights.reshape(-1).to(x.dtype)).sum() / total
    if freedom._traced is None and bool(freedom._array <= 0):
        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.",
            stacklevel=3,
        )
    centred = x - mean
    out = centred @ (centred if weights is None else centred * weights).mT / freedom.clamp_min(0)
    return out.reshape(()) if input.ndim < 2 else out  # type: ignore[no-any-return]


def corrcoef(input: Tensor) -> Tensor:
    """Pearson's correlation of the rows of a matrix, in [-1, 1]."""
    if input.ndim > 2:
        raise GradRuntimeError(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with "
            f"{input.ndim} dimensions"
        )
    c = cov(input)
    if not c.ndim:
        return c / c
    deviation = c.diagonal().sqrt()
    return (c / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clip(-1, 1)  # type: ignore[no-any-return]


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements lie in each of `bins` intervals of equal width from `min` to `max` (the least and the greatest
    element if both are 0); what lies outside counts nowhere. Reads the data at once; no gradient."""
    x = input._data("histc()")
    if bins <= 0:
        raise GradRuntimeError("bins must be > 0")
    if x.dtype.kind != "f":
        from .autograd.saved import type_name

        raise GradRuntimeError(f"\"histogram_cpu\" not implemented for '{type_name(input.dtype)}'")
    low, high = (float(x.min()), float(x.max())) if min == max and x.size else (min, max)
    if low == high:
        low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise GradRuntimeError(f"range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise GradRuntimeError("max must be larger than min")
    inside = x[(x >= low) & (x <= high)].astype(np.float64)
    place = np.minimum(((inside - low) / (high - low) * bins).astype(np.int64), bins - 1)
    return finish(np.bincount(place, minlength=bins).astype(x.dtype), input.dtype)


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent value along `dim`, the least of several, and where it stands last. Reads the data at once."""
    x = input._data("mode()")
    d = normalize_axis(dim, input.ndim)
    at = np.apply_along_axis(_most_frequent, d, x) if x.ndim else np.zeros((), np.int64)
    index = finish(np.expand_dims(at, d) if x.ndim else at, i64)
    values = input.gather(d, index) if x.ndim else input.clone()
    if not keepdim and x.ndim:
        values, index = values.squeeze(d), index.squeeze(d)
    return named("mode", "values", "indices")(values, index)


def _most_frequent(row: np.ndarray[Any, Any]) -> int:
    _values, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
    return int(np.flatnonzero(inverse == np.argmax(counts))[-1])


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral up to each place by the trapezoidal rule."""
    return _trapezoids(y, x, dx, dim).cumsum(dim)  # type: ignore[no-any-return]


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The integral along `dim` by the trapezoidal rule."""
    return _trapezoids(y, x, dx, dim).sum(dim)  # type: ignore[no-any-return]


def _trapezoids(y: Tensor, x: Tensor | None, dx: float, dim: int) -> Tensor:
    d = normalize_axis(dim, y.ndim)
    n = y.shape[d]
    pairs = y.narrow(d, 1, n - 1) + y.narrow(d, 0, n - 1)
    if x is None:
        return pairs * (dx / 2)  # type: ignore[no-any-return]
    if x.ndim == 1:
        x = x.reshape([-1 if i == d else 1 for i in range(y.ndim)])
    m = x.shape[d - y.ndim]
    return pairs * (x.narrow(d - y.ndim, 1, m - 1) - x.narrow(d - y.ndim, 0, m - 1)) / 2  # type: ignore[no-any-return]


METHODS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (quantile, nanquantile, cov, corrcoef, histc, mode)
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **METHODS,
    "trapezoid": trapezoid,
    "trapz": trapezoid,
    "cumulative_trapezoid": cumulative_trapezoid,
}
