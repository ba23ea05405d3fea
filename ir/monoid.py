"""Monoids that reductions combine with: identity, NumPy ufunc, and the combination as a tile scalar op."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .types import DType


class Monoid(NamedTuple):
    """`combine` names the tile scalar op of two operands; `ufunc.reduce` is the NumPy form."""

    name: str
    ufunc: Any
    combine: str

    def identity(self, dtype: DType) -> int | float | bool:
        """The neutral element in this dtype."""
        low, high = _range(dtype)
        value: int | float | bool = {"sum": 0, "prod": 1, "max": low, "min": high, "any": False, "all": True}[self.name]
        return float(value) if dtype.is_float else (bool(value) if dtype.kind == "bool" else int(value))


def _range(dtype: DType) -> tuple[Any, Any]:
    if dtype.is_float:
        return -np.inf, np.inf
    if dtype.kind == "bool":
        return False, True
    info = np.iinfo(dtype.numpy)
    return int(info.min), int(info.max)


MONOIDS: dict[str, Monoid] = {
    m.name: m
    for m in (
        Monoid("sum", np.add, "add"),
        Monoid("prod", np.multiply, "mul"),
        Monoid("max", np.maximum, "maximum"),
        Monoid("min", np.minimum, "minimum"),
        Monoid("any", np.logical_or, "bitwise_or"),
        Monoid("all", np.logical_and, "bitwise_and"),
    )
}
