"""Which kernel computes what, and why a value went through memory between two kernels.

After fusion every producer-consumer edge is looked at once: it is fused (one kernel computes both ends, or the producer
is a repeated expression there), or its value lies in memory for exactly one reason of `fuse.REASONS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from gradc.ir.graph import Graph, Node

from .cluster import OP_LIMIT, Cluster, Mismatch, match
from .halves import halves
from .merge import complete, may_merge, renaming
from .remarks import Remark
from .views import STRIDED

if TYPE_CHECKING:
    from .fuse import Fuser

MEANING = {
    "axis conflict": "the two iterate over axes that no one kernel of a known kind walks together",
    "reduction finishes in another kernel": "the value is complete only when a second kernel has added up its partials",
    "rearranged in memory": "the reader walks the value in an order that the kernel that computes it cannot",
    "kernel is full": "one kernel would have more operations or buffers than it may",
    "whole operand needed": "the reader needs all of the value before it starts, as a matrix product does",
    "a kernel between them": "something that must run after the one and before the other separates them",
    "row is too long": "what is made of a row with it does not fit into registers beside the sums per column",
    "domain grows": "the value is small and its reader large: it is cheaper to store it than to compute it there",
}
"""What each reason of `fuse.REASONS` says."""


class Edge(NamedTuple):
    """From the node that computes a value to one that reads it, both by position in the prepared graph; `reason` is
    None for a fused edge. `readers` are the kernels that find the value in memory."""

    source: int
    target: int
    operand: int
    reason: str | None
    readers: tuple[Cluster, ...] = ()


def kernels_of(fuser: Fuser) -> list[list[Cluster]]:
    """For each node the clusters that compute it: its own, or all that repeat it."""
    homes: list[list[Cluster]] = [[] for _ in fuser.graph.nodes]
    for c in fuser.clusters:
        for i in c.nodes:
            homes[i].append(c)
    if fuser.inline:
        for i in range(len(homes) - 1, -1, -1):
            node = fuser.graph.nodes[i]
            if not homes[i] or node.op.name in STRIDED:
                continue
            for o in node.operands:
                p = fuser.producer[fuser.view[o].root]
                if p in fuser.inline:
                    found = homes[p]
                    found.extend([c for c in homes[i] if fuser.repeats(p, c) and c not in found])
    return homes


def edges(fuser: Fuser, homes: list[list[Cluster]]) -> Iterator[Edge]:
    """Every edge once, whatever the number of operands that read the value; views are no ends of edges."""
    nodes, producer, placed, inline = fuser.graph.nodes, fuser.producer, fuser.cluster_of, fuser.inline
    divided = {id(c): halves(fuser, c) for c in fuser.clusters if c.rows}
    for i, node in enumerate(nodes):
        if node.op.name in STRIDED:
            continue
        done = []
        for k, o in enumerate(node.operands):
            root = fuser.view[o].root
            p = producer[root]
            if p < 0 or p in done:
                continue
            done.append(p)
            readers: tuple[Cluster, ...] = ()
            if p in placed:
                readers = tuple([c for c in homes[i] if not _within(fuser, p, root, c, p in inline)])
            home = placed.get(p)
            if home is not None and home is placed.get(i) and home.rows:
                parts = divided[id(home)]
                if p in parts.between and i in parts.columns:
                    yield Edge(p, i, k, "row is too long", (home,))
                    continue
            yield Edge(p, i, k, why(fuser, p, i, k, readers[0]) if readers else None, readers)


def _within(fuser: Fuser, p: int, root: int, c: Cluster, repeatable: bool) -> bool:
    """Whether `c` computes the value for itself, or adds up its partials."""
    if fuser.cluster_of[p] is c or root in c.finishes:
        return True
    if root in c.final:
        return False
    return root in c.labels or (repeatable and fuser.repeats(p, c))


def why(fuser: Fuser, p: int, i: int, k: int, c: Cluster) -> str:
    """The reason for which node `i`, in kernel `c`, finds the value of node `p` in memory."""
    node, home = fuser.graph.nodes[i], fuser.cluster_of[p]
    root = fuser.view[node.operands[k]].root
    if k in fuser.whole(node):
        return "whole operand needed"
    if root in home.finishes:
        return "reduction finishes in another kernel"
    refused = fuser.refused.get((i, home))
    if refused is not None:
        return refused
    if p in fuser.inline:
        return "rearranged in memory"
    if i in fuser.inline:
        return "domain grows" if fuser.expands(node) else "a kernel between them"
    return _kept_apart(fuser, node, root, k, home, c)


def _kept_apart(fuser: Fuser, node: Node, root: int, k: int, home: Cluster, c: Cluster) -> str:
    """Why the producer's kernel was not moved into the one that its consumer joined."""
    if node.results[0] not in c.domains:
        return "a kernel between them"
    types: Any = fuser.types
    got = match(fuser.aligned(node)[k], home.labels[root], types[root].shape, home.axes)
    if isinstance(got, Mismatch):
        return "rearranged in memory"
    if home.finalisers:
        return "reduction finishes in another kernel"
    if home.cost + c.cost > OP_LIMIT:
        return "kernel is full"
    rename = renaming(home, c, got, c.domains[node.results[0]])
    rename = None if rename is None else complete(home, c, rename)
    if rename is None or not may_merge(home, c, rename):
        return "axis conflict"
    return "a kernel between them"


def remark(fuser: Fuser, origin: list[int], edge: Edge) -> Remark:
    """The remark of an edge that is not fused."""
    graph, home = fuser.graph, fuser.cluster_of[edge.source]
    source, target = graph.nodes[edge.source], graph.nodes[edge.target]
    value = fuser.view[target.operands[edge.operand]].root
    types: Any = fuser.types
    assert edge.reason is not None
    numbers: dict[str, Any] = {
        "bytes": types[value].nbytes,
        "from": home.rows if edge.source in rows_first(fuser, home) else home.name,
        "to": ", ".join(c.name for c in edge.readers),
    }
    if edge.reason == "kernel is full":
        numbers |= {"operations": max(home.cost, edge.readers[0].cost), "limit": OP_LIMIT}
    elif edge.reason in ("axis conflict", "rearranged in memory"):
        numbers |= {"kernel_axes": times(home.axes.values()), "wanted_axes": times(fuser.domain(target))}
    elif edge.reason == "domain grows":
        numbers |= {"elements": types[value].numel, "grows_to": types[target.results[0]].numel}
    name = f"{label(graph, origin, edge.source)} -> {label(graph, origin, edge.target)}"
    return Remark("not-fused", name, edge.reason, target.loc or source.loc, numbers)


def rows_first(fuser: Fuser, c: Cluster) -> frozenset[int]:
    """Nodes that the first of a cluster's two kernels computes; none if it has one."""
    return halves(fuser, c).rows if c.rows else frozenset()


def label(graph: Graph, origin: list[int], i: int) -> str:
    """A node's stable name: its op and its position in the simplified graph."""
    return f"{graph.nodes[i].op.short}#{origin[i]}" if origin[i] >= 0 else "output"


def times(extents: Any) -> str:
    return "x".join(str(n) for n in extents) or "1"


def distinct(found: Iterable[Edge], origin: list[int]) -> list[Edge]:
    """One edge per pair of nodes of the simplified graph: of several, one that goes through memory."""
    out: dict[tuple[int, int, int], Edge] = {}
    for n, e in enumerate(found):
        ends = (origin[e.source], origin[e.target])
        key = (*ends, 0) if ends[0] != ends[1] and min(ends) >= 0 else (*ends, n + 1)
        if key not in out or out[key].reason is None:
            out.pop(key, None)
            out[key] = e
    return list(out.values())


def not_fused(fuser: Fuser, origin: list[int]) -> list[Remark]:
    """One remark per edge that goes through memory."""
    found = [e for e in edges(fuser, kernels_of(fuser)) if e.reason is not None]
    return [remark(fuser, origin, e) for e in distinct(found, origin)]
