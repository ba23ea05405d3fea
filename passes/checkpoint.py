"""Long chains: what a kernel far away would read from memory, or hold in a register until then, is computed again.

The value and gradient of a long elementwise chain read each step of the forward half once more, in reverse. Kernels
hold so many operations and registers, so the steps lie in memory, or spill. This pass cuts the forward half into
segments of at most SEGMENT such values, and puts a copy of a segment before its first far reader. The copy starts at
`grad.again` of what the segment reads, which keeps the two apart, and waits for the gradient that the readers extend.
Only what segments start from is kept. A segment is left alone if it would have to keep as much as it saves.

Method: checkpoints at every few steps, as in Griewank and Walther's "Revolve", with one level of checkpoints.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

from gradc.ir.graph import Graph, Module
from gradc.ir.op import CONTRACTION, ELEMENTWISE, INDEXED, REGISTRY, SOURCE
from gradc.ir.rewrite import Rewriter

from .cluster import OP_LIMIT
from .reach import BESIDE, Reach
from .remarks import Remark
from .repeat import OP_LIMIT as REPEAT_LIMIT
from .template import Templates

NEAR = 32
"""Values that a kernel may hold in registers from the forward half to their readers."""
SEGMENT = 32
"""Values that one copy of a segment gives its readers."""
FAR = 50
"""Nodes before a value among which its segment may start."""


class Segment:
    """`members` are the values with far readers, in order; `first` is the first far reader; no node before `start` is
    copied; `cone` are the nodes to copy, `reads` what they read from outside."""

    def __init__(self, members: list[int], first: int, start: int) -> None:
        self.members, self.first, self.start = members, first, start
        self.cone: list[int] = []
        self.reads: list[int] = []


def checkpoint(module: Module, remarks: list[Remark]) -> Module:
    """State unchanged, and so is a module that has been here; linear in nodes and edges."""
    if any(["again" in node.op.traits for node in module.main.nodes]):
        return module
    found = Segments(module.main).found()
    return module.with_main(_rewritten(module.main, found, remarks)) if found else module


class Segments:
    """Chooses the segments of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.types: Any = graph.types
        self.reach = Reach(graph, Templates())

    def found(self) -> list[Segment]:
        """The segments to compute again, by first reader."""
        reach, nodes = self.reach, self.graph.nodes
        if not reach.far():
            return []
        reach.measure()
        reach.simulate()
        self.walls = list(accumulate([node.op.kind in (CONTRACTION, INDEXED) for node in nodes]))
        self.kept = self._whole() | set(self.graph.inputs) | set(self.graph.outputs)
        first: dict[int, int] = {}
        for j, node in enumerate(nodes):
            for o in node.operands:
                p = reach.producer[o]
                if p < 0 or not reach.cost[p]:
                    continue
                if reach.kernel[j] == reach.kernel[p] and reach.depth[j] - reach.depth[p] <= NEAR:
                    continue
                if reach.at[j] - reach.at[p] <= BESIDE:
                    self.kept.add(o)
                    continue
                if not reach.cost[j] or self.types[node.results[0]].shape != self.types[o].shape:
                    self.kept.add(o)
                first.setdefault(o, j)
        groups: dict[Any, list[int]] = {}
        for i, node in enumerate(nodes):
            v = node.results[0] if node.results else -1
            if v in first and self.types[v].dtype.is_float:
                groups.setdefault((reach.chain[i], self.types[v].shape), []).append(v)
        out: list[Segment] = []
        for members in groups.values():
            out.extend(self._chosen(self._cut(members, first)))
        return sorted(out, key=lambda s: s.first)

    def _whole(self) -> set[int]:
        """Values that lie in memory whatever this pass does. A matrix product need not: what reads it may be computed
        in its kernel."""
        out: set[int] = set()
        for node in self.graph.nodes:
            if node.op.kind in (CONTRACTION, INDEXED):
                out.update(node.operands)
            if node.op.kind not in (ELEMENTWISE, CONTRACTION):
                out.update(node.results)
        return out

    def _cut(self, members: list[int], first: dict[int, int]) -> list[Segment]:
        """Runs of members whose copies and readers fit one kernel; each starts where few values cross."""
        reach, kept = self.reach, self.kept
        start: dict[int, int] = {}
        ends = {v: reach.at[first[u]] for u, v in pairwise(members)}
        ends[members[0]] = max([reach.at[i] + reach.added[i] for i in (reach.last[v] for v in members)])
        before = reach.producer[members[0]] - 1
        for v in members:
            p = reach.producer[v]
            known = v not in kept and all(o in kept for o in self.graph.nodes[p].operands)
            places = range(p - 1 if known else p, max(before, p - FAR) - known, -1)
            start[v] = 1 + min(places, key=lambda i: reach.width[i])
            before = p
        runs: list[list[int]] = []
        run: list[int] = []
        for v in members:
            if run and v in kept:
                runs.append(run)
                run = []
            while run and (len(run) == SEGMENT or not self._fits(start[run[0]], run[0], v, first, ends[run[0]])):
                choices = range(len(run), max(1, len(run) * 3 // 5) - 1, -1)
                k = min(choices, key=lambda k: reach.width[start[[*run, v][k]] - 1])
                runs.append(run[:k])
                run = run[k:]
            run.append(v)
        return [Segment(r, min([first[v] for v in r]), start[r[0]]) for r in (*runs, run)]

    def _fits(self, start: int, a: int, v: int, first: dict[int, int], end: int) -> bool:
        """Whether one kernel holds copies of the nodes from `start` to the member `v`, and its readers and all up to
        `end` operations. No matrix product or gather may lie between the members `a` and `v`, or between their readers:
        it would come between two kernels."""
        reach, walls = self.reach, self.walls
        p = reach.producer[v]
        if walls[p] != walls[min(start, p)] or walls[first[v]] != walls[first[a]]:
            return False
        copied = reach.at[p] + reach.added[p] - reach.at[min(start, p)]
        # What reads the last member shares nothing: the node after it is not copied.
        readers = abs(end - reach.at[first[v]]) + reach.cost[first[v]] - reach.added[first[v]]
        return copied + readers <= OP_LIMIT

    def _chosen(self, runs: list[Segment]) -> list[Segment]:
        """The runs worth computing again, the last one first: what its copy reads is kept by those before it."""
        out = []
        for s in reversed(runs):
            if self.reach.producer[s.members[0]] < s.start:
                self.kept.add(s.members[0])
            saved = [v for v in s.members if v not in self.kept]
            self._open(s, saved)
            added = [v for v in s.reads if v not in self.kept and not self._free(v)]
            gain = sum(self.types[v].nbytes for v in saved) - sum(self.types[v].nbytes for v in added)
            work = sum(self.reach.cost[i] for i in s.cone)
            if gain <= 0 or work > REPEAT_LIMIT * len(saved) or s.cone[-1] >= s.first:
                self.kept.update(s.members)
                continue
            self.kept.update(added)
            s.members = saved
            out.append(s)
        return out

    def _free(self, v: int) -> bool:
        """Constants: every kernel makes its own."""
        p = self.reach.producer[v]
        return p >= 0 and self.graph.nodes[p].op.kind == SOURCE

    def _open(self, s: Segment, saved: list[int]) -> None:
        cone: set[int] = set()
        reads: dict[int, None] = {}
        stack = [self.reach.producer[v] for v in saved]
        while stack:
            i = stack.pop()
            if i in cone:
                continue
            cone.add(i)
            for o in self.graph.nodes[i].operands:
                p = self.reach.producer[o]
                if p < s.start or o in self.kept or not self.reach.cost[p]:
                    reads[o] = None
                else:
                    stack.append(p)
        s.cone, s.reads = sorted(cone), sorted(reads)


def _rewritten(graph: Graph, segments: list[Segment], remarks: list[Remark]) -> Graph:
    r = Rewriter(graph)
    producer, users = graph.producers(), graph.users()
    starting: dict[int, list[Segment]] = {}
    redirected: dict[int, int] = {}
    for s in segments:
        starting.setdefault(s.first, []).append(s)
    for j, node in enumerate(graph.nodes):
        for s in starting.get(j, ()):
            for v, new in redirected.items():
                r.map[v] = new
            redirected = _copy(r, s, _gradient(graph, producer, users, s))
            remarks.append(_remark(graph, s))
        r.copy(node)
    return r.finish()


def _copy(r: Rewriter, s: Segment, after: int | None) -> dict[int, int]:
    """Copies of the cone's nodes; from here on the members' readers read these. Until the next copy, readers of what
    the segment starts from read it where the copy does; returned is what they read else."""
    nodes, types = r.source.nodes, r.source.types
    originals = {v: r.map[v] for i in s.cone for v in nodes[i].results if v not in s.members}
    start: dict[int, int] = {}
    r.b.loc, r.b.no_grad = nodes[s.cone[0]].loc, False
    for o in s.reads:
        if after is not None and types[o] is types[after]:
            start[o] = r.map[o]
            r.map[o] = r.b.run(REGISTRY["grad.again"], (r.map[o], r.map[after]), {})
    for i in s.cone:
        node = nodes[i]
        made = r.at(node).emit(node.op, r.operands(node), node.attrs, [types[v] for v in node.results])
        for v, new in zip(node.results, made, strict=True):
            r.map[v] = new
            if v in r.source.names:
                r.graph.names[new] = r.source.names[v]
    for v, new in originals.items():
        r.map[v] = new
    return start


def _gradient(graph: Graph, producer: list[int], users: list[list[int]], s: Segment) -> int | None:
    """A value of the members' type that is made between the segment and its first reader, and that this reader, or
    what reads it in turn, reads too."""
    want = graph.types[s.members[-1]]
    level = [s.first]
    for _ in range(4):
        for i in level:
            for o in graph.nodes[i].operands:
                if graph.types[o] is want and s.cone[-1] < producer[o] < s.first:
                    return o
        level = [u for i in level for v in graph.nodes[i].results for u in users[v][:3]]
    return None


def _remark(graph: Graph, s: Segment) -> Remark:
    types: Any = graph.types
    loc = graph.nodes[s.cone[0]].loc
    size = sum(types[v].nbytes for v in s.members)
    subject = f"{len(s.members)} values" if len(s.members) > 1 else graph.names.get(s.members[0], "1 value")
    return Remark("recomputed", subject, "read far from where they are computed", loc, {"bytes": size})
