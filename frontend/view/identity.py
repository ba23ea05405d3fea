"""Which node of a step is which node of the step before."""

from __future__ import annotations

from typing import Any

from gradc.ir.graph import Dense, Graph, Node

CANDIDATES = 16
"""Nodes alike that are looked at for a common operand."""
ROUNDS = 3
"""How often nodes are matched by what they read after others were matched otherwise."""


def number(steps: list[list[Graph]]) -> list[list[list[int]]]:
    """Per step, graph and node a number: a node of the step before goes on in the one that is the same in itself (op,
    attributes, types, source line) and reads the same; then in turn in those that are the same in themselves, where
    there are as many after as before; then in one with an operand in common. Others are new."""
    known: dict[Any, int] = {}
    owns: dict[int, Any] = {}
    reads: dict[int, tuple[Any, ...]] = {}
    count = 0
    out: list[list[list[int]]] = []
    for graphs in steps:
        flat = [(i, node) for i, g in enumerate(graphs) for node in g.nodes]
        made = [g.producers() for g in graphs]
        start = [sum(len(g.nodes) for g in graphs[:i]) for i in range(len(graphs))]
        own = [known.setdefault(_own(graphs[i], node), len(known)) for i, node in flat]
        sources = [_sources(graphs[i], node, made[i], start[i], own) for i, node in flat]
        uids = [-1] * len(flat)
        free = dict.fromkeys(owns)
        for _ in range(ROUNDS):
            _same_reads(uids, own, sources, free, owns, reads)
            _same_number(uids, own, free, owns)
        _some_reads(uids, own, sources, free, owns, reads)
        for i, uid in enumerate(uids):
            if uid < 0:
                uids[i], count = count, count + 1
        owns = dict(zip(uids, own, strict=True))
        reads = {uid: _read(sources[i], uids) for i, uid in enumerate(uids)}
        out.append([uids[s : s + len(g.nodes)] for s, g in zip(start, graphs, strict=True)])
    return out


def _own(graph: Graph, node: Node) -> Any:
    return node.op.name, frozen(node.attrs), tuple(graph.types[r] for r in node.results), node.loc


def _sources(graph: Graph, node: Node, made: list[int], start: int, own: list[int]) -> tuple[Any, ...]:
    """Per operand the position of the node that makes it; what it is, where that reads nothing; or the input."""
    out: list[Any] = []
    for o in node.operands:
        if made[o] < 0:
            out.append((graph.names.get(o), graph.types[o]))
        elif graph.nodes[made[o]].operands:
            out.append(start + made[o])
        else:
            out.append((own[start + made[o]],))
    return tuple(out)


def _read(sources: tuple[Any, ...], uids: list[int]) -> tuple[Any, ...]:
    return tuple(uids[s] if isinstance(s, int) else s for s in sources)


def _same_reads(
    uids: list[int], own: list[int], sources: list[tuple[Any, ...]], free: dict[int, None], owns: dict[int, Any],
    reads: dict[int, tuple[Any, ...]],
) -> None:  # fmt: skip
    found: dict[Any, list[int]] = {}
    for uid in reversed(free):
        found.setdefault((owns[uid], reads[uid]), []).append(uid)
    for i, uid in enumerate(uids):
        if uid < 0:
            candidates = found.get((own[i], _read(sources[i], uids)))
            if candidates:
                uids[i] = candidates.pop()
                del free[uids[i]]


def _same_number(uids: list[int], own: list[int], free: dict[int, None], owns: dict[int, Any]) -> None:
    before: dict[Any, list[int]] = {}
    after: dict[Any, list[int]] = {}
    for uid in free:
        before.setdefault(owns[uid], []).append(uid)
    for i, uid in enumerate(uids):
        if uid < 0:
            after.setdefault(own[i], []).append(i)
    for key, places in after.items():
        if len(before.get(key, ())) == len(places):
            for i, uid in zip(places, before[key], strict=True):
                uids[i] = uid
                del free[uid]


def _some_reads(
    uids: list[int], own: list[int], sources: list[tuple[Any, ...]], free: dict[int, None], owns: dict[int, Any],
    reads: dict[int, tuple[Any, ...]],
) -> None:  # fmt: skip
    """Match what is left by one common operand: another may have been merged or folded away."""
    before: dict[Any, list[int]] = {}
    for uid in free:
        before.setdefault(owns[uid], []).append(uid)
    for i, uid in enumerate(uids):
        if uid >= 0:
            continue
        now = set(_read(sources[i], uids))
        found = next((u for u in before.get(own[i], ())[:CANDIDATES] if not now.isdisjoint(reads[u])), None)
        if found is not None:
            uids[i] = found
            before[own[i]].remove(found)
            del free[found]


def frozen(x: Any) -> Any:
    """An attribute as something that can be a key."""
    if isinstance(x, dict):
        return tuple((k, frozen(v)) for k, v in sorted(x.items()))
    if isinstance(x, Dense):
        return (x.data, x.shape, x.dtype.name)
    if isinstance(x, tuple | list):
        return tuple(frozen(v) for v in x)
    return repr(x)
