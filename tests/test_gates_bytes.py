"""What compiled programs may launch and move, at the shapes the counts are known for; and that the same programs
compute what torch does, at small awkward sizes."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import numpy as np
import pytest
import tree

import gradc as gc
from gradc.runtime.tiled import CountingMemory, tiled_kernel

PATH = tree.ROOT / "benchmarks" / "bytes.py"
if not PATH.is_file():
    pytest.skip("the benchmarks are not part of the wheel", allow_module_level=True)
_spec = importlib.util.spec_from_file_location("bytes_benchmark", PATH)
assert _spec is not None
assert _spec.loader is not None
bench: Any = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = bench
_spec.loader.exec_module(bench)


@pytest.mark.parametrize("case", bench.CASES, ids=lambda c: c.name)
def test_bytes_and_launches(case: Any) -> None:
    row = bench.measure(case)
    if case.limit is not None:
        assert row["ratio"] <= case.limit
    if case.launches is not None:
        assert row["launches"] <= case.launches
    if case.peer is not None:
        assert row["ratio"] < case.peer[0]
        assert row["launches"] < case.peer[1]


def small(name: str, run: Any, shapes: list[tuple[int, ...]], wrt: tuple[int, ...], **more: Any) -> Any:
    return bench.Case(name, run, tuple((s, "f32") for s in shapes), wrt, **more)


def two_biases(t: Any, x: Any, b: Any, y: Any, c: Any) -> Any:
    return bench.square_mean(bench.gelu_erf)(t, x, b, x) + (y * c).sin().sum()


def gated(t: Any, x: Any, w1: Any, w2: Any, w3: Any) -> Any:
    return (t.nn.functional.silu(x @ w1) * (x @ w2)) @ w3


def projections(t: Any, x: Any, a: Any, b: Any, c: Any) -> Any:
    return (x @ a).sin() * (x @ b) + (x @ c).exp()


x, row, square = (37, 53), (53,), bench.square_mean
SMALL = (
    small("gelu tanh", square(bench.gelu_tanh), [x, row, x], (0, 1, 2)),
    small("gelu", square(bench.gelu_erf), [x, row, x], (0, 1, 2)),
    small("swiglu", square(bench.swiglu), [x, x], (0, 1)),
    small("softmax", square(bench.softmax), [x], (0,)),
    small("layer norm", square(bench.layer_norm), [x, row, row], (0, 1, 2)),
    small("layer norm error", bench.layer_norm_error, [x, row, row, x], (0, 1, 2)),
    small("rms norm", square(bench.rms_norm), [x, row], (0, 1)),
    small("rms swiglu", square(bench.rms_swiglu), [x, x, row], (0, 1, 2)),
    small("layer norm vjp", bench.layer_norm, [x, row, row], (0, 1, 2), vjp=True),
    small("softmax vjp", bench.softmax, [x], (0,), vjp=True),
    small("batch norm", bench.batch_norm_error, [x, row, row, x], (0, 1, 2)),
    small("batch norm long", bench.batch_norm_error, [(1031, 6), (6,), (6,), (1031, 6)], (0, 1, 2)),
    small("gated", square(gated), [(70, 19), (19, 37), (19, 37), (37, 19)], (0, 1, 2, 3)),
    small("projections", square(projections), [(70, 19), (19, 67), (19, 67), (19, 67)], (0, 1, 2, 3)),
    small("two biases", two_biases, [(700, 20), (20,), (1100, 45), (45,)], (0, 1, 2, 3)),
    small("linear gelu", bench.linear_gelu, [(37, 19), (70, 19), (70,)], ()),
    small("product mean", lambda t, x, y: (x @ y).tanh().mean(), [(129, 64), (64, 64)], (0, 1)),
    small("product of odd sizes", lambda t, x, y: (x @ y).tanh().mean(), [(65, 37), (37, 70)], (0, 1)),
    small("linear gelu loss", square(bench.linear_gelu), [(70, 19), (67, 19), (67,)], (0, 1, 2)),
    small("block", square(bench.block(2)), [s for s, _ in bench.block_args(3, 33, 10)], tuple(range(13))),
)


def filled(case: Any, rng: np.random.Generator) -> list[Any]:
    out = [rng.standard_normal(s).astype(np.float32) for s, _ in case.args]
    return [a * (0.3 if a.ndim == 2 else 1.0) for a in out]


def by_torch(case: Any, data: list[Any], ct: Any) -> tuple[Any, list[Any]]:
    torch = pytest.importorskip("torch", reason="the oracle")
    args = [torch.tensor(a, requires_grad=i in case.wrt) for i, a in enumerate(data)]
    value = case.run(torch, *args)
    wrt = [args[i] for i in case.wrt]
    grads = torch.autograd.grad(value, wrt, None if ct is None else torch.tensor(ct)) if wrt else []
    return value.detach().numpy(), [g.numpy() for g in grads]


def check(got: Any, want: Any) -> None:
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    assert np.abs(got - want).max() <= 3e-5 * max(np.abs(want).max(), 1e-6)


@pytest.mark.parametrize("executor", ["reference", "tiled", "triton-interpreter"])
@pytest.mark.parametrize("case", SMALL, ids=lambda c: c.name)
def test_small_sizes_compute_what_torch_does(case: Any, executor: str, rng: np.random.Generator) -> None:
    if executor == "triton-interpreter":
        pytest.importorskip("triton", reason="the emitted text is Triton's")
    data = filled(case, rng)
    ct = rng.standard_normal(case.args[0][0]).astype(np.float32) if case.vjp else None
    value, grads = case.build()(*data, *([ct] if case.vjp else []), executor=executor)
    want, wanted = by_torch(case, data, ct)
    check(value, want)
    for i, g in zip(case.wrt, wanted, strict=True):
        check(grads[i], g)


@pytest.mark.parametrize("case", SMALL, ids=lambda c: c.name)
def test_the_count_is_what_the_tiled_executor_touches(case: Any, rng: np.random.Generator) -> None:
    """The executor marks every element it loads and stores; nothing of the static count is used."""
    module = case.build().modules[0]
    for node in module.main.nodes:
        if node.op.name != "tile.launch":
            continue
        kernel = module.graphs[node.attrs["kernel"]]
        data: list[Any] = []
        for v in kernel.inputs:
            t: Any = kernel.types[v]
            data.append(np.ones(t.numel, t.dtype.numpy))
        memory = tiled_kernel(kernel).run(data, count=True)
        assert isinstance(memory, CountingMemory)
        counted = gc.ir.traffic.traffic(kernel)
        assert memory.reads() == {k: n for k, n in counted.reads.items() if n or k in memory.reads()}
        assert memory.writes() == {k: n for k, n in counted.writes.items() if n or k in memory.writes()}


def test_finalisers_of_different_lengths_share_a_launch() -> None:
    kinds = [k.kind for k in next(c for c in SMALL if c.name == "two biases").build().kernels]
    assert kinds == ["BATCH", "BATCH"], "what leaves partials is one launch, the finalisers are another"


def test_a_kernel_that_needs_a_finaliser_ends_the_wait() -> None:
    """The mean over the first tensor is needed before the second can be scaled: two finalising launches."""

    def run(a: Any, b: Any, c: Any) -> Any:
        return ((b * c) * (a.exp().mean())).sin().sum() + a.sum()

    shapes = ("f32[5000]", "f32[600,20]", "f32[20]")
    p = gc.build(run, *(gc.spec(s, requires_grad=True) for s in shapes), target="cuda:90", name="waits")
    assert [k.kind for k in p.kernels] == ["FULL", "ROW", "COL", "ROW", "MAP"]
    rng = np.random.default_rng(0)
    data = [rng.standard_normal(tuple(int(n) for n in s[4:-1].split(","))).astype(np.float32) for s in shapes]
    torch = pytest.importorskip("torch", reason="the oracle")
    args = [torch.tensor(v, requires_grad=True) for v in data]
    value = run(*args)
    value.backward()
    got, grads = p(*data, executor="tiled")
    assert np.allclose(got, value.detach().numpy(), rtol=1e-3, atol=1e-2)
    for g, a in zip(grads, args, strict=True):
        check(g, a.grad.numpy())


def test_parts_of_one_gradient_are_put_together_by_one_kernel() -> None:
    """Three products make three slices of a gradient; a value moved twice once kept its readers apart."""

    def run(x: Any, w: Any) -> Any:
        a, b, c = x[0], x[1], x[2]
        return ((a @ w).exp() * (b @ w) + (c @ w).sin()).sum()

    shapes = ((3, 70, 40), (40, 50))
    p = gc.build(run, *(gc.spec(s, "float32", requires_grad=True) for s in shapes), target="cuda:90", name="parts")
    assert sum("grad_x" in k.source for k in p.kernels) == 1
    maker = next(k for k in p.kernels if "grad_x" in k.source)
    parts = [n.regions[0] for n in maker.graph.nodes if n.regions] or [maker.graph]
    (part,) = [k for k in parts if "grad_x" in k.names.values()]
    assert gc.ir.traffic.traffic(part).moved <= 2 * 3 * 70 * 40 * 4
    torch = pytest.importorskip("torch", reason="the oracle")
    rng = np.random.default_rng(0)
    data = [0.3 * rng.standard_normal(s).astype(np.float32) for s in shapes]
    args = [torch.tensor(v, requires_grad=True) for v in data]
    run(*args).backward()
    _, grads = p(*data, executor="tiled")
    for g, t in zip(grads, args, strict=True):
        check(g, t.grad.numpy())


@pytest.mark.parametrize("executor", ["tiled", "triton-interpreter"])
@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_products_keep_the_stated_error(name: str, executor: str) -> None:
    if executor == "triton-interpreter":
        pytest.importorskip("triton", reason="the emitted text is Triton's")
    import ml_dtypes

    kind = np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)
    rng = np.random.default_rng(3)
    a, b = (rng.standard_normal(s).astype(kind) for s in ((37, 517), (517, 70)))
    p = gc.build(lambda a, b: a @ b, *(gc.spec(v.shape, name) for v in (a, b)), target="cuda:90", name="product")
    assert 'input_precision="ieee"' in p.kernels[0].source
    (got, _) = p(a, b, executor=executor)
    wide = [v.astype(np.float64) for v in (a, b)]
    want, size = wide[0] @ wide[1], abs(wide[0]) @ abs(wide[1])
    rounding = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-7}[name]  # the interpreter truncates bf16
    assert np.all(abs(np.asarray(got).astype(np.float64) - want) <= 518 * 2.0**-24 * size + rounding * abs(want))


def test_tiles_fill_the_multiprocessors() -> None:
    """Small products are cut into more tiles, large ones into large tiles."""

    def grid(m: int, n: int, dtype: str) -> int:
        specs = (gc.spec(s, dtype) for s in ((m, 256), (256, n)))
        return int(gc.build(lambda a, b: a @ b, *specs, target="cuda:90", name="product").kernels[0].grid[0])

    assert grid(512, 256, "float32") == 16 * 8
    assert grid(4096, 4096, "float32") == 64 * 64
    assert grid(4096, 4096, "bfloat16") == 32 * 32
    assert grid(512, 512, "bfloat16") == 8 * 8
    assert grid(5, 7, "float32") == 1


def test_products_that_share_an_operand_share_a_kernel() -> None:
    kernels = next(c for c in SMALL if c.name == "gated").build().kernels
    assert sorted(k.source.count("tl.dot(") for k in kernels if "tl.dot(" in k.source)[-2:] == [2, 2]
    assert kernels[0].source.count("tl.dot(") == 2
    kernels = next(c for c in SMALL if c.name == "projections").build().kernels
    assert max(k.source.count("tl.dot(") for k in kernels) == 3
    assert sum(kernels[0].reads.values()) == 4 * (70 * 19 + 3 * 19 * 67)


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_shared_and_reduced_products_spill_nothing(dtype: str) -> None:
    """Three accumulators; two accumulators and a gate's gradient; a softmax of whole rows."""
    pytest.importorskip("triton", reason="the counts are the compiler's")

    def attention(t: Any, q: Any, k: Any, v: Any) -> Any:
        return t.nn.functional.softmax(q @ k.transpose(-1, -2) * 0.125, -1) @ v

    big, side = (1024, 512), (512, 512)
    for run, shapes in (
        (projections, [big, side, side, side]),
        (gated, [big, side, side, side]),
        (attention, [(8, 128, 64)] * 3),
    ):
        case = bench.Case("spills", square(run), tuple((s, dtype) for s in shapes), tuple(range(len(shapes))))
        for kernel in case.build().kernels:
            assert kernel.binary("cuda:90").spills == 0, kernel.source

