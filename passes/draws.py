"""Inputs on which two programs are compared: ordinary ones, and those that break rewrites (ties, zeros, NaN)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from gradc.ir.types import TensorType

Rng: TypeAlias = np.random.Generator
Draw: TypeAlias = Callable[[Rng, tuple[int, ...]], Any]

SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan)


def _one(value: float) -> Draw:
    """Ordinary numbers, and one element that is not."""

    def draw(rng: Rng, shape: tuple[int, ...]) -> Any:
        a = rng.standard_normal(shape)
        if a.size:
            a.flat[int(rng.integers(a.size))] = value
        return a

    return draw


DRAWS: dict[str, Draw] = {
    "positive": lambda rng, shape: rng.uniform(0.5, 1.5, shape),
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "between 0 and 1": lambda rng, shape: rng.uniform(0.02, 0.98, shape),
    "ties": lambda rng, shape: rng.integers(-1, 2, shape),
    "zeros": lambda rng, shape: np.zeros(shape),
    "one NaN": _one(np.nan),
    "one infinity": _one(-np.inf),
    "special values": lambda rng, shape: rng.choice(SPECIAL, shape),
}
"""How floats are drawn. Integers are 0 and 1 (an index fits any table of two rows), bools either."""

SMOOTH = ("positive", "normal", "between 0 and 1")
"""Draws at which derivatives are compared with differences."""


def array(name: str, rng: Rng, t: TensorType) -> Any:
    """One input of a type, drawn as `name` says."""
    if t.dtype.is_float:
        return np.asarray(DRAWS[name](rng, t.shape)).astype(t.dtype.numpy)
    return np.asarray(rng.integers(0, 2, t.shape)).astype(t.dtype.numpy)
