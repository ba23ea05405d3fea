"""How the text spells values: by the user's names, made plain and unique; others as `%0`, `%1`, ... in order.

Names are unique over a whole top-level graph, regions included, because MLIR's generic form shares one scope.
"""

from __future__ import annotations

import re

from .graph import Graph, Node

PLAIN = re.compile(r"[A-Za-z_$][\w$.]*", re.ASCII)
UNNAMED = re.compile(r"arg\d+|\d.*", re.ASCII)
"""Spellings of inputs that are no user's name."""

_NOT_PLAIN = re.compile(r"[^\w$.]", re.ASCII)


class Naming:
    """The names given so far within one top-level graph."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.suffix: dict[str, int] = {}
        self.count = 0

    def inputs(self, graph: Graph) -> dict[int, str]:
        """A fresh scope with the graph's inputs."""
        return {v: self.unique(graph.names.get(v) or f"arg{i}") for i, v in enumerate(graph.inputs)}

    def results(self, graph: Graph, node: Node, names: dict[int, str]) -> str:
        """Name the node's results in `names`; the text up to and with `=`."""
        results, given = node.results, graph.names
        if len(results) == 1:
            r = results[0]
            if given.get(r):
                spelt = self.unique(given[r])
            else:
                spelt = f"%{self.count}"
                self.count += 1
            names[r] = spelt
            return spelt + " = "
        if not results:
            return ""
        if not any(given.get(r) for r in results):
            base = f"%{self.count}"
            self.count += 1
            for k, r in enumerate(results):
                names[r] = f"{base}#{k}"
            return f"{base}:{len(results)} = "
        for r in results:
            if given.get(r):
                names[r] = self.unique(given[r])
            else:
                names[r] = f"%{self.count}"
                self.count += 1
        return ", ".join([names[r] for r in results]) + " = "

    def unique(self, name: str) -> str:
        """A spelling from the user's name, unlike every one before."""
        if not PLAIN.fullmatch(name):
            name = _NOT_PLAIN.sub("_", name) or "_"
            name = "_" + name if name[0].isdigit() or name[0] == "." else name
        base = spelt = "%" + name
        n = self.suffix.get(base, 0)
        while spelt in self.taken:
            n += 1
            spelt = f"{base}_{n}"
        if n:
            self.suffix[base] = n
        self.taken.add(spelt)
        return spelt


def value_names(top: Graph) -> dict[int, dict[int, str]]:
    """For each graph in a top-level graph, by `id`, how the text spells its values."""
    naming = Naming()
    scopes = {id(top): naming.inputs(top)}
    for graph, node in top.walk():
        if id(graph) not in scopes:
            scopes[id(graph)] = naming.inputs(graph)
        naming.results(graph, node, scopes[id(graph)])
    return scopes
