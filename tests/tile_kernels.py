"""Kernels built by hand, one per structure that printers must handle, at sizes around a tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gradc.ir.build import GraphBuilder, Var
from gradc.ir.graph import Graph, Loc
from gradc.ir.tile import Group, persistent, resident, set_groups, spread
from gradc.ir.types import BufferType, DType, bf16, dtype, f16, f32, f64, i1, i32, i64

CASES: dict[str, Callable[[], Graph]] = {}


class Kernel:
    """A kernel being built: `k.read`, `k.write` declare buffers, `k.b` builds."""

    def __init__(self, name: str, *gs: Group) -> None:
        self.graph = Graph(name, "kernel")
        self.b = GraphBuilder(self.graph, "tile")
        self.groups = gs
        set_groups(self.graph, gs)

    def read(self, name: str, numel: int, d: DType = f32, **attrs: Any) -> Var:
        return Var(self.b, self.graph.add_input(BufferType(numel, d), name, mode="in", **attrs))

    def write(self, name: str, numel: int, d: DType = f32) -> Var:
        return Var(self.b, self.graph.add_input(BufferType(numel, d), name, mode="out"))

    def load(self, buffer: Var, coeffs: tuple[tuple[int, ...], ...], *rest: Var, offset: int = 0, **attrs: Any) -> Any:
        space = "".join(g.letter for g, cs in zip(self.groups, coeffs, strict=True) if any(cs))
        return self.b.load(buffer, *rest, coeffs=coeffs, offset=offset, space=space, **attrs)

    def store(self, value: Var, buffer: Var, coeffs: tuple[tuple[int, ...], ...], *rest: Var, **attrs: Any) -> None:
        attrs.setdefault("offset", 0)
        self.b.store(value, buffer, *rest, coeffs=coeffs, **attrs)

    def name(self, value: Var, name: str) -> Var:
        self.graph.names[value.v] = name
        return value


def case(*parameters: Any) -> Callable[[Callable[..., Graph]], Callable[..., Graph]]:
    """Register a builder, once per parameter tuple."""

    def register(build: Callable[..., Graph]) -> Callable[..., Graph]:
        for p in parameters:
            args = p if isinstance(p, tuple) else (p,)
            key = f"{build.__name__}[{','.join(str(a) for a in args)}]"
            CASES[key] = lambda args=args: build(*args)
        return build

    return register


@case(0, 1, 63, 64, 65, 509, 512)
def map_flat(n: int) -> Graph:
    k = Kernel("silu_add", spread("x", (n,), 64))
    x, y, out = k.read("x", n), k.read("y", n), k.write("out", n)
    k.b.loc = Loc("loss.py", 12)
    v = k.load(x, ((1,),))
    s = k.name(1.0 / (k.b.exp(-v) + 1.0), "s")
    k.b.loc = Loc("loss.py", 13)
    k.store(v * s + k.load(y, ((1,),)), out, ((1,),))
    return k.graph


@case((13, 7), (16, 16), (1, 5), (5, 1), (3, 0))
def map_transposed(m: int, n: int) -> Graph:
    """out[i, j] = x[j, i] + row[j] * col[i], with a plain sum of the flat index."""
    k = Kernel("transposed", spread("x", (m, n), 32))
    x, row, col, out = k.read("x", m * n), k.read("row", n), k.read("col", m), k.write("out", m * n)
    v = k.load(x, ((1, m),)) + k.load(row, ((0, 1),)) * k.load(col, ((1, 0),))
    i = k.b.index(group="x", dim=0, dtype=i32)
    j = k.b.index(group="x", dim=1, dtype=i64)
    k.store(v + k.b.convert(i, dtype=f32) * 100.0 + k.b.convert(j, dtype=f32), out, ((n, 1),))
    return k.graph


@case((2, 3, 4, 5))
def map_four_dims(a: int, b: int, c: int, d: int) -> Graph:
    """A permutation with one pair of dims that stays together, and a flip."""
    k = Kernel("permute", spread("x", (a, b, c, d), 16))
    x, out = k.read("x", a * b * c * d), k.write("out", a * b * c * d)
    v = k.load(x, ((b * c * d, c * d, d, -1),), offset=d - 1)
    k.store(v, out, ((c * d, a * c * d, d, 1),))
    return k.graph


@case((5, 8), (6, 7), (1, 1), (4, 1), (3, 0), (0, 3), (37, 130))
def row_softmax(m: int, n: int) -> Graph:
    k = Kernel("softmax", spread("x", (m,), 2), resident("r", (n,)))
    x, out = k.read("x", m * n), k.write("out", m * n)
    k.b.loc = Loc("model.py", 7)
    v = k.load(x, ((n,), (1,)))
    top = k.name(k.b.reduce(v, monoid="max", over="r"), "top")
    e = k.name(k.b.exp(v - top), "e")
    k.b.loc = Loc("model.py", 8)
    k.store(e / k.b.reduce(e, monoid="sum", over="r"), out, ((n,), (1,)))
    return k.graph


@case((7, 33))
def row_one_per_program(m: int, n: int) -> Graph:
    """One row per program, several dependent reductions, weights shared by all programs, two outputs."""
    k = Kernel("layer_norm", spread("x", (m,), 1), resident("r", (n,)))
    x, w, out, mean = k.read("x", m * n), k.read("weight", n), k.write("out", m * n), k.write("mean", m)
    v = k.load(x, ((n,), (1,)))
    mu = k.name(k.b.reduce(v, monoid="sum", over="r") * (1.0 / n), "mu")
    c = v - mu
    var = k.b.reduce(c * c, monoid="sum", over="r") * (1.0 / n)
    k.store(c * k.b.rsqrt(var + 1e-5) * k.load(w, ((0,), (1,))), out, ((n,), (1,)))
    k.store(mu, mean, ((1,), (0,)))
    return k.graph


@case((3, 4, 5))
def row_not_adjacent(a: int, b: int, c: int) -> Graph:
    """Reduce the first and last of three axes; the kept one is in the middle."""
    k = Kernel("batch_norm", spread("x", (b,), 2), resident("r", (a, c)))
    x, out = k.read("x", a * b * c), k.write("out", a * b * c)
    coeffs = ((c,), (b * c, 1))
    v = k.load(x, coeffs)
    k.store(v - k.b.reduce(v, monoid="sum", over="r") * (1.0 / (a * c)), out, coeffs)
    return k.graph


@case((100, 12), (64, 16), (1, 3), (0, 5), (65, 1))
def col_sum(m: int, n: int) -> Graph:
    """Columns: the reduced rows are looped over."""
    k = Kernel("columns", spread("x", (n,), 8), persistent("r", (m,), 16, 1))
    x, total, top = k.read("x", m * n), k.write("total", n), k.write("top", n)
    v = k.load(x, ((1,), (n,)))
    k.store(k.b.reduce(v, monoid="sum", over="r"), total, ((1,), (0,)))
    k.store(k.b.reduce(v, monoid="max", over="r"), top, ((1,), (0,)))
    return k.graph


@case((5, 100), (4, 96), (3, 1))
def row_loop(m: int, n: int) -> Graph:
    """A row that does not fit a tile: three phases, each of which reads the row again."""
    k = Kernel("long_softmax", spread("x", (m,), 2), persistent("r", (n,), 16, 1))
    x, out, norm = k.read("x", m * n), k.write("out", m * n), k.write("norm", m)
    v = k.load(x, ((n,), (1,)))
    top = k.name(k.b.reduce(v, monoid="max", over="r"), "top")
    e = k.b.exp(v - top)
    total = k.b.reduce(e, monoid="sum", over="r")
    k.store(e / total, out, ((n,), (1,)))
    k.store(k.b.log(total) + top, norm, ((1,), (0,)))
    return k.graph


@case((1000, 4, True), (1000, 4, False), (1024, 4, True), (77, 8, True), (77, 8, False), (0, 4, True), (3, 1, True))
def full_partials(n: int, programs: int, strided: bool) -> Graph:
    g = persistent("x", (n,), 32, programs)
    k = Kernel("square_sum", Group("x", (n,), g.grid, g.loop, g.tile, strided))
    x, parts = k.read("x", n), k.write("parts", g.grid)
    v = k.load(x, ((1,),))
    k.store(k.b.reduce(v * v, monoid="sum", over="x"), parts, ((0,),), program=(1,))
    return k.graph


@case(5, 8, 1)
def finaliser(p: int) -> Graph:
    k = Kernel("finish", resident("r", (p,)))
    parts, out = k.read("parts", p), k.write("out", 1)
    k.store(k.b.reduce(k.load(parts, ((1,),)), monoid="sum", over="r") * (1.0 / 3.0), out, ((0,),))
    return k.graph


@case((37, 20), (32, 16), (3, 5))
def row_with_loss(m: int, n: int) -> Graph:
    """Row work whose per-row results are also summed over the rows of each program."""
    k = Kernel("cross_entropy", spread("x", (m,), 8), resident("r", (n,)))
    x, target, dx = k.read("logits", m * n), k.read("target", m, i64), k.write("dlogits", m * n)
    loss = k.write("loss", -(-m // 8))
    v = k.load(x, ((n,), (1,)))
    t = k.load(target, ((1,), (0,)))
    top = k.b.reduce(v, monoid="max", over="r")
    e = k.b.exp(v - top)
    total = k.b.reduce(e, monoid="sum", over="r")
    hit = k.load(x, ((n,), (0,)), t, index_coeffs=(1,))
    one = k.b.select(k.b.index(group="r", dim=0, dtype=i64).eq(t), k.b.scalar(1.0, f32), k.b.scalar(0.0, f32))
    k.store((e / total - one) * (1.0 / m), dx, ((n,), (1,)))
    row = k.name(k.b.log(total) + top - hit, "row_loss")
    k.store(k.b.reduce(row, monoid="sum", over="x"), loss, ((0,), (0,)), program=(1, 0))
    return k.graph


@case((50, 24, 4, 1, True), (50, 24, 4, 1, False), (48, 32, 4, 4, True), (7, 5, 3, 2, True))
def mixed(m: int, n: int, programs: int, tile: int, strided: bool) -> Graph:
    """Row work in a persistent loop, with column sums carried over the rows of each program."""
    g = persistent("x", (m,), tile, programs)
    k = Kernel("norm_backward", Group("x", (m,), g.grid, g.loop, g.tile, strided), resident("r", (n,)))
    x, dy, w = k.read("x", m * n), k.read("dy", m * n), k.read("w", n)
    dx, dw, loss = k.write("dx", m * n), k.write("dw", g.grid * n), k.write("loss", g.grid)
    v, ct = k.load(x, ((n,), (1,))), k.load(dy, ((n,), (1,)))
    scale = k.name(k.b.rsqrt(k.b.reduce(v * v, monoid="sum", over="r") * (1.0 / n) + 1e-5), "scale")
    h = v * scale
    g_ = ct * k.load(w, ((0,), (1,)))
    k.store((g_ - h * (k.b.reduce(g_ * h, monoid="sum", over="r") * (1.0 / n))) * scale, dx, ((n,), (1,)))
    k.store(k.b.reduce(ct * h, monoid="sum", over="x"), dw, ((0,), (1,)), program=(n, 0))
    k.store(k.b.reduce(h * h, monoid="sum", over="xr"), loss, ((0,), (0,)), program=(1, 0))
    return k.graph


@case((32, 32, 64), (33, 17, 50), (16, 16, 16), (1, 16, 40), (40, 3, 5), (16, 16, 0), (170, 40, 8), (128, 33, 4))
def contract(m: int, n: int, kk: int) -> Graph:
    """A matrix product with a bias and a cut at zero."""
    k = Kernel("linear", spread("m", (m,), 16), spread("n", (n,), 16), persistent("k", (kk,), 16, 1))
    a, w, bias, out = k.read("a", m * kk), k.read("w", kk * n), k.read("bias", n), k.write("out", m * n)
    c = k.b.dot(k.load(a, ((kk,), (0,), (1,))), k.load(w, ((0,), (1,), (n,))), over="k", dtype=f32)
    z = k.name(c + k.load(bias, ((0,), (1,), (0,))), "z")
    k.store(k.b.maximum(z, 0.0), out, ((n,), (1,), (0,)))
    return k.graph


@case((3, 18, 20, 32, f32), (2, 16, 16, 16, f16), (2, 16, 32, 16, bf16), (2, 8, 8, 8, f64))
def contract_batched(nb: int, m: int, n: int, kk: int, d: DType) -> Graph:
    """Batched, transposed second operand, one step of k, a prologue that makes padding lanes non-zero."""
    gs = (spread("b", (nb,), 1), spread("m", (m,), 16), spread("n", (n,), 16), resident("k", (kk,)))
    k = Kernel("bmm", *gs)
    a, w, out = k.read("a", nb * m * kk, d), k.read("w", nb * n * kk, d), k.write("out", nb * m * n, d)
    va, vw = k.load(a, ((m * kk,), (kk,), (0,), (1,))), k.load(w, ((n * kk,), (0,), (kk,), (1,)))
    if d is f32:
        va = k.b.exp(va)
    acc = f64 if d is f64 else f32
    c = k.b.dot(va, vw, over="k", dtype=acc)
    k.store(c if d is acc else k.b.convert(c, dtype=d), out, ((m * n,), (n,), (1,), (0,)))
    return k.graph


@case((20, 3, 50, 16), (20, 3, 50, 10))
def split_k(m: int, n: int, kk: int, tile: int) -> Graph:
    """Partial products: each program along k stores its own."""
    k = Kernel("split", spread("m", (m,), 16), spread("n", (n,), 16), persistent("k", (kk,), 16, 3))
    a, w, out = k.read("a", m * kk), k.read("w", kk * n), k.write("out", k.groups[2].grid * m * n)
    c = k.b.dot(k.load(a, ((kk,), (0,), (1,))), k.load(w, ((0,), (1,), (n,))), over="k", dtype=f32)
    k.store(c, out, ((n,), (1,), (0,)), program=(0, 0, m * n))
    return k.graph


@case((10, 6, 20))
def embedding(tokens: int, width: int, rows: int) -> Graph:
    """Rows picked by a run-time index, with a flag for indices out of range, and a masked load."""
    k = Kernel("gather", spread("x", (tokens, width), 16))
    ids, table = k.read("ids", tokens, i64), k.read("table", rows * width)
    out, flag = k.write("out", tokens * width), k.write("flag", 1, i32)
    i = k.load(ids, ((1, 0),))
    ok = k.name((i >= 0) & (i < rows - 2), "ok")
    k.b.check(~ok, flag, code=3)
    k.store(k.load(table, ((0, 1),), ok, i, masked=True, index_coeffs=(width,)), out, ((width, 1),))
    return k.graph


@case((12, 5), (16, 16))
def pad_and_cut(n: int, before: int) -> Graph:
    """A padded copy by masked loads whose masked addresses lie outside the buffer, and a masked store."""
    k = Kernel("padded", spread("x", (n + before,), 8))
    x, out, tail = k.read("x", n), k.write("out", n + before), k.write("tail", n)
    i = k.b.index(group="x", dim=0, dtype=i32)
    inside = k.name(i >= before, "inside")
    v = k.load(x, ((1,),), inside, offset=-before, masked=True)
    k.store(v, out, ((1,),))
    k.store(v * 2.0, tail, ((1,),), inside, offset=-before, masked=True)
    return k.graph


@case((6, 10))
def scatter_rows(m: int, n: int) -> Graph:
    """Stores at run-time rows (a permutation)."""
    k = Kernel("scatter", spread("x", (m, n), 8))
    x, to, out = k.read("x", m * n), k.read("perm", m, i32), k.write("out", m * n)
    k.store(k.load(x, ((n, 1),)), out, ((0, 1),), k.load(to, ((1, 0),)), index_coeffs=(n,))
    return k.graph


@case("sum", "prod", "max", "min")
def monoids_float(monoid: str) -> Graph:
    return _monoid(monoid, f32)


@case("any", "all", "max", "min")
def monoids_bool(monoid: str) -> Graph:
    return _monoid(monoid, i1)


@case(*[(m, d) for m in ("sum", "prod", "max", "min") for d in ("i8", "i32", "i64", "ui8", "f64")])
def monoids_typed(monoid: str, d: str) -> Graph:
    return _monoid(monoid, dtype(d))


def _monoid(monoid: str, d: DType) -> Graph:
    """One monoid in a tile, over a loop, and over the tiles of each program."""
    m, n = 6, 21
    k = Kernel(f"{monoid}_{d.name}", persistent("x", (m,), 2, 2), resident("r", (n,)))
    x = k.read("x", m * n, d)
    rows, cols, parts = k.write("rows", m, d), k.write("cols", 2 * n, d), k.write("parts", 2, d)
    v = k.load(x, ((n,), (1,)))
    k.store(k.b.reduce(v, monoid=monoid, over="r"), rows, ((1,), (0,)))
    k.store(k.b.reduce(v, monoid=monoid, over="x"), cols, ((0,), (1,)), program=(n, 0))
    k.store(k.b.reduce(v, monoid=monoid, over="xr"), parts, ((0,), (0,)), program=(1, 0))
    return k.graph


@case(40)
def no_reads(n: int) -> Graph:
    """Only constants, and a reduction of one over an index group."""
    k = Kernel("fill", spread("x", (n,), 16), resident("r", (5,)))
    out, count = k.write("out", n), k.write("count", n)
    one = k.b.scalar(1.0, f32)
    k.store(k.b.scalar(0.1, f32), out, ((1,), (0,)))
    i = k.b.convert(k.b.index(group="x", dim=0, dtype=i32), dtype=f32)
    k.store(k.b.reduce(i * one, monoid="sum", over="r"), count, ((1,), (0,)))
    return k.graph


@case((f16,), (bf16,))
def half_rows(d: DType) -> Graph:
    """Half types: converted when read, converted back when stored."""
    m, n = 5, 19
    k = Kernel("rms_norm", spread("x", (m,), 2), resident("r", (n,)))
    x, out = k.read("x", m * n, d), k.write("out", m * n, d)
    v = k.b.convert(k.load(x, ((n,), (1,))), dtype=f32)
    s = k.b.rsqrt(k.b.reduce(v * v, monoid="sum", over="r") * (1.0 / n) + 1e-6)
    k.store(k.b.convert(v * s, dtype=d), out, ((n,), (1,)))
    return k.graph


def all_cases() -> Iterator[tuple[str, Graph]]:
    for name, build in CASES.items():
        yield name, build()
