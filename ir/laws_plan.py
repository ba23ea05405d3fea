"""The law of the memory plan (29 of `laws.py`), by a sweep over the launches that shares no code with the planner."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from .graph import Graph, Node
from .op import PLAN
from .types import TensorType

Fail: TypeAlias = Callable[..., NoReturn]
SLOT = 256
"""Bytes that offsets and sizes of slots are multiples of."""


def check_plan(main: Graph, fail: Fail) -> None:
    """Walk the launches with the slots that are live, sorted by offset: no new one may reach into them."""
    arena = main.attrs.get("arena_bytes")
    if type(arena) is not int or arena < 0:
        fail(29, f"arena_bytes is {arena!r}", main)
    last = {o: i for i, node in enumerate(main.nodes) for o in node.operands}
    outputs = set(main.outputs)
    live: list[tuple[int, int, int]] = []
    place: dict[int, tuple[int, int, int]] = {}
    for i, node in enumerate(main.nodes):
        if node.op.kind != PLAN:
            continue
        offsets, donors = _slots(main, node, fail)
        for k, (r, offset) in enumerate(zip(node.results, offsets, strict=True)):
            if (offset < 0) != (r in outputs):
                kind = "a result of the program" if r in outputs else "a temporary"
                fail(29, f"result {k} is {kind}, but its slot is {offset}", main, node)
            if offset < 0:
                if donors[k] >= 0:
                    _donated(main, node, k, i, last, fail)
                continue
            entry = (offset, offset + _size(main, r), r)
            if entry[0] % SLOT or entry[1] > arena:
                fail(29, f"result {k} has bytes {entry[0]} to {entry[1]} of an arena of {arena}", main, node)
            if donors[k] >= 0:
                entry = _taken_over(main, node, k, entry, i, last, place, live, fail)
            at = bisect_left(live, entry)
            for other in live[max(at - 1, 0) : at + 1]:
                if other[0] < entry[1] and entry[0] < other[1]:
                    fail(29, f"result {k} has bytes {entry[0]} to {entry[1]}, of which some are in use", main, node)
            insort(live, entry)
            place[r] = entry
        for v in {*node.operands, *node.results}:
            if v in place and last.get(v, i) <= i and place[v] in live:
                live.remove(place[v])


def _donated(main: Graph, node: Node, k: int, i: int, last: dict[int, int], fail: Fail) -> None:
    """A result of the program may lie in the memory of an input that is donated, of its type, and not read later."""
    donor = node.attrs["in_place"][k]
    v = node.operands[donor] if donor < len(node.operands) else -1
    donated = {x for x, a in zip(main.inputs, main.input_attrs, strict=True) if a.get("donated")} - set(main.outputs)
    if v not in donated or last[v] != i or main.types[v] != main.types[node.results[k]]:
        fail(29, f"result {k} cannot overwrite operand {donor}", main, node)


def _slots(main: Graph, node: Node, fail: Fail) -> tuple[tuple[int, ...], tuple[int, ...]]:
    n = len(node.results)
    offsets: Any = node.attrs.get("slots")
    donors: Any = node.attrs.get("in_place", (-1,) * n)
    if offsets is None or len(offsets) != n or len(donors) != n:
        fail(29, f"slots and in_place hold one number per result, got {offsets} and {donors}", main, node)
    return offsets, donors


def _size(main: Graph, value: int) -> int:
    t = main.types[value]
    assert isinstance(t, TensorType)
    return -(-max(t.nbytes, 1) // SLOT) * SLOT


def _taken_over(
    main: Graph,
    node: Node,
    k: int,
    entry: tuple[int, int, int],
    i: int,
    last: dict[int, int],
    place: dict[int, tuple[int, int, int]],
    live: list[tuple[int, int, int]],
    fail: Fail,
) -> tuple[int, int, int]:
    """The donor's bytes as the result's, if the donor is an operand in the arena that nobody reads later."""
    donor = node.attrs["in_place"][k]
    v = node.operands[donor] if donor < len(node.operands) else -1
    have = place.get(v)
    if have is None or have not in live or last[v] != i or have[0] != entry[0] or have[1] < entry[1]:
        fail(29, f"result {k} cannot overwrite operand {donor}", main, node)
    live.remove(have)
    return (have[0], have[1], entry[2])
