"""Where fusion puts every node of a simplified module, asked after the fact: fusion runs again, and tells all."""

from __future__ import annotations

from typing import Any, NamedTuple

from gradc.ir.graph import Graph, Module

from .edges import distinct, edges, kernels_of, remark, times
from .fuse import clustered
from .halves import halves
from .prepare import prepare
from .remarks import Remark
from .schedule import schedule
from .views import STRIDED


class Launch(NamedTuple):
    """A kernel with the nodes it computes, by their position in the simplified graph: its own, those it repeats, and
    those whose partials it adds up."""

    kernel: str
    kind: str
    nodes: tuple[int, ...]
    repeated: tuple[int, ...]
    finishes: tuple[int, ...]
    axes: str


class Edge(NamedTuple):
    """From one node of the simplified graph to another; `remark` is None where the two are fused."""

    source: int
    target: int
    remark: Remark | None


class Placement(NamedTuple):
    graph: Graph
    launches: tuple[Launch, ...]
    edges: tuple[Edge, ...]
    views: frozenset[int]
    """Nodes that are index arithmetic in their readers."""


def place(module: Module) -> Placement:
    """The placement of a module at state "simplified"; the same every time."""
    graph, origin = prepare(module.main)
    fuser = clustered(graph)
    scheduled = schedule(module, graph, fuser)
    homes = kernels_of(fuser)
    own: dict[str, list[int]] = {}
    repeated: dict[str, list[int]] = {}
    parts = {id(c): halves(fuser, c) for c in fuser.clusters if c.rows}
    for i, kernels in enumerate(homes):
        for c in kernels:
            first = c.rows and i in parts[id(c)].rows
            if first:
                own.setdefault(c.rows, []).append(origin[i])
            if not first or i in parts[id(c)].columns:
                table = repeated if first or (i in fuser.inline and i not in c.nodes) else own
                table.setdefault(c.name, []).append(origin[i])
    finishes: dict[str, list[int]] = {}
    axes: dict[str, str] = {}
    for c in fuser.clusters:
        axes[c.name] = axes[c.rows or c.name] = times(c.axes.values())
        finishes.setdefault(c.name, []).extend(origin[fuser.producer[v]] for v in c.finishes)
    launches = tuple(
        Launch(
            name,
            str(g.attrs.get("class", "")),
            _once(own.get(name)),
            _once(repeated.get(name)),
            _once(finishes.get(name)),
            axes[name],
        )
        for name, g in scheduled.graphs.items()
        if g.kind == "kernel"
    )
    found = tuple(
        Edge(origin[e.source], origin[e.target], None if e.reason is None else remark(fuser, origin, e))
        for e in distinct(edges(fuser, homes), origin)
    )
    views = frozenset(i for i, node in enumerate(module.main.nodes) if node.op.name in STRIDED)
    return Placement(module.main, launches, found, views)


def _once(positions: Any) -> tuple[int, ...]:
    return tuple(dict.fromkeys(i for i in positions or () if i >= 0))
