"""Inputs for the tests that run over the table: random arrays within a domain per operand, in shapes that matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Domain = tuple[float, float]


Entry = tuple[Any, ...]


def reals(
    *domains: Domain, attrs: Sequence[dict[str, Any]] = ({},), ints: bool = False, torch: Any = None
) -> Callable[..., list[Entry]]:
    """float32 operands, each uniform in its domain: a matrix for every choice of attributes; for the first also
    operands that broadcast, none with dimensions, and none with elements; with `ints` also int64 in the same domain.
    `torch` is the third item of each entry."""

    def sample(rng: Any) -> list[Entry]:
        n = len(domains)
        out: list[Entry] = [(_uniform(rng, domains, [(3, 4)] * n, np.float32), dict(a)) for a in attrs]
        first = dict(attrs[0])
        if n > 1:
            shapes = [(3, 1), (4,), (2, 1, 1)][:n]
            out.append((_uniform(rng, domains, shapes, np.float32), first))
        out.append((_uniform(rng, domains, [()] * n, np.float32), first))
        out.append((_uniform(rng, domains, [(0, 3)] * n, np.float32), first))
        if ints:
            out.append((_uniform(rng, domains, [(3, 4)] * n, np.int64), first))
        return out if torch is None else [(*entry, torch) for entry in out]

    return sample


def integers(
    *domains: tuple[int, int], dtypes: Sequence[str] = ("int64", "int32", "uint8"), torch: Any = None
) -> Callable[..., list[Entry]]:
    """Integer operands, uniform in [low, high], negative ones only where the dtype has them."""

    def sample(rng: Any) -> list[Entry]:
        out: list[Entry] = []
        for name in dtypes:
            low = 0 if name.startswith("u") else None
            ranges = [(lo if low is None else max(lo, low), hi) for lo, hi in domains]
            out.append(([rng.integers(lo, hi, (3, 4), endpoint=True).astype(name) for lo, hi in ranges], {}))
        return out if torch is None else [(*entry, torch) for entry in out]

    return sample


def masks(n: int) -> Callable[..., list[Entry]]:
    """Bool operands."""
    return lambda rng: [([rng.integers(0, 2, (3, 4)).astype(bool) for _ in range(n)], {})]


def both(*samples: Callable[..., list[Entry]]) -> Callable[..., list[Entry]]:
    """The entries of several samples."""
    return lambda rng: [entry for s in samples for entry in s(rng)]


def _uniform(rng: Any, domains: Sequence[Domain], shapes: Sequence[tuple[int, ...]], dtype: Any) -> list[Any]:
    out = []
    for (lo, hi), shape in zip(domains, shapes, strict=True):
        if dtype is np.int64:
            out.append(rng.integers(int(np.ceil(lo)), int(np.floor(hi)), shape, endpoint=True))
        else:
            out.append(np.asarray(rng.uniform(lo, hi, shape)).astype(dtype))
    return out
