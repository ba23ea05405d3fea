"""Placing intervals in one arena: each buffer lives over an inclusive range of steps and wants an offset such that no
two buffers alive at one step overlap.

Greedy best fit over a portfolio of orders (size, duration, area, start), as TFLite and XLA do it; the best total wins.
That takes quadratic time, so above `PORTFOLIO` buffers only the sweeps in the order of time, forwards and backwards,
are tried: they keep a list of gaps and take n log n. The lower bound is the largest sum of live bytes over all steps.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np


class Interval(NamedTuple):
    """`bytes` needed over steps `first` to `last`, both inclusive."""

    bytes: int
    first: int
    last: int


PORTFOLIO = 1000

ORDERS: tuple[Callable[[Interval], Any], ...] = (
    lambda b: (-b.bytes, b.first),
    lambda b: (-(b.last - b.first), -b.bytes),
    lambda b: (-(b.last - b.first + 1) * b.bytes,),
    lambda b: (b.first, -b.bytes),
)


def lower_bound(buffers: Sequence[Interval]) -> int:
    """The most bytes alive at one step."""
    if not buffers:
        return 0
    change = np.zeros(max(b.last for b in buffers) + 2, np.int64)
    for b in buffers:
        change[b.first] += b.bytes
        change[b.last + 1] -= b.bytes
    return int(np.cumsum(change).max())


def place(buffers: Sequence[Interval], order: Sequence[int]) -> list[int]:
    """Offsets by best fit in this order: the smallest gap that is large enough, else the end of what is alive."""
    n = len(buffers)
    first = np.fromiter((b.first for b in buffers), np.int64, n)
    last = np.fromiter((b.last for b in buffers), np.int64, n)
    size = np.fromiter((b.bytes for b in buffers), np.int64, n)
    offset = np.full(n, -1, np.int64)
    placed = np.empty(n, np.int64)
    for count, i in enumerate(order):
        done = placed[:count]
        near = done[(first[done] <= last[i]) & (last[done] >= first[i])]
        best, best_gap, end = 0, -1, 0
        if len(near):
            near = near[np.argsort(offset[near], kind="stable")]
            starts = offset[near]
            reach = np.maximum.accumulate(starts + size[near])
            gap_start = np.concatenate(([0], reach[:-1]))
            gaps = starts - gap_start
            fits = np.flatnonzero(gaps >= size[i])
            end = int(reach[-1])
            if len(fits):
                j = fits[np.argmin(gaps[fits])]
                best, best_gap = int(gap_start[j]), int(gaps[j])
        offset[i] = best if best_gap >= 0 or not len(near) else end
        placed[count] = i
    return [int(o) for o in offset]


class Gaps:
    """The free ranges below the end of what is alive."""

    def __init__(self) -> None:
        self.top = 0
        self._sizes: list[tuple[int, int]] = []
        self._end_of: dict[int, int] = {}
        self._start_of: dict[int, int] = {}

    def take(self, size: int) -> int:
        """The start of the smallest range that is large enough, else the end."""
        at = bisect_left(self._sizes, (size, -1))
        if at == len(self._sizes):
            self.top += size
            return self.top - size
        start = self._sizes[at][1]
        end = self._remove(start)
        if start + size < end:
            self._add(start + size, end)
        return start

    def give(self, start: int, end: int) -> None:
        """Free a range, and join it with the free ranges beside it."""
        if end in self._end_of:
            end = self._remove(end)
        if start in self._start_of:
            start = self._start_of[start]
            self._remove(start)
        if end == self.top:
            self.top = start
        else:
            self._add(start, end)

    def _add(self, start: int, end: int) -> None:
        self._end_of[start], self._start_of[end] = end, start
        insort(self._sizes, (end - start, start))

    def _remove(self, start: int) -> int:
        end = self._end_of.pop(start)
        del self._start_of[end]
        del self._sizes[bisect_left(self._sizes, (end - start, start))]
        return end


def sweep(buffers: Sequence[Interval]) -> list[int]:
    """What `place` gives in the order of first steps."""
    offsets = [0] * len(buffers)
    gaps = Gaps()
    alive: list[tuple[int, int]] = []
    for i in sorted(range(len(buffers)), key=lambda i: ORDERS[-1](buffers[i])):
        b = buffers[i]
        while alive and alive[0][0] < b.first:
            _, k = heapq.heappop(alive)
            gaps.give(offsets[k], offsets[k] + buffers[k].bytes)
        if b.bytes:
            offsets[i] = gaps.take(b.bytes)
            heapq.heappush(alive, (b.last, i))
    return offsets


def sweeps(buffers: Sequence[Interval]) -> list[list[int]]:
    """Offsets by a sweep forwards and by one backwards in time."""
    return [sweep(buffers), sweep([Interval(b.bytes, -b.last, -b.first) for b in buffers])]


def portfolio(buffers: Sequence[Interval]) -> Iterator[list[int]]:
    """Offsets by best fit in each of the orders."""
    for key in ORDERS:
        yield place(buffers, sorted(range(len(buffers)), key=lambda i: key(buffers[i])))


def pack(buffers: Sequence[Interval]) -> tuple[list[int], int]:
    """Offsets and the arena's size, by the best of the portfolio."""
    if not buffers:
        return [], 0
    bound = lower_bound(buffers)
    best: tuple[list[int], int] | None = None
    for offsets in sweeps(buffers) if len(buffers) > PORTFOLIO else portfolio(buffers):
        total = max(o + b.bytes for o, b in zip(offsets, buffers, strict=True))
        if best is None or total < best[1]:
            best = offsets, total
        if best[1] == bound:
            break
    assert best is not None
    return best
