"""A layered drawing (Sugiyama's): nodes in rows, few crossings, straight edges, no overlaps; time linear in rows and
edges per sweep.

Rows come from the caller. Here long edges get a bend in every row they cross, rows are ordered by the barycentres of
their neighbours, and x is the least-squares fit to the neighbours' mean under the distances that the widths ask for
(isotonic regression by pooling adjacent violators).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

SWEEPS = 6
DEEP = 24
"""Rows above which nodes are drawn to a packed place: following its neighbours alone, a long chain that takes in a
little at every step runs off sideways."""
PULL = 0.35
BEND = 10.0
"""Room that an edge takes where it passes a row."""
GAP = 22.0


@dataclass
class Drawing:
    """`x` are the centres of the nodes; `bends[edge]` the centres of its bends, row by row."""

    x: dict[int, float] = field(default_factory=dict)
    bends: dict[tuple[int, int], list[tuple[int, float]]] = field(default_factory=dict)
    left: float = 0.0
    right: float = 0.0


def draw(rows: Mapping[int, int], widths: Mapping[int, float], edges: Iterable[tuple[int, int]]) -> Drawing:
    """Place nodes in their rows. `edges` go from lower to higher rows."""
    ids = list(rows)
    row, width = dict(rows), {n: widths[n] + GAP for n in ids}
    up: dict[int, list[int]] = {n: [] for n in ids}
    down: dict[int, list[int]] = {n: [] for n in ids}
    chains: dict[tuple[int, int], list[int]] = {}
    fresh = -1
    for a, b in edges:
        chain, at = [], a
        for r in range(rows[a] + 1, rows[b]):
            row[fresh], width[fresh], up[fresh], down[fresh] = r, BEND, [at], []
            down[at].append(fresh)
            chain.append(fresh)
            at, fresh = fresh, fresh - 1
        down[at].append(b)
        up[b].append(at)
        chains[(a, b)] = chain
    by_row: dict[int, list[int]] = {}
    for n, r in row.items():
        by_row.setdefault(r, []).append(n)
    levels = [by_row[r] for r in sorted(by_row)]
    _order(levels, up, down)
    home = _homes(levels, width, up, down) if len(levels) > DEEP else {}
    x = _place(levels, width, up, down, home)
    out = Drawing({n: x[n] for n in ids})
    out.bends = {e: [(row[d], x[d]) for d in chain] for e, chain in chains.items()}
    if x:
        out.left = min(x[n] - width[n] / 2 for n in x)
        out.right = max(x[n] + width[n] / 2 for n in x)
    return out


def _order(levels: list[list[int]], up: Mapping[int, list[int]], down: Mapping[int, list[int]]) -> None:
    """Sort each row by the mean position of its neighbours in the rows before it, then after it, again and again."""
    position = {n: float(i) for level in levels for i, n in enumerate(level)}
    for sweep in range(SWEEPS):
        near = up if sweep % 2 == 0 else down
        for level in levels if sweep % 2 == 0 else reversed(levels):
            key = {n: sum(position[m] for m in near[n]) / len(near[n]) if near[n] else position[n] for n in level}
            level.sort(key=key.__getitem__)
            for i, n in enumerate(level):
                position[n] = float(i)


def _homes(
    levels: list[list[int]], width: Mapping[int, float], up: Mapping[int, list[int]], down: Mapping[int, list[int]]
) -> dict[int, float]:
    """Where each node stands if rows are packed around the longest path, and that runs straight down."""
    above, below = dict[int, int](), dict[int, int]()
    for order, near, length in ((levels, up, above), (levels[::-1], down, below)):
        for level in order:
            for n in level:
                length[n] = max((length[m] for m in near[n]), default=0) + 1
    home: dict[int, float] = {}
    last = 0
    for level in levels:
        anchor = max(level, key=lambda n: (above[n] + below[n], last in up[n]))
        at = 0.0
        for n in level:
            home[n] = at + width[n] / 2
            at += width[n]
        shift = home[anchor]
        for n in level:
            home[n] -= shift
        last = anchor
    return home


def _place(
    levels: list[list[int]],
    width: Mapping[int, float],
    up: Mapping[int, list[int]],
    down: Mapping[int, list[int]],
    home: Mapping[int, float],
) -> dict[int, float]:
    """x by sweeps down and up; nodes with a home are drawn to it."""
    x: dict[int, float] = {}
    for level in levels:
        at = -sum(width[n] for n in level) / 2
        for n in level:
            x[n] = home.get(n, at + width[n] / 2)
            at += width[n]
    for sweep in range(SWEEPS + 2):
        last = sweep == SWEEPS + 1
        for level in levels if sweep % 2 == 0 else reversed(levels):
            wanted, weight = [], []
            for n in level:
                near = up[n] + down[n] if last else up[n] if sweep % 2 == 0 else down[n]
                mean = sum(x[m] for m in near) / len(near) if near else home.get(n, x[n])
                if home:
                    wanted.append(home[n] + (mean - home[n]) * (1 - PULL))
                    weight.append(100.0 if home[n] == 0 else 1.0)
                else:
                    wanted.append(mean)
                    # A bend is held hard, so that long edges come out straight.
                    weight.append(8.0 if n < 0 else 1.0 if near else 0.2)
            for n, at in zip(level, fit([width[n] for n in level], wanted, weight), strict=True):
                x[n] = at
    return x


def fit(widths: list[float], wanted: list[float], weights: list[float]) -> list[float]:
    """Centres in the given order, at least half of both widths apart, nearest to `wanted` in weighted squares."""
    offsets, at = [], 0.0
    for i, w in enumerate(widths):
        at += (widths[i - 1] + w) / 2 if i else 0.0
        offsets.append(at)
    blocks: list[list[float]] = []
    for want, offset, weight in zip(wanted, offsets, weights, strict=True):
        blocks.append([want - offset, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            value, w, n = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + value * w) / (before[1] + w)
            before[1] += w
            before[2] += n
    level = [value for value, _, n in blocks for _ in range(int(n))]
    return [value + offset for value, offset in zip(level, offsets, strict=True)]
