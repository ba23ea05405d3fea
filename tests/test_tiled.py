"""Printed NumPy: what it computes, in which batches, what it counts, and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import combinations

import kernel_run
import numpy as np
import pytest
from fuzz_graphs import grow
from tile_kernels import CASES, Kernel

from gradc.codegen.numpy_calls import erf, tree
from gradc.codegen.numpy_space import program_ranges
from gradc.ir.errors import ExecutorError
from gradc.ir.graph import Graph
from gradc.ir.ops.tile import erf_array
from gradc.ir.tile import Group, resident, spread
from gradc.ir.traffic import traffic
from gradc.ir.types import f32
from gradc.passes.pipeline import run_pipeline
from gradc.runtime import tiled
from gradc.runtime.executors import Plan
from gradc.runtime.worker import Worker

DATA_DEPENDENT = ("embedding", "pad_and_cut", "scatter_rows", "row_with_loss")
"""Cases with an address or a mask that depends on data: a static count takes every lane."""


@pytest.mark.parametrize("batch", [1, 1 << 16])
@pytest.mark.parametrize("name", CASES)
def test_the_code_computes_what_the_kernel_means(
    name: str, batch: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiled, "BATCH", batch)
    monkeypatch.setattr(tiled, "SQUARE", 7 if batch == 1 else 256)
    kernel = CASES[name]()
    data = kernel_run.inputs(kernel, rng)
    kernel_run.check_close(kernel, kernel_run.tiled(kernel, data), kernel_run.meaning(kernel, data))


@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith(DATA_DEPENDENT)])
def test_bytes_are_those_counted_from_the_accesses(name: str, rng: np.random.Generator) -> None:
    kernel = CASES[name]()
    memory = tiled.tiled_kernel(kernel).run(kernel_run.inputs(kernel, rng), count=True)
    assert isinstance(memory, tiled.CountingMemory)
    static = traffic(kernel)
    assert memory.reads() == {k: n for k, n in static.reads.items() if n or k in memory.reads()}
    assert memory.writes() == {k: n for k, n in static.writes.items() if n or k in memory.writes()}


@pytest.mark.parametrize("name", ["full_partials[1000,4,True]", "mixed[50,24,4,1,True]", "mixed[50,24,4,1,False]"])
def test_partials_are_bit_equal_to_the_interpreter_for_exact_data(name: str, rng: np.random.Generator) -> None:
    pytest.importorskip("triton", reason="printed Triton needs triton to run")
    kernel = CASES[name]()
    data = kernel_run.inputs(kernel, rng)
    for a, attrs in zip(data, kernel.input_attrs, strict=True):
        if attrs["mode"] == "in":
            a[...] = rng.integers(-4, 5, a.size)
    worker = Worker()
    want = kernel_run.interpreted(worker, kernel, data)
    worker.close()
    got = kernel_run.tiled(kernel, data)
    if name.startswith("full"):
        assert got[1].tobytes() == want[1].tobytes()
    kernel_run.check_close(kernel, got, want)


def test_the_tree_combines_by_halves() -> None:
    def halves(x: list[float]) -> np.float32:
        lanes = [np.float32(v) for v in x] + [np.float32(0)] * ((1 << (len(x) - 1).bit_length()) - len(x))
        while len(lanes) > 1:
            h = len(lanes) // 2
            lanes = [a + b for a, b in zip(lanes[:h], lanes[h:], strict=True)]
        return lanes[0]

    rng = np.random.default_rng(5)
    for n in (1, 2, 3, 7, 31, 32, 33, 64, 100, 1000, 1024, 5001):
        x = rng.standard_normal((3, n, 2)).astype(np.float32)
        got = tree(np.add, x, ((1,),))
        assert got.shape == (3, 1, 2)
        for i in range(3):
            for j in range(2):
                assert got[i, 0, j] == halves(x[i, :, j].tolist()), n
    two = rng.standard_normal((4, 3, 5)).astype(np.float32)
    assert tree(np.add, two, ((1, 2),))[2, 0, 0] == halves(two[2].ravel().tolist())
    assert tree(np.multiply, np.empty((2, 0), np.float32), ((1,),)).tolist() == [[1.0], [1.0]]


def test_erf_of_float32_is_good_to_a_few_ulp() -> None:
    x = np.concatenate([np.linspace(-6, 6, 20001), np.geomspace(1e-30, 1, 2000)]).astype(np.float32)
    want = erf_array(x.astype(np.float64))
    assert np.max(np.abs(erf(x) - want) / np.spacing(np.abs(want).astype(np.float32))) <= 8
    assert np.isnan(erf(np.array([np.nan], np.float32)))[0]


@pytest.mark.parametrize("strided", [True, False])
def test_program_ranges_cover_every_lane_once(strided: bool) -> None:
    for extent in (0, 1, 5, 8, 9, 31, 32, 33, 100):
        for grid, loop, t in ((1, 1, 128), (4, 1, 32), (4, 7, 4), (3, 9, 4), (7, 4, 8), (200, 1, 1)):
            g = Group("x", (extent,), grid, loop, t, strided)
            if grid * loop * t < extent:
                continue
            seen = np.zeros(extent, int)
            programs = []
            for r in program_ranges(g):
                programs += range(r.lo, r.hi)
                for p in range(r.lo, r.hi):
                    for s in range(r.steps):
                        tile = s * grid + p if strided else p * loop + s
                        seen[tile * t : tile * t + (r.last if s == r.steps - 1 else t)] += 1
            assert programs == list(range(grid))
            assert (seen == 1).all(), (extent, grid, loop, t)


def test_an_input_that_is_also_the_output_is_read_before_it_is_written() -> None:
    k = Kernel("twice", spread("x", (100,), 32))
    x, out, other = k.read("x", 100), k.write("out", 100), k.write("other", 100)
    v = k.load(x, ((1,),))
    k.store(v * 2.0, out, ((1,),))
    k.store(v + 1.0, other, ((1,),))
    a, b = np.arange(100, dtype=np.float32), np.empty(100, np.float32)
    tiled.tiled_kernel(k.graph).run([a, a, b])
    assert np.array_equal(a, np.arange(100) * 2)
    assert np.array_equal(b, np.arange(100) + 1)


def test_a_wrong_buffer_is_refused() -> None:
    kernel = tiled.tiled_kernel(CASES["map_flat[65]"]())
    good = np.zeros(65, np.float32)
    with pytest.raises(ExecutorError, match=r"silu_add: expected a contiguous buffer of 65 f32, got 64 float32"):
        kernel.run([good, good[:64], good])
    with pytest.raises(ExecutorError, match="got 65 float64"):
        kernel.run([good, good.astype(np.float64), good])


def _best(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def _big_map(n: int) -> Graph:
    k = Kernel("silu_add", spread("x", (n,), 1024))
    x, y, out = k.read("x", n), k.read("y", n), k.write("out", n)
    v = k.load(x, ((1,),))
    k.store(v * (1.0 / (k.b.exp(-v) + 1.0)) + k.load(y, ((1,),)), out, ((1,),))
    return k.graph


def _big_softmax(m: int, n: int) -> Graph:
    k = Kernel("softmax", spread("x", (m,), 4), resident("r", (n,)))
    x, out = k.read("x", m * n, f32), k.write("out", m * n)
    v = k.load(x, ((n,), (1,)))
    e = k.b.exp(v - k.b.reduce(v, monoid="max", over="r"))
    k.store(e / k.b.reduce(e, monoid="sum", over="r"), out, ((n,), (1,)))
    return k.graph


def test_big_kernels_are_not_slower_than_numpy_op_by_op(rng: np.random.Generator) -> None:
    n = 1 << 22
    x, y = rng.standard_normal((2, n)).astype(np.float32)
    out = np.empty(n, np.float32)
    rows = x.reshape(4096, 1024)

    def softmax() -> object:
        e = np.exp(rows - rows.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    fused = tiled.tiled_kernel(_big_map(n))
    assert _best(lambda: fused.run([x, y, out])) < _best(lambda: x * (1 / (np.exp(-x) + 1)) + y)
    fused = tiled.tiled_kernel(_big_softmax(4096, 1024))
    assert _best(lambda: fused.run([x, out])) < 1.2 * _best(softmax)


def test_the_plan_knows_which_buffers_of_a_launch_share_memory() -> None:
    marked = 0
    for seed in range(12):
        p = grow(np.random.default_rng(seed), 24)
        plan = Plan(run_pipeline(p.module, "inline,decompose,simplify,fuse,plan-memory").module)
        buffers = plan.buffers(p.arrays)
        for step in plan.steps:
            kernel = tiled.tiled_kernel(step.kernel)
            ends = [(buffers[at.buffer].reshape(-1).view(np.uint8), at.offset, t.nbytes)
                    for at, t in zip(step.pointers, kernel.buffers, strict=True)]  # fmt: skip
            views = [memory[start : start + n] for memory, start, n in ends]
            seen = [False] * len(views)
            for i, j in combinations(range(len(views)), 2):
                if {i, j} & set(kernel.written) and np.shares_memory(views[i], views[j]):
                    seen[i] = seen[j] = True
            assert step.shared() == seen, (seed, step.kernel.name)
            marked += sum(seen)
    assert marked
