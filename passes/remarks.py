"""Remarks: what a pass decided and why, as plain data."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from gradc.ir.graph import Loc

KINDS = ("no-gradient", "cut", "not-fused", "saved", "recomputed", "deleted", "copied", "precision")


@dataclass(frozen=True)
class Remark:
    """`subject` is a stable name (a value's or node's), `reason` one of a closed list per kind, `numbers` its
    figures."""

    kind: str
    subject: str
    reason: str
    loc: Loc | None = None
    numbers: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        where = f"{self.loc}: " if self.loc is not None else ""
        figures = ", ".join(f"{k} {v}" for k, v in self.numbers.items())
        return f"{where}{self.kind}: {self.subject}: {self.reason}{f' ({figures})' if figures else ''}"

    def to_json(self) -> dict[str, Any]:
        out = asdict(self)
        out["loc"] = None if self.loc is None else str(self.loc)
        return out


def count(remarks: list[Remark]) -> dict[str, int]:
    """How many remarks of each kind."""
    return dict(Counter(r.kind for r in remarks))
