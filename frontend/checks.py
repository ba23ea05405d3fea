"""A check: that a path from a compiled function still reads what it read when the function was traced."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gradc.ir.types import DType

Reader: TypeAlias = Callable[[], Any]
MISSING = object()
PLAIN = (
    *(bool, int, float, complex, str, bytes, type(None), type(...), slice, range),
    *(DType, enum.Enum, np.generic, np.dtype),
)
"""Values that are compared, not followed."""


class Check(NamedTuple):
    """`path` reads `expected`: the very object, or (where `equal`) a value of its type and equal to it."""

    path: str
    read: Reader
    expected: Any
    equal: bool

    def holds(self) -> bool:
        value = self.read()
        if not self.equal:
            return value is self.expected
        return value is self.expected or (type(value) is type(self.expected) and same(value, self.expected))


def same(a: Any, b: Any) -> bool:
    """Equality that tells NaN from numbers only, and 0.0 from -0.0."""
    if isinstance(a, float):
        return (a == b and str(a) == str(b)) or (a != a and b != b)
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    return bool(a == b)


def entry(space: Any, key: Any) -> Reader:
    """Reads an entry of a namespace or dict."""
    return lambda: space.get(key, MISSING)


def item(value: Any, i: int) -> Reader:
    return lambda: value[i]


def attribute(value: Any, name: str) -> Reader:
    return lambda: getattr(value, name, MISSING)


def content(cell: Any) -> Reader:
    """Reads a closure cell, which may be empty still."""

    def read() -> Any:
        try:
            return cell.cell_contents
        except ValueError:
            return MISSING

    return read
