"""Which operations were added, removed, rewired and moved between two functions.

Nodes are matched by structure first. What is left over on either side is counted by operation, attributes and types, so
that a change near the inputs does not show as a change of all that follows it. Operations that are there on both sides,
but compute from other values, are shown where the difference begins. Casts are compared by where they stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from gradc.ir.graph import Graph

from .cse import frozen

CAST = "grad.convert"
LAUNCH = "tile.launch"


class Change(NamedTuple):
    """`kind` is one of those of docs/tools.md, `text` the line that says it, `data` its figures."""

    kind: str
    text: str
    data: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "text": self.text, **self.data}


class Line(NamedTuple):
    """A user's line ("" for none), of the function itself or of an adjoint operation."""

    text: str
    adjoint: bool

    @property
    def at(self) -> str:
        return f" at {self.text}" if self.text else ""


class Operations:
    """The nodes of two functions: `numbers` are those of their values, `forward` how many nodes are no adjoint's, where
    known."""

    def __init__(
        self, graphs: tuple[Graph, Graph], numbers: tuple[list[int], list[int]], forward: tuple[int | None, ...]
    ) -> None:
        self.graphs, self.numbers, self.forward = graphs, numbers, forward
        self.left = tuple([_unmatched(graphs[k], numbers[k], numbers[1 - k]) for k in (0, 1)])

    def changes(self) -> Iterator[Change]:
        yield from self._casts()
        found = False
        for change in self._surplus():
            found = True
            yield change
        if not found:
            yield from self._rewired()

    def _surplus(self) -> Iterator[Change]:
        """Operations that one side has more often than the other."""
        sides = [self._by_kind(side) for side in (0, 1)]
        for side, sign, kind in ((0, "-", "op-removed"), (1, "+", "op-added")):
            for key, nodes in sides[side].items():
                others = [self.line(1 - side, i) for i in sides[1 - side].get(key, ())]
                lacking = len(nodes) - len(others)
                for line, count in _first([self.line(side, i) for i in nodes], others, lacking):
                    name = f"{'adjoint ' if line.adjoint else ''}{key[0]}{f' x{count}' if count > 1 else ''}"
                    data = {"op": key[0], "line": line.text, "adjoint": line.adjoint, "count": count}
                    yield Change(kind, f"{sign} {name}{line.at}", data)

    def _by_kind(self, side: int) -> dict[Any, list[int]]:
        g = self.graphs[side]
        out: dict[Any, list[int]] = {}
        for i in self.left[side]:
            node = g.nodes[i]
            if node.op.name not in (CAST, LAUNCH):
                types = tuple(str(g.types[v]) for v in (*node.operands, *node.results))
                out.setdefault((node.op.name, frozen(node.attrs), types), []).append(i)
        return out

    def _rewired(self) -> Iterator[Change]:
        """The operations at which a difference begins that adds and removes nothing."""
        b, after = self.graphs[1], self.numbers[1]
        known = set(self.numbers[0])
        for i in self.left[1]:
            node = b.nodes[i]
            if node.op.name not in (CAST, LAUNCH) and all(after[o] in known for o in node.operands):
                line = self.line(1, i)
                name = f"{'adjoint ' if line.adjoint else ''}{node.op.name}"
                data = {"op": node.op.name, "line": line.text, "adjoint": line.adjoint}
                yield Change("op-rewired", f"~ {name}{line.at} computes from other values", data)

    def _casts(self) -> Iterator[Change]:
        tables: list[dict[str, list[str]]] = []
        for side, g in enumerate(self.graphs):
            types: Any = g.types
            producers = g.producers()
            table: dict[str, list[str]] = {}
            for i in self.left[side]:
                node = g.nodes[i]
                if node.op.name == CAST:
                    key = f"{types[node.operands[0]].dtype.name} -> {types[node.results[0]].dtype.name}"
                    p = producers[node.operands[0]]
                    name = g.names.get(node.operands[0], "an input")
                    after = f"after {g.nodes[p].op.short}" if p >= 0 else f"of {name}"
                    table.setdefault(key, []).append(after + self.line(side, i).at)
            tables.append(table)
        for key in dict.fromkeys((*tables[0], *tables[1])):
            was, now = (Counter(table.get(key, ())) for table in tables)
            gone, come = list((was - now).elements()), list((now - was).elements())
            more = now.total() - was.total()
            if more:
                text = f"casts {key}: {more:+d} ({', '.join(come if more > 0 else gone)})"
                yield Change("cast-count", text, {"cast": key, "removed": gone, "added": come})
            elif gone:
                text = f"cast {key} moved: {', '.join(gone)} -> {', '.join(come)}"
                yield Change("cast-moved", text, {"cast": key, "old": gone, "new": come})

    def line(self, side: int, i: int) -> Line:
        loc, n = self.graphs[side].nodes[i].loc, self.forward[side]
        return Line("" if loc is None else str(loc), n is not None and i >= n)


def _unmatched(g: Graph, mine: list[int], theirs: list[int]) -> list[int]:
    """Nodes whose computation the other side does not have, or has less often."""
    there = Counter(theirs)
    out = []
    for i, node in enumerate(g.nodes):
        if node.results:
            first = mine[node.results[0]]
            if there[first] > 0:
                there[first] -= 1
            else:
                out.append(i)
    return out


def _first(lines: list[Line], others: list[Line], count: int) -> Iterator[tuple[Line, int]]:
    """`count` of the lines, those that the other side lacks first."""
    new = Counter(lines) - Counter(others)
    rest = Counter(lines) - new
    for line, n in (*sorted(new.items()), *sorted(rest.items())):
        if count > 0:
            yield line, min(n, count)
            count -= n
