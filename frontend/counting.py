"""Functions whose result's extent depends on the data: they read it at once and have no gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError

from .tensor import Tensor


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements (or slices of a dimension), in order; and where they stood, and how many of each."""
    found = np.unique(input._data("unique()"), return_inverse=True, return_counts=True, axis=dim)
    values, inverse, counts = (Tensor._of(np.ascontiguousarray(a)) for a in found)
    out = (values, *((inverse,) if return_inverse else ()), *((counts,) if return_counts else ()))
    return out[0] if len(out) == 1 else out


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, 2, ... occurs in a vector, or the sum of the weights that stand there."""
    array = input._data("bincount()")
    if array.dtype.kind not in "iu":
        from .autograd.saved import type_name

        raise GradRuntimeError(f"\"bincount_cpu\" not implemented for '{type_name(input.dtype)}'")
    if array.ndim != 1 or (array.size and array.min() < 0):
        raise GradRuntimeError("bincount only supports 1-d non-negative integral inputs.")
    given = None if weights is None else weights._data("bincount()")
    made = np.bincount(array, given, minlength)
    return Tensor._of(made if given is None or given.dtype != np.float32 else made.astype(np.float32))


METHODS: dict[str, Callable[..., Any]] = {"unique": unique, "bincount": bincount}
FUNCTIONS = METHODS
