"""Kernels drawn at random: every mix of groups, splits and reductions, in both printers, against their meaning."""

from __future__ import annotations

from collections.abc import Iterator

import kernel_run
import numpy as np
import pytest
from tile_kernels import Kernel

from gradc.ir.build import Var
from gradc.ir.dim import product
from gradc.ir.errors import UnsupportedError
from gradc.ir.graph import Graph
from gradc.ir.tile import Group, persistent, resident, spread
from gradc.ir.types import f32, i32
from gradc.runtime.worker import Worker


def draw_group(letter: str, rng: np.random.Generator, looped: bool) -> Group:
    dims = tuple(int(d) for d in rng.integers(1, 8, rng.integers(1, 4)))
    if rng.random() < 0.05:
        dims = (*dims, 0)
    tile = int(2 ** rng.integers(0, 5))
    kind = rng.integers(0, 3)
    if looped and kind == 2:
        g = persistent(letter, dims, tile, int(rng.integers(1, 4)))
        return Group(letter, dims, g.grid, g.loop, g.tile, bool(rng.random() < 0.6))
    return resident(letter, dims) if kind == 0 else spread(letter, dims, tile)


def coefficients(
    gs: tuple[Group, ...], letters: str, rng: np.random.Generator
) -> tuple[tuple[tuple[int, ...], ...], int, int]:
    """A layout of the dims of some groups in random order, some of them backwards: coefficients, offset, elements."""
    dims = [(i, d) for i, g in enumerate(gs) if g.letter in letters for d in range(len(g.dims))]
    out = [[0] * len(g.dims) for g in gs]
    step, offset = 1, int(rng.integers(0, 3))
    if rng.random() < 0.5:
        rng.shuffle(dims)
    else:
        dims.reverse()
    for i, d in dims:
        n = gs[i].dims[d]
        out[i][d] = step
        if rng.random() < 0.1 and n > 0:
            offset += step * (n - 1)
            out[i][d] = -step
        step *= max(n, 1)
    return tuple(tuple(c) for c in out), offset, step + offset


def draw(seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    letters = "xyr"[: rng.integers(1, 4)]
    loops = rng.permutation([True, False, False])
    gs = tuple(draw_group(c, rng, bool(loops[i])) for i, c in enumerate(letters))
    k = Kernel("drawn", *gs)
    values: list[Var] = []
    for n in range(int(rng.integers(1, 4))):
        mine = "".join(c for c in letters if rng.random() < 0.8)
        coeffs, offset, size = coefficients(gs, mine, rng)
        values.append(k.load(k.read(f"in{n}", size), coeffs, offset=offset))
    for g in gs:
        if rng.random() < 0.3:
            d = int(rng.integers(0, len(g.dims)))
            values.append(k.b.convert(k.b.index(group=g.letter, dim=d, dtype=i32), dtype=f32) * 0.125)

    def pick() -> Var:
        return values[int(rng.integers(0, len(values)))]

    stores = 0
    for _ in range(int(rng.integers(2, 9))):
        what = rng.integers(0, 6)
        a, b = pick(), pick()
        if what == 0:
            values.append(k.b.exp(k.b.minimum(a, 1.0) * 0.5))
        elif what == 1:
            values.append(k.b.select(a > b, a, b * 0.5))
        elif what == 2:
            values.append(a * b + 0.25)
        elif what == 3:
            over = "".join(c for c in letters if rng.random() < 0.5)
            if over and all(g.grid == 1 for g in gs if g.letter in over):
                values.append(k.b.reduce(a, monoid=str(rng.choice(["sum", "max", "min"])), over=over) * 0.25)
        elif what == 4 and any(g.grid > 1 for g in gs):
            over = "".join(g.letter for g in gs if g.grid > 1)
            r = k.b.reduce(a, monoid="sum", over=over)
            write(k, r, f"partial{stores}", rng, {c: gs[letters.index(c)].grid for c in over})
            stores += 1
        else:
            write(k, a, f"out{stores}", rng, {})
            stores += 1
    write(k, values[-1], "last", rng, {})
    return k.graph


def write(k: Kernel, v: Var, name: str, rng: np.random.Generator, programs: dict[str, int]) -> None:
    """Store a value; what does not vary over a group is stored once per program, at the same place."""
    coeffs, offset, size = coefficients(k.groups, v.type.space, rng)
    program = [0] * len(k.groups)
    for i, g in enumerate(k.groups):
        if g.letter in programs:
            program[i] = size
            size *= programs[g.letter]
    k.store(v, k.write(name, size), coeffs, offset=offset, program=tuple(program))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    pytest.importorskip("triton", reason="printed Triton needs triton to run")
    w = Worker()
    yield w
    w.close()


@pytest.mark.parametrize("batch", range(6))
def test_random_kernels(batch: int, worker: Worker) -> None:
    printed = 0
    for seed in range(batch * 50, batch * 50 + 50):
        print(f"kernel {seed}")
        kernel = draw(seed)
        data = kernel_run.inputs(kernel, np.random.default_rng(seed))
        want = kernel_run.meaning(kernel, data)
        try:
            got = kernel_run.tiled(kernel, data)
        except UnsupportedError:
            continue
        kernel_run.check_close(kernel, got, want, 1e-5)
        programs = product(g["grid"] for g in kernel.attrs["groups"])
        if programs < 40 and seed % 3 == 0:
            kernel_run.check_close(kernel, kernel_run.interpreted(worker, kernel, data), want, 1e-5)
        printed += 1
    assert printed > 25
