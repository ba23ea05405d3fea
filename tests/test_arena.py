"""Placing buffers: the sweeps for many buffers agree with the quadratic search, and never let live buffers overlap."""

from __future__ import annotations

import itertools
import random
import time

import pytest

from gradc.passes.arena import ORDERS, PORTFOLIO, Interval, lower_bound, pack, place, sweep, sweeps


def draw(seed, n, steps):
    rng = random.Random(seed)
    out = []
    for _ in range(n):
        first = rng.randrange(steps)
        out.append(Interval(256 * rng.randint(1, 9), first, min(steps - 1, first + rng.randint(0, 12))))
    return out


def overlap(buffers, offsets):
    """By brute force over steps."""
    for step in range(max(b.last for b in buffers) + 1):
        alive = sorted(
            (o, o + b.bytes) for b, o in zip(buffers, offsets, strict=True) if b.first <= step <= b.last and b.bytes
        )
        if any(a[1] > b[0] for a, b in itertools.pairwise(alive)):
            return True
    return False


@pytest.mark.parametrize("seed", range(20))
def test_a_sweep_is_best_fit_in_the_order_of_time(seed):
    buffers = draw(seed, 120, 40)
    order = sorted(range(len(buffers)), key=lambda i: ORDERS[-1](buffers[i]))
    assert sweep(buffers) == place(buffers, order)
    for offsets in sweeps(buffers):
        assert not overlap(buffers, offsets)


def test_many_buffers_take_little_time_and_little_more_than_the_bound():
    buffers = draw(1, 30 * PORTFOLIO, 6000)
    start = time.process_time()
    offsets, total = pack(buffers)
    assert time.process_time() - start < 20
    assert not overlap(buffers[:3000], offsets[:3000])
    assert lower_bound(buffers) <= total <= 1.5 * lower_bound(buffers)


def test_nested_buffers_of_a_chain_meet_the_bound():
    n = 5 * PORTFOLIO
    buffers = [Interval(512, i, 2 * n - i) for i in range(n)] + [Interval(256, n + i, n + i + 1) for i in range(n)]
    assert pack(buffers)[1] == lower_bound(buffers)
