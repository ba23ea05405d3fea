"""Placement of buffers: no two that live at once overlap, by a check that shares nothing with the planner; how far the
placements are from the lower bound; and in-place results that only the lane which overwrites an element has read."""

from __future__ import annotations

import csv
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_graphs import grow

from gradc.ir.errors import NotDifferentiableError
from gradc.ir.graph import Graph, Module
from gradc.ir.interpret_tile import _Space
from gradc.ir.tile import groups, split_load, split_store
from gradc.passes.arena import Interval, lower_bound, pack
from gradc.passes.pipeline import run_pipeline

MINIMALLOC = os.environ.get("GRADC_MINIMALLOC", "")
CAPACITY = 1 << 20


def overlap(buffers: list[tuple[int, int, int]], offsets: list[int]) -> tuple[int, int] | None:
    """Two of (bytes, first, last) that share a step and a byte: by steps, neighbours in order of offset."""
    starts: dict[int, list[int]] = {}
    for i, (_, first, _) in enumerate(buffers):
        starts.setdefault(first, []).append(i)
    live: set[int] = set()
    for step in sorted(starts):
        live = {i for i in live if buffers[i][2] >= step} | set(starts[step])
        row = sorted(live, key=lambda i: (offsets[i], i))
        for a, b in pairwise(row):
            if offsets[a] + buffers[a][0] > offsets[b] and buffers[a][0] and buffers[b][0]:
                return a, b
    return None


def peak(buffers: list[tuple[int, int, int]]) -> int:
    """The most bytes live at the start of some buffer."""
    return max((sum(n for n, lo, hi in buffers if lo <= step <= hi) for _, step, _ in buffers), default=0)


def test_the_check_sees_an_overlap() -> None:
    assert overlap([(10, 0, 4), (10, 4, 5)], [0, 9]) == (0, 1)
    assert overlap([(10, 0, 3), (10, 4, 5)], [0, 9]) is None
    assert overlap([(10, 0, 4), (10, 4, 5)], [0, 10]) is None


@pytest.mark.parametrize("n", [0, 1, 2, 10, 60, 300])
def test_random_placements(n: int, rng: np.random.Generator) -> None:
    for _ in range(12):
        first = rng.integers(0, 50, n)
        last = first + rng.integers(0, 20, n)
        size = rng.choice([1, 256, 512, 4096, 65536], n)
        buffers = [(int(b), int(lo), int(hi)) for b, lo, hi in zip(size, first, last, strict=True)]
        offsets, total = pack([Interval(*b) for b in buffers])
        assert overlap(buffers, offsets) is None
        assert total == max((o + b[0] for o, b in zip(offsets, buffers, strict=True)), default=0)
        assert peak(buffers) == lower_bound([Interval(*b) for b in buffers]) <= total


@pytest.mark.skipif(not MINIMALLOC, reason="GRADC_MINIMALLOC names no folder with the MiniMalloc instances")
@pytest.mark.parametrize("name", "ABCDEFGHIJK" if MINIMALLOC else "-")
def test_minimalloc(name: str) -> None:
    with (Path(MINIMALLOC) / f"{name}.1048576.csv").open() as f:
        rows = [(int(r["size"]), int(r["lower"]), int(r["upper"]) - 1) for r in csv.DictReader(f)]
    offsets, total = pack([Interval(*r) for r in rows])
    assert overlap(rows, offsets) is None
    assert min(offsets) >= 0
    bound = lower_bound([Interval(*r) for r in rows])
    assert bound <= CAPACITY
    print(f"{name}: {len(rows)} buffers, {total} bytes, {total / bound - 1:.1%} above the lower bound of {bound}")
    assert total <= 1.5 * bound


def planned(seed: int) -> Module | None:
    p = grow(np.random.default_rng(seed))
    try:
        return run_pipeline(p.module).module
    except NotDifferentiableError:
        return None


def slots(main: Graph) -> tuple[list[tuple[int, int, int]], list[int], dict[int, int]]:
    """(bytes, first, last) and offset of every value in the arena, and what each in-place result overwrites."""
    where: dict[int, tuple[int, int, int]] = {}
    donor: dict[int, int] = {}
    for i, node in enumerate(main.nodes):
        if node.op.name != "tile.launch":
            continue
        for k, v in enumerate(node.results):
            if node.attrs["slots"][k] >= 0:
                t: Any = main.types[v]
                where[v] = (t.nbytes, i, node.attrs["slots"][k])
                source = node.attrs.get("in_place", (-1,) * len(node.results))[k]
                if source >= 0:
                    donor[v] = node.operands[source]
    last = {o: i for i, n in enumerate(main.nodes) for o in n.operands}
    values = list(where)
    taken = set(donor.values())
    spans = [(where[v][0], where[v][1], last.get(v, where[v][1]) - (v in taken)) for v in values]
    return spans, [where[v][2] for v in values], donor


def test_planned_programs_do_not_overlap() -> None:
    found = 0
    for seed in range(700, 730):
        module = planned(seed)
        if module is None:
            continue
        spans, offsets, donor = slots(module.main)
        assert overlap(spans, offsets) is None, f"seed {seed}"
        arena = module.main.attrs["arena_bytes"]
        assert all(o + s[0] <= arena for o, s in zip(offsets, spans, strict=True)), f"seed {seed}"
        found += len(offsets)
        for i, node in enumerate(module.main.nodes):
            if node.op.name == "tile.launch":
                for v in node.results:
                    if v in donor:
                        assert donor[v] in node.operands
                        assert not any(donor[v] in n.operands for n in module.main.nodes[i + 1 :]), f"seed {seed}"
    assert found > 50


def lanes(kernel: Graph, node: Any, mask: int | None, letters: str) -> Any:
    """The address of every lane of an access, -1 for padding."""
    assert mask is None
    space = _Space(groups(kernel))
    full = tuple(n for g in space.groups for n in (g.grid, g.loop, g.tile))
    address = np.broadcast_to(space.address(node.attrs, ()), full)
    valid = np.broadcast_to(space.mask(letters), full)
    return np.where(valid, address, -1).ravel()


def test_only_the_lane_that_overwrites_an_element_has_read_it() -> None:
    pairs = 0
    for seed in range(700, 760):
        module = planned(seed)
        if module is None:
            continue
        for node in module.main.nodes:
            for k, source in enumerate(node.attrs.get("in_place", ())):
                if source < 0:
                    continue
                kernel = module.graphs[node.attrs["kernel"]]
                read, written = kernel.inputs[source], kernel.inputs[len(node.operands) + k]
                for part in kernel.nodes:
                    if part.regions and written in part.operands:
                        assert not any(read in p.operands for p in kernel.nodes if p is not part), f"seed {seed}"
                        inner = part.regions[0]
                        read, written = (inner.inputs[part.operands.index(v)] for v in (read, written))
                        kernel = inner
                        break
                all_letters = "".join(g.letter for g in groups(kernel))
                stores = [n for n in kernel.nodes if n.op.name == "tile.store" and n.operands[1] == written]
                (store,) = stores
                target = lanes(kernel, store, split_store(store)[2], all_letters)
                hit = target[target >= 0]
                assert np.unique(hit).size == hit.size, f"seed {seed}: two lanes write one element"
                for load in (n for n in kernel.nodes if n.op.name == "tile.load" and n.operands[0] == read):
                    loaded = lanes(kernel, load, split_load(load)[1], all_letters)
                    np.testing.assert_array_equal(loaded, target, err_msg=f"seed {seed} {kernel.name}")
                pairs += 1
    assert pairs >= 3
