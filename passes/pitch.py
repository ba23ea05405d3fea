"""Rows whose length is no multiple of a 16-byte vector: what the iteration space does so that they can still be read
and written in whole vectors (docs/fusion.md, "Aligned windows"). Rows then start at another place in a vector each, and
a program must see only one such place: one row at a time, and rows that are a multiple of the vector apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradc.ir.types import TensorType

VECTOR_BYTES = 16
LONG = 1024
"""Lanes of a padded row from which on a program takes one row at a time."""


def vector(types: Iterable[TensorType]) -> int:
    """Elements in 16 bytes of the narrowest of the large tensors."""
    every = tuple(types)
    large = max((t.numel for t in every), default=0)
    return VECTOR_BYTES // min((t.dtype.itemsize for t in every if 2 * t.numel >= large), default=VECTOR_BYTES)


def odd_rows(accesses: Sequence[dict[int, int]], kept: Iterable[int], last: int, vector: int) -> bool:
    """Whether rows along the axis `last` start at different places in a vector, by an access that walks along it."""
    across = tuple(kept)
    return any(f.get(last) == 1 and any(f.get(a, 0) % vector for a in across) for f in accesses)


def shared_row(accesses: Sequence[dict[int, int]], kept: Iterable[int], last: int) -> bool:
    """Whether an access walks along the rows, but is the same for all of them."""
    across = frozenset(kept)
    return any(f.get(last) == 1 and not any(f.get(a) for a in across) for f in accesses)


def programs(most: int, odd: bool, vector: int) -> int:
    """How many programs share the rows in turn: with odd rows a multiple of the vector."""
    return max(most // vector, 1) * vector if odd else most
