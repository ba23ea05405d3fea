"""Aligned windows: what they compute, which elements they touch, and how wide the compiled accesses are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import kernel_run
import numpy as np
import pytest
from tile_kernels import Kernel

from gradc.codegen.triton import triton_source
from gradc.ir.graph import Graph
from gradc.ir.tile import Group, persistent, spread
from gradc.ir.types import BufferType, DType, bf16, dtype, f16, f32, i32, i64
from gradc.runtime.compile import compile_kernels
from gradc.runtime.worker import Worker

pytest.importorskip("triton", reason="printed Triton needs triton to run")
TYPES = (bf16, f16, f32)
LENGTHS = (1, 7, 8, 9, 15, 16, 17, 521, 1021, 1024, 5001)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    w = Worker()
    yield w
    w.close()


def whole(n: int) -> Group:
    """A row in one tile, wide enough for a window however short the row is."""
    return Group("r", (n,), tile=max(1024, 1 << (n - 1).bit_length()))


def f(k: Kernel, v: Any) -> Any:
    return v if v.dtype is f32 else k.b.convert(v, dtype=f32)


def put(k: Kernel, v: Any, out: Any, d: DType, coeffs: Any, **attrs: Any) -> None:
    k.store(v if d is f32 else k.b.convert(v, dtype=d), out, coeffs, **attrs)


def softmax(n: int, d: DType, pitch: int = 0, offset: int = 0, m: int = 5) -> Graph:
    """Rows of a contiguous tensor, or of a view with its own pitch and offset; the result is contiguous."""
    pitch = pitch or n
    k = Kernel("softmax", spread("x", (m,), 1), whole(n))
    x, out, norm = k.read("x", m * pitch + offset, d), k.write("out", m * n, d), k.write("norm", m)
    v = f(k, k.load(x, ((pitch,), (1,)), offset=offset))
    top = k.b.reduce(v, monoid="max", over="r")
    e = k.b.exp(v - top)
    total = k.b.reduce(e, monoid="sum", over="r")
    put(k, e / total, out, d, ((n,), (1,)))
    k.store(k.b.log(total) + top, norm, ((1,), (0,)))
    return k.graph


def norm_backward(n: int, d: DType, m: int = 21, programs: int = 8, strided: bool = True) -> Graph:
    """Rows in a loop with column sums carried over it, a row vector, and a sum of everything."""
    g = persistent("x", (m,), 1, programs)
    k = Kernel("norm_backward", Group("x", (m,), g.grid, g.loop, 1, strided), whole(n))
    x, dy, w = k.read("x", m * n, d), k.read("dy", m * n, d), k.read("w", n, d)
    dx, dw, loss = k.write("dx", m * n, d), k.write("dw", g.grid * n), k.write("loss", g.grid)
    v, ct = f(k, k.load(x, ((n,), (1,)))), f(k, k.load(dy, ((n,), (1,))))
    scale = k.b.rsqrt(k.b.reduce(v * v, monoid="sum", over="r") * (1.0 / n) + 1e-5)
    h = v * scale
    g_ = ct * f(k, k.load(w, ((0,), (1,))))
    put(k, (g_ - h * (k.b.reduce(g_ * h, monoid="sum", over="r") * (1.0 / n))) * scale, dx, d, ((n,), (1,)))
    k.store(k.b.reduce(ct * h, monoid="sum", over="x"), dw, ((0,), (1,)), program=(n, 0))
    k.store(k.b.reduce(h * h, monoid="sum", over="xr"), loss, ((0,), (0,)), program=(1, 0))
    return k.graph


def flat(n: int, d: DType, programs: int = 0) -> Graph:
    """A map over all elements with its sum, one tile or several per program, and the index as an operand."""
    g = persistent("x", (n,), 1024, programs) if programs else spread("x", (n,), 1024)
    k = Kernel("flat", g if g.tile == 1024 else Group("x", (n,), tile=1024))
    x, out, parts = k.read("x", n, d), k.write("out", n, d), k.write("parts", k.groups[0].grid)
    v = f(k, k.load(x, ((1,),)))
    i = k.b.convert(k.b.index(group="x", dim=0, dtype=i32), dtype=f32)
    put(k, v * 2.0 + i * 0.125, out, d, ((1,),))
    k.store(k.b.reduce(k.b.exp(-v), monoid="sum", over="x"), parts, ((0,),), program=(1,))
    return k.graph


def long_rows(n: int, d: DType, grid: int = 1, strided: bool = True) -> Graph:
    """Rows in a loop over tiles of 512, shared by `grid` programs; extremes and sums per row and program."""
    m, tiles = 3, -(-n // 512)
    r = Group("r", (n,), grid, -(-tiles // grid), 512, strided)
    k = Kernel("long_rows", spread("x", (m,), 1), r)
    x, out = k.read("x", m * n, d), k.write("out", m * n, d)
    low, total = k.write("low", m * grid), k.write("total", m * grid)
    v = f(k, k.load(x, ((n,), (1,))))
    program = (0, m)
    k.store(k.b.reduce(v, monoid="min", over="r"), low, ((1,), (0,)), program=program)
    k.store(k.b.reduce(v * v, monoid="sum", over="r"), total, ((1,), (0,)), program=program)
    put(k, v + 1.0, out, d, ((n,), (1,)))
    return k.graph


def blocks(n: int, d: DType) -> Graph:
    """A map with a row vector: programs of 8 rows apart by blocks of columns, a mask of another width."""
    m = 11
    k = Kernel("blocks", persistent("x", (m,), 1, 8), spread("r", (n,), 512) if n > 512 else Group("r", (n,), tile=512))
    x, bias, keep, out = k.read("x", m * n, d), k.read("bias", n, d), k.read("keep", m * n, f32), k.write("out", m * n)
    v = f(k, k.load(x, ((n,), (1,)))) + f(k, k.load(bias, ((0,), (1,))))
    k.store(v * k.load(keep, ((n,), (1,))), out, ((n,), (1,)))
    return k.graph


STRUCTURES: dict[str, Callable[[int, DType], Graph]] = {
    "softmax": softmax,
    "view": lambda n, d: softmax(n, d, pitch=n + 5, offset=3),
    "aligned view": lambda n, d: softmax(n, d, pitch=-(-n // 8) * 8 + 8, offset=8),
    "shifted view": lambda n, d: softmax(n, d, pitch=-(-n // 8) * 8 + 8, offset=5),
    "norm_backward": norm_backward,
    "norm_backward, other programs": lambda n, d: norm_backward(n, d, m=9, programs=5),
    "norm_backward in runs": lambda n, d: norm_backward(n, d, m=5, programs=3, strided=False),
    "flat": flat,
    "flat in a loop": lambda n, d: flat(n, d, programs=2),
    "long_rows": long_rows,
    "long_rows shared": lambda n, d: long_rows(n, d, grid=3),
    "long_rows in runs": lambda n, d: long_rows(n, d, grid=2, strided=False),
    "blocks": blocks,
}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("d", TYPES, ids=lambda d: str(d.name))
def test_the_text_computes_what_the_kernel_means(
    structure: str, d: DType, worker: Worker, rng: np.random.Generator
) -> None:
    for n in LENGTHS:
        kernel = STRUCTURES[structure](n, d)
        data = kernel_run.inputs(kernel, rng)
        kernel_run.check_close(kernel, kernel_run.interpreted(worker, kernel, data), kernel_run.meaning(kernel, data))


class Place:
    """A pointer into a buffer: its name and the offsets of all lanes."""

    def __init__(self, name: str, offsets: Any = 0) -> None:
        self.name, self.offsets = name, offsets

    def __add__(self, more: Any) -> Place:
        return Place(self.name, self.offsets + more)


class Recorder:
    """What `triton.language` means in the text of a kernel that only copies: every access is written down."""

    int64 = np.int64
    where, arange = staticmethod(np.where), staticmethod(np.arange)
    minimum, range = staticmethod(min), staticmethod(range)
    cast = staticmethod(lambda x, t: np.asarray(x).astype(t))

    def __init__(self, vector: int) -> None:
        self.vector, self.program = vector, 0
        self.touched: Counter[tuple[str, int]] = Counter()
        self.narrow: Counter[str] = Counter()

    def program_id(self, axis: int) -> int:
        return self.program

    def load(self, p: Place, mask: Any = True, other: Any = 0) -> Any:
        offsets, lanes = np.broadcast_arrays(p.offsets, mask)
        used = offsets[lanes]
        assert len(set(used.tolist())) == len(used)
        for o in used.tolist():
            self.touched[p.name, o] += 1
        v = self.vector
        if lanes.size > 2 * v:
            parts, heads = lanes.reshape(-1, v), offsets.reshape(-1, v)
            assert (parts == parts[:, :1]).all(), "a mask ends inside a vector"
            assert (heads[parts[:, 0], 0] % v == 0).all(), "a vector is not aligned"
        else:
            self.narrow[p.name] += int(lanes.sum())
        return offsets

    def store(self, p: Place, value: Any, mask: Any = True) -> None:
        self.load(p, mask)


def copy(x: Group, r: Group | None, d: DType, offset: int = 0, pitch: int = 0) -> Graph:
    gs = (x,) if r is None else (x, r)
    k = Kernel("copy", *gs)
    n = gs[-1].extent
    pitch = pitch or n
    coeffs = ((1,),) if r is None else ((pitch,), (1,))
    size = (1 if r is None else x.extent) * pitch + offset
    source, out = k.read("source", size, d), k.write("out", size, d)
    k.store(k.load(source, coeffs, offset=offset), out, coeffs, offset=offset)
    return k.graph


@pytest.mark.parametrize("n", [16, 17, 23, 24, 31, 521, 1017, 1023, 1024, 2041, 5001])
@pytest.mark.parametrize("name", ["i8", "bf16", "f32", "i64"])
def test_every_element_is_touched_once_and_no_other(n: int, name: str) -> None:
    """The printed index arithmetic, run on plain NumPy: no address is taken from the compiler's own description."""
    d = dtype(name)
    v = 16 // d.itemsize
    rows = 19
    tile = Group("r", (n,), tile=max(1024, 1 << (n - 1).bit_length()))
    cases = [
        (copy(spread("x", (rows,), 1), tile, d), 0, n),
        (copy(persistent("x", (rows,), 1, 16), tile, d, offset=3, pitch=n + 2), 3, n + 2),
        (copy(spread("x", (rows,), 1), Group("r", (n,), -(-n // 512), 1, 512), d), 0, n),
        (copy(spread("x", (rows,), 1), Group("r", (n,), 1, -(-n // 512), 512), d, offset=1), 1, n),
        (copy(Group("x", (n,), -(-n // 512), 1, 512), None, d, offset=v), v, 0),
        (copy(Group("x", (n,), -(-n // 512), 1, 512), None, d, offset=1), 1, 0),
    ]
    for kernel, offset, pitch in cases:
        source = triton_source(kernel)
        count = rows if pitch else 1
        expected = {offset + row * pitch + c for row in range(count) for c in range(n)}
        aligned = n % v == 0 and pitch % v == 0 and offset % v == 0
        assert ("whole vectors" in source.text) is not aligned, source.text
        if aligned:
            continue
        tl = Recorder(v)
        space: dict[str, Any] = {"tl": tl}
        exec(source.text.split("@triton.jit\n")[1], space)
        for tl.program in range(source.grid[0]):
            space["copy"](Place("source"), Place("out"))
        for name in ("source", "out"):
            assert {o for b, o in tl.touched if b == name} == expected
            assert max(tl.touched.values()) == 1
            assert tl.narrow[name] <= 2 * (v - 1) * count


WIDTH_TARGETS = ("cuda:80", "cuda:90", "cuda:100", "hip:gfx942")


@pytest.mark.parametrize("target", WIDTH_TARGETS)
def test_only_ends_row_vectors_and_scalars_are_narrow(target: str) -> None:
    """A tensor of odd rows has one narrow access, for its ends (AMD's compiler prints a loop's first step apart). The
    kernels with a row vector read that narrow, once per program; their limit is None."""
    narrow = {"softmax": (1, 2), "flat": (1, 2), "blocks": (None, 1), "long_rows": (1, 3), "norm_backward": (None, 3)}
    peeled = 2 if target.startswith("hip") else 1
    for d in (bf16, f32):
        texts = [kernel_run.kernel_text(STRUCTURES[s](5001, d)) for s in narrow]
        for (name, most), binary in zip(narrow.items(), compile_kernels(texts, target), strict=True):
            assert binary.spills == 0
            for table, limit in zip((binary.facts.loads, binary.facts.stores), most, strict=True):
                assert max(table) == 128, (name, d.name, binary.facts)
                if limit:
                    assert sum(n for bits, n in table.items() if bits < 128) <= limit * peeled, (name, binary.facts)


def test_what_has_no_window() -> None:
    """Aligned rows, small tiles, shifts that change in a program, buffers of unknown alignment; the text says why."""

    def printed(kernel: Graph, reason: str = "") -> bool:
        text = triton_source(kernel).text
        assert ("not in whole vectors" in text) is bool(reason)
        assert not reason or f", not in whole vectors: {reason}\n" in text
        return ", whole vectors of" in text

    assert printed(softmax(1001, f32))
    assert not printed(softmax(1000, f32))
    assert not printed(softmax(1000, f32, pitch=1004, offset=4))
    assert printed(softmax(1000, f32, pitch=1001))
    small = Kernel("small", spread("x", (5,), 1), Group("r", (7,), tile=64))
    small.store(small.load(small.read("x", 35), ((7,), (1,))), small.write("out", 35), ((7,), (1,)))
    assert not printed(small.graph)
    rows = Kernel("rows", spread("x", (50,), 2), whole(521))
    rows.store(rows.load(rows.read("x", 50 * 521), ((521,), (1,))), rows.write("out", 50 * 521), ((521,), (1,)))
    different = "rows of one program start at different places"
    assert not printed(rows.graph, different)
    assert printed(norm_backward(521, f32, programs=8))
    assert not printed(norm_backward(521, f32, programs=7), different)
    unknown = softmax(1001, f32)
    for v in unknown.inputs:
        t = unknown.types[v]
        assert isinstance(t, BufferType)
        unknown.types[v] = BufferType(t.numel, t.dtype, align=4)
    assert not printed(unknown)
    assert printed(long_rows(1021, f32))
    assert not printed(long_rows(1021, f32, grid=2), "programs share the row")
    mixed = Kernel("mixed", spread("x", (8,), 1), whole(999))
    parts = [mixed.load(mixed.read(f"x{i}", 8 * 1008), ((999 + i,), (1,)), offset=i) for i in range(2)]
    mixed.store(parts[0] + parts[1], mixed.write("out", 8 * 999), ((999,), (1,)))
    assert printed(mixed.graph)
    for i in range(2):
        mixed.store(parts[0], mixed.write(f"more{i}", 8 * 1008), ((1001 + i,), (1,)))
    assert not printed(mixed.graph, "no start is that of most bytes")


def test_a_window_reads_like_one_written_by_hand() -> None:
    k = Kernel("halve", spread("x", (40,), 1), whole(1001))
    k.store(k.name(k.load(k.read("x", 40040), ((1001,), (1,))), "v") * 0.5, k.write("out", 40040), ((1001,), (1,)))
    assert triton_source(k.graph).text.endswith("""
@triton.jit
def halve(x_ptr, out_ptr):
    # x: 40 in 40 programs, tiles of 1; r: 1001 in tiles of 1024, whole vectors of 4 and both ends apart
    xpid = tl.program_id(0)
    rlane = tl.arange(0, 1024)
    start = xpid * 1001 // 4 * 4
    rshift = xpid % 4
    rfirst = (rshift + 3) // 4 * 4
    rlast = (rshift + 1001) // 4 * 4
    rmask = (rlane >= rfirst) & (rlane < rlast)
    rhalf_end = tl.arange(0, 8)
    rlane_end = tl.where(rhalf_end < 4, rhalf_end, rlast + (rhalf_end - 4))
    rmask_end = tl.where(rhalf_end < 4, (rhalf_end >= rshift) & (rshift > 0), (rlane_end < rshift + 1001))
    v = tl.load(x_ptr + start + rlane, mask=rmask, other=0.0)
    v_end = tl.load(x_ptr + start + rlane_end, mask=rmask_end, other=0.0)
    tl.store(out_ptr + start + rlane, v * 0.5, mask=rmask)
    tl.store(out_ptr + start + rlane_end, v_end * 0.5, mask=rmask_end)
""")


def test_indices_of_a_window_are_those_of_the_row(worker: Worker) -> None:
    """An index, a gather and an explicit mask inside a window."""
    m, n = 7, 601
    k = Kernel("gather", spread("x", (m,), 1), whole(n))
    x, target, table = k.read("x", m * n), k.read("target", m, i64), k.read("table", n)
    out, picked = k.write("out", m * n), k.write("picked", m * n)
    column = k.b.index(group="r", dim=0, dtype=i64)
    hit = column.eq(k.load(target, ((1,), (0,))))
    v = k.load(x, ((n,), (1,)))
    k.store(k.b.select(hit, v * 100.0, v), out, ((n,), (1,)))
    mirrored = k.load(table, ((0,), (0,)), (n - 1) - column, index_coeffs=(1,))
    k.store(mirrored + v, picked, ((n,), (1,)))
    assert "rindex = rlane - rshift" in triton_source(k.graph).text
    data = kernel_run.inputs(k.graph, np.random.default_rng(5))
    kernel_run.check_close(k.graph, kernel_run.interpreted(worker, k.graph, data), kernel_run.meaning(k.graph, data))
