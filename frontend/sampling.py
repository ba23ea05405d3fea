"""Tensors of random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError
from gradc.ir.types import DType, i64

from .creation import finish, sizes, wanted
from .device import check_device
from .dispatch import current_trace
from .random import Generator, default_generator, rng_of
from .storage import Array
from .tensor import Tensor


def _drawn(kind: str, shape: tuple[int, ...], d: DType, requires_grad: bool, generator: Any, **params: Any) -> Tensor:
    made = _traced(kind, shape, d, generator, **params)
    if made is not None:
        return made.requires_grad_() if requires_grad else made
    return finish(draw(kind, shape, rng_of(generator), **params).astype(d.numpy), d, requires_grad)


def _traced(kind: str, shape: tuple[int, ...], d: DType, generator: Generator | None, **params: Any) -> Tensor | None:
    """The numbers as a value of the trace that runs, if one does: of the default generator, which each call reads."""
    trace = current_trace()
    if trace is None:
        return None
    if generator not in (None, default_generator):
        rng_of(generator)
    made: Tensor = trace.random(kind, shape, d, **params)
    return made


def draw(kind: str, shape: tuple[int, ...], rng: np.random.Generator, **params: Any) -> Array:
    """An array of random numbers of a kind, as NumPy's generator draws it."""
    if kind == "normal":
        return np.asarray(rng.standard_normal(shape, dtype=np.float64))
    if kind == "uniform":
        return np.asarray(rng.random(shape, dtype=np.float32))
    return np.asarray(rng.integers(params["low"], params["high"], shape))


def _size(size: tuple[Any, ...], kw: dict[str, Any], name: str) -> tuple[int, ...]:
    return sizes((kw.pop("size"),) if "size" in kw else size, name)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **kw: Any,
) -> Tensor:
    """Numbers from the normal distribution with mean 0 and variance 1."""
    check_device(device)
    return _drawn("normal", _size(size, kw, "randn"), _float(dtype, "normal"), requires_grad, generator)


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **kw: Any,
) -> Tensor:
    """Numbers spread evenly over [0, 1)."""
    check_device(device)
    return _drawn("uniform", _size(size, kw, "rand"), _float(dtype, "uniform"), requires_grad, generator)


def _float(d: Any, name: str) -> DType:
    out = wanted(d)
    if not out.is_float:
        from .autograd.saved import type_name

        raise GradRuntimeError(f"\"{name}\" not implemented for '{type_name(out)}'")
    return out


def randint(*args: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, **kw: Any) -> Tensor:
    """Integers from `low` (0) up to, not including, `high`."""
    check_device(device)
    size = kw["size"] if "size" in kw else args[-1]
    bounds = list(args if "size" in kw else args[:-1])
    low, high = (0, bounds[0]) if len(bounds) == 1 else bounds if bounds else (kw.get("low", 0), kw["high"])
    if low >= high:
        raise GradRuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    shape = sizes((size,), "randint")
    return _drawn("integer", shape, wanted(dtype, i64), kw.get("requires_grad", False), generator, low=low, high=high)


def randn_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **kw: Any
) -> Tensor:
    """Normal numbers in the shape and dtype of another tensor."""
    return randn(tuple(input.shape), dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


def rand_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **kw: Any
) -> Tensor:
    """Uniform numbers in the shape and dtype of another tensor."""
    return rand(tuple(input.shape), dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


def randint_like(input: Tensor, low: int, high: int | None = None, *, dtype: Any = None, **kw: Any) -> Tensor:
    """Random integers in the shape and dtype of another tensor."""
    if high is None:
        low, high = 0, low
    return randint(low, high, tuple(input.shape), dtype=dtype or input.dtype)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """The numbers below `n` in random order."""
    check_device(device)
    d = wanted(dtype, i64)
    made = _traced("permutation", (n,), d, generator)
    if made is not None:
        return made
    return finish(rng_of(generator).permutation(n).astype(d.numpy), d)


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with normal numbers."""
    return self.copy_(randn(tuple(self.shape), generator=generator) * std + mean)  # type: ignore[no-any-return]


def uniform_(self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers spread evenly over [a, b)."""
    return self.copy_(rand(tuple(self.shape), generator=generator) * (b - a) + a)  # type: ignore[no-any-return]


METHODS = {"normal_": normal_, "uniform_": uniform_}
