"""Remarks: what a pass decided and why, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from gradc.ir.graph import Loc

KINDS = ("no-gradient", "cut", "not-fused", "saved", "recomputed", "deleted", "copied", "precision")


class Remark(NamedTuple):
    """`subject` is a stable name (a value's or node's), `reason` one of a closed list per kind, `numbers` its
    figures."""

    kind: str
    subject: str
    reason: str
    loc: Loc | None = None
    numbers: Mapping[str, Any] = {}

    def __str__(self) -> str:
        where = f"{self.loc}: " if self.loc is not None else ""
        figures = ", ".join(f"{k} {v}" for k, v in self.numbers.items())
        return f"{where}{self.kind}: {self.subject}: {self.reason}{f' ({figures})' if figures else ''}"

    def to_json(self) -> dict[str, Any]:
        where = None if self.loc is None else str(self.loc)
        return self._asdict() | {"loc": where, "numbers": dict(self.numbers)}


def count(remarks: list[Remark]) -> dict[str, int]:
    """How many remarks of each kind."""
    return dict(Counter(r.kind for r in remarks))
