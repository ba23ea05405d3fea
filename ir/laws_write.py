"""That a kernel writes every element once: laws 26 and 27 of `laws.py`, from the integers of its stores alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any, NoReturn, TypeAlias

import numpy as np

from .graph import Graph, Node
from .tile import Group
from .types import BufferType, TileType

Fail: TypeAlias = Callable[..., NoReturn]
ENUMERATED = 1 << 16
"""Writes that are laid out one by one where the strides alone do not prove them distinct."""


def no_lanes(kernel: Graph, node: Node, gs: Sequence[Group]) -> bool:
    """Whether the access has no lane, because a group that its value varies over is empty."""
    v = node.results[0] if node.results else node.operands[0]
    t = kernel.types[v]
    return isinstance(t, TileType) and any(g.extent == 0 for g in gs if g.letter in t.space)


def address_steps(node: Node, gs: Sequence[Group]) -> list[tuple[int, int]]:
    """(coefficient, count) of every index the address moves with."""
    out = [(c, n) for g, cs in zip(gs, node.attrs["coeffs"], strict=True) for c, n in zip(cs, g.dims, strict=True) if c]
    program = node.attrs.get("program", ())
    return out + [(c, g.grid) for g, c in zip(gs, program, strict=False) if c and g.grid > 1]


def check_written(kernel: Graph, gs: Sequence[Group], buffer: int, stores: Sequence[Node], fail: Fail) -> None:
    """Laws 26 and 27 of one written buffer."""
    t = kernel.types[buffer]
    assert isinstance(t, BufferType)
    affine = [s for s in stores if not s.attrs.get("masked") and not s.attrs.get("index_coeffs")]
    plain = [s for s in affine if not no_lanes(kernel, s, gs)]
    for store in plain:
        _one_writer(kernel, store, gs, fail)
    counts = [prod(n for _, n in address_steps(s, gs)) for s in plain]
    total = sum(counts)
    distinct = all(_nested(s, gs) for s in plain) and _disjoint(plain, gs)
    if not distinct and total <= ENUMERATED:
        seen = np.concatenate([_addresses(s, gs) for s in plain])
        distinct = np.unique(seen).size == seen.size
    if not distinct:
        fail(26, f"two lanes may write the same element of {t}", kernel, plain[-1])
    checked = any(n.op.name == "tile.check" and n.operands[1] == buffer for n in kernel.nodes)
    if len(affine) == len(stores) and not checked and total != t.numel:
        fail(27, f"{total} of the {t.numel} elements of written input {kernel.inputs.index(buffer)} are stored", kernel)


def _one_writer(kernel: Graph, store: Node, gs: Sequence[Group], fail: Fail) -> None:
    """Law 26 within a store: what the value or the programs vary over, the address must tell apart."""
    value = kernel.types[store.operands[0]]
    space = value.space if isinstance(value, TileType) else ""
    program = store.attrs.get("program", ()) or (0,) * len(gs)
    for g, cs, p in zip(gs, store.attrs["coeffs"], program, strict=True):
        lanes_differ = g.letter in space or any(cs)
        if lanes_differ and g.extent and any(c == 0 and n > 1 for c, n in zip(cs, g.dims, strict=True)):
            fail(26, f"the address is the same for several indices of group {g.letter!r}", kernel, store)
        if g.grid > 1 and not lanes_differ and not p:
            fail(26, f"the {g.grid} programs of group {g.letter!r} write the same elements", kernel, store)


def _nested(store: Node, gs: Sequence[Group]) -> bool:
    """Whether each stride is longer than all that the shorter ones reach together: then no two indices meet."""
    reach = 0
    for c, n in sorted((abs(c), n) for c, n in address_steps(store, gs) if n > 1):
        if c <= reach:
            return False
        reach += c * (n - 1)
    return True


def _disjoint(stores: Sequence[Node], gs: Sequence[Group]) -> bool:
    """Whether the stores' ranges do not overlap."""
    ranges = []
    for s in stores:
        steps = address_steps(s, gs)
        low = s.attrs["offset"] + sum(min(c * (n - 1), 0) for c, n in steps)
        ranges.append((low, s.attrs["offset"] + sum(max(c * (n - 1), 0) for c, n in steps)))
    ranges.sort()
    return all(a[1] < b[0] for a, b in pairwise(ranges))


def _addresses(store: Node, gs: Sequence[Group]) -> Any:
    out = np.array([store.attrs["offset"]], np.int64)
    for c, n in address_steps(store, gs):
        out = (out[:, None] + c * np.arange(n, dtype=np.int64)).ravel()
    return out
