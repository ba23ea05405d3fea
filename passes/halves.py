"""Which nodes of a cluster that became two kernels (`divide.py`) run in which, and what goes between them."""

from __future__ import annotations

from typing import NamedTuple

from gradc.ir.op import REDUCTION

from .cluster import Cluster
from .divide import ONE_TILE
from .reading import Reading


class Halves(NamedTuple):
    """Nodes of the kernel of the rows, nodes of the kernel of the columns (some are in both), and those whose values,
    one per row, the second reads from memory."""

    rows: frozenset[int]
    columns: frozenset[int]
    between: frozenset[int]


def halves(fuser: Reading, c: Cluster) -> Halves:
    """The halves of a divided cluster."""
    own = set(c.nodes)
    reads: dict[int, list[int]] = {}
    for i in c.nodes:
        roots = (view.root for _, view in fuser.reads(fuser.graph.nodes[i], c))
        reads[i] = [p for p in dict.fromkeys(fuser.producer[r] for r in roots) if p in own]
    late: set[int] = set()
    for i in sorted(own):
        node = fuser.graph.nodes[i]
        along = node.op.kind == REDUCTION and node.results[0] not in c.final and _long(c, i, fuser, c.domains)
        if along or not late.isdisjoint(reads[i]):
            late.add(i)
    short = {i for i in late if not _long(c, i, fuser, c.labels)}
    stored = {fuser.producer[v] for v in c.stored}
    columns, between = set(), set()
    stack = [i for i in stored & own if _long(c, i, fuser, c.domains) and not _whole(c, i, fuser)]
    columns.update(stack)
    while stack:
        for p in reads[stack.pop()]:
            if p in short:
                between.add(p)
            elif p not in columns:
                columns.add(p)
                stack.append(p)
    rows = {*between, *(stored & own - columns)}
    stack = list(rows)
    while stack:
        for p in reads[stack.pop()]:
            if p not in rows:
                rows.add(p)
                stack.append(p)
    return Halves(frozenset(rows), frozenset(columns), frozenset(between))


def _whole(c: Cluster, i: int, fuser: Reading) -> bool:
    """Whether nothing as long as a row is left of the node's operands, in the kernel of the rows."""
    node = fuser.graph.nodes[i]
    over = c.final.get(node.results[0], frozenset(c.inner))
    stays = over == c.inner or c.extent(c.inner) > ONE_TILE
    return node.op.kind == REDUCTION and c.inner <= over and stays


def _long(c: Cluster, i: int, fuser: Reading, labels: dict[int, tuple[tuple[int, ...], ...]]) -> bool:
    """Whether the node's result (or the domain it runs over) varies along the rows."""
    v = fuser.graph.nodes[i].results[0]
    return any(a in c.inner for lab in labels.get(v, ()) for a in lab)
