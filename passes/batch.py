"""Finalisers that are ready at the same time, in one launch.

A finaliser adds up partials that earlier kernels left; where nobody waits for its results it may run later, beside
others. They share one kernel: its programs cover the longest of them, and the lanes of shorter ones are masked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradc.ir.dim import next_pow2

from .cluster import BUFFER_LIMIT, OP_LIMIT, Cluster, Labels

if TYPE_CHECKING:
    from .fuse import Fuser

DEPTH = 1024
"""Most partials per result: all members hold as many lanes as the one with the most."""
WAITING_BYTES = 1 << 24
"""Partials that may lie in memory for the sake of a common launch."""


class Batch:
    """Finalisers that wait for a common launch, in order of position; `values` are what they compute."""

    def __init__(self, fuser: Fuser) -> None:
        self.fuser = fuser
        self.members: list[Cluster] = []
        self.values: set[int] = set()
        self.bytes = 0

    def fits(self, c: Cluster, partials: dict[int, tuple[int, int]]) -> bool:
        """Whether the cluster may share a launch: a finaliser along at most one axis that reads few partials per result
        and nothing else but scalars, which every program may read or compute."""
        fuser = self.fuser
        if c.source is None or c.final or c.overs or len(c.kept) > 1:
            return False
        if max(next_pow2(partials[v][1]) for v in c.finishes) > DEPTH or self._size(c, partials) > WAITING_BYTES:
            return False
        return all(
            view.root in c.finishes or fuser.placed(view.root) is c or fuser.types[view.root].numel == 1
            for i in c.nodes
            for _, view in fuser.reads(fuser.graph.nodes[i], c)
        )

    def takes(self, c: Cluster, partials: dict[int, tuple[int, int]]) -> bool:
        """Let the cluster wait, if there is room for it; there always is beside no other."""
        both = [*self.members, c]
        size = self.bytes + self._size(c, partials)
        buffers = sum(2 * len(m.finishes) + len(m.nodes) for m in both)
        full = buffers > BUFFER_LIMIT or sum(m.cost for m in both) > OP_LIMIT or size > WAITING_BYTES
        if full and self.members:
            return False
        self.members, self.bytes = both, size
        self.values.update(c.labels)
        return True

    def _size(self, c: Cluster, partials: dict[int, tuple[int, int]]) -> int:
        return sum(self.fuser.types[v].nbytes * partials[v][1] for v in c.finishes)

    def needed_by(self, c: Cluster) -> bool:
        """Whether the cluster reads what a waiting one computes."""
        fuser = self.fuser
        if not self.values:
            return False
        return any(
            view.root in self.values for i in c.nodes for _, view in fuser.reads(fuser.graph.nodes[i], c)
        )

    def flush(self) -> Cluster | None:
        """All that wait, as one cluster; none are left."""
        members, fuser = self.members, self.fuser
        self.members, self.values, self.bytes = [], set(), 0
        if len(members) < 2:
            return members[0] if members else None
        out = Cluster(pos=members[-1].pos, kind="ROW", source=members[0].source, members=len(members))
        inner, kept = fuser.fresh_axis(out, 1), fuser.fresh_axis(out, 1)
        out.inner = {inner}
        for m in members:
            for a in m.kept:
                out.axes[kept] = max(out.axes[kept], m.axes[a])
            _absorb(m, out, kept)
            for i in (*m.nodes, *(fuser.producer[v] for v in m.finishes)):
                fuser.cluster_of[i] = out
            fuser.clusters.remove(m)
        out.nodes.sort()
        fuser.clusters.append(out)
        return out


def _absorb(m: Cluster, out: Cluster, kept: int) -> None:
    def moved(labels: Labels) -> Labels:
        return tuple(tuple(kept for _ in lab) for lab in labels)

    out.nodes += m.nodes
    out.cost += m.cost
    out.finishes += m.finishes
    out.labels.update({v: moved(ls) for v, ls in m.labels.items()})
    out.domains.update({v: moved(ls) for v, ls in m.domains.items()})


def width(c: Cluster, labels: Labels, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """(axis, extent) of a value that is shorter than the axis it lies along in a batch; None for others."""
    for lab, n in zip(labels, shape, strict=True):
        if len(lab) == 1 and c.axes[lab[0]] > n > 1:
            return lab[0], n
    return None
