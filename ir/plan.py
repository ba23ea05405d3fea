"""The plan level: where each value of a scheduled program lives.

A planned main function is the scheduled one with a `slots` attribute on every launch: per result the byte offset in the
arena, or -1 for a result of the program, which has memory of its own. `main.attrs["arena_bytes"]` is the arena's size
and `main.attrs["lower_bound_bytes"]` the most bytes any plan must hold at one launch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .graph import Graph
from .types import TensorType

ALIGN = 256
"""Bytes that every slot's offset and size are multiples of."""


class Slot(NamedTuple):
    """`first` and `last` are launch positions, inclusive; `alias_of` names the slot whose bytes an in-place result
    reuses."""

    name: str
    value: int
    bytes: int
    first: int
    last: int
    kind: str
    offset: int = -1
    alias_of: str | None = None

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


def slots(main: Graph) -> list[Slot]:
    """The slots of a planned main function, read back from its launches."""
    last = {o: i for i, n in enumerate(main.nodes) for o in n.operands}
    out: list[Slot] = []
    by_value: dict[int, Slot] = {}
    for i, node in enumerate(main.nodes):
        offsets = node.attrs.get("slots", ())
        donors = node.attrs.get("in_place", (-1,) * len(offsets))
        for r, offset, donor in zip(node.results, offsets, donors, strict=False):
            if offset < 0:
                continue
            t = main.types[r]
            assert isinstance(t, TensorType)
            size = -(-max(t.nbytes, 1) // ALIGN) * ALIGN
            alias = by_value[node.operands[donor]].name if donor >= 0 else None
            name = main.names.get(r) or f"v{r}"
            slot = Slot(f"{name}#{r}", r, size, i, last.get(r, i), "temporary", offset, alias)
            out.append(slot)
            by_value[r] = slot
    return out
