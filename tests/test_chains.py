"""Long elementwise chains and their gradients: launches and bytes per op, registers, values."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradc as gc
from gradc.ir.interpret import run_module
from gradc.passes.pipeline import run_pipeline

torch = pytest.importorskip("torch", reason="chains are compared with torch")


def scaled(x: Any, n: int) -> Any:
    for i in range(n // 2):
        x = x * (1 + 1e-3 * i) + 1e-3 * i
    return x


def tanh(x: Any, n: int) -> Any:
    for _ in range(n):
        x = x.tanh()
    return x


def sin(x: Any, n: int) -> Any:
    for _ in range(n):
        x = x.sin()
    return x


def square(x: Any, n: int) -> Any:
    for i in range(n // 2):
        x = x * x - (0.5 + 1e-3 * i)
    return x


def mixed(x: Any, n: int) -> Any:
    for _ in range(n // 4):
        x = (x * 1.1 + 0.1).tanh().exp().sin()
    return x


def skips(x: Any, n: int) -> Any:
    """A chain of blocks, each beside a straight way around it."""
    for i in range(n // 6):
        h = (x * (1.0 + 0.01 * i)).tanh()
        x = x + 0.5 * h * h.sigmoid()
    return x


CHAINS: dict[str, Callable[[Any, int], Any]] = {c.__name__: c for c in (scaled, tanh, sin, square, mixed, skips)}
# Launches per 1000 ops at 300 scalar operations a kernel, and values of the whole size read and written per op: a
# kernel of the forward half writes what the next reads and what its copy starts from, one of the backward half reads
# that and the gradient. A sine is 45 scalar operations, so a kernel holds 5 or 6 of each half.
LAUNCHES = {"scaled": 5, "tanh": 202, "sin": 336, "square": 14, "mixed": 146, "skips": 56}
TENSORS = {"scaled": 0.01, "tanh": 0.61, "sin": 1.35, "square": 0.05, "mixed": 0.75, "skips": 0.24}
N = 240
SIZE = 1000


def build(name: str, n: int, size: int = SIZE, dtype: str = "f32") -> Any:
    chain = CHAINS[name]
    spec = gc.spec(f"{dtype}[{size}]", requires_grad=True)
    return gc.build(lambda x: chain(x, n).sum(), spec, name="chain", target="cuda:90")


def work(module: Any) -> int:
    """How many nodes compute something."""
    return sum(bool(node.operands) for node in module.main.nodes)


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    return {name: build(name, N) for name in CHAINS}


@pytest.mark.parametrize("name", CHAINS)
def test_launches_and_bytes(name: str, built: dict[str, Any]) -> None:
    prog = built[name]
    assert len(prog.kernels) <= 1 + math.ceil(N / 1000 * LAUNCHES[name])
    assert prog.report().to_json()["bytes_moved"] <= 4 * SIZE * (2 + N * TENSORS[name])
    for k in prog.kernels:
        assert len(k.reads) <= 5
        assert len(k.writes) <= 6


@pytest.mark.parametrize("name", CHAINS)
def test_values(name: str, built: dict[str, Any]) -> None:
    prog = built[name]
    data = np.random.default_rng(7).uniform(-0.9, 0.9, SIZE).astype(np.float32)
    x = torch.tensor(data.astype(np.float64), requires_grad=True)
    want = CHAINS[name](x, N).sum()
    want.backward()
    value, grad = float(want.detach()), x.grad.numpy()
    for executor in ("reference", "tiled"):
        got, (dx,) = prog(data, executor=executor)
        np.testing.assert_allclose(got, value, rtol=1e-4)
        np.testing.assert_allclose(dx, grad, rtol=1e-3, atol=1e-5 * np.abs(grad).max())


@pytest.mark.parametrize("name", ["sin", "square", "skips"])
@pytest.mark.parametrize("dtype", ["f32", "f16", "f64"])
def test_the_text_computes_what_the_tiles_compute(name: str, dtype: str) -> None:
    prog = build(name, 96 if name != "sin" else 12, 37, dtype)
    data = np.random.default_rng(3).uniform(-0.9, 0.9, 37).astype({"f32": "f4", "f16": "f2", "f64": "f8"}[dtype])
    value, (dx,) = prog(data, executor="tiled")
    got, (gx,) = prog(data, executor="triton-interpreter")
    scale = max(1e-30, float(np.abs(dx.astype(np.float64)).max()))
    tight = {"f32": 1e-4, "f16": 2e-2, "f64": 1e-10}[dtype]
    np.testing.assert_allclose(got, value, rtol=tight)
    np.testing.assert_allclose(gx / scale, dx / scale, atol=tight)


def test_what_is_computed_again_is_remarked(built: dict[str, Any]) -> None:
    found = [r for r in built["sin"].remarks if r.kind == "recomputed"]
    assert found
    assert {r.reason for r in found} == {"read far from where they are computed"}
    assert {Path(r.loc.file).name for r in found} == {"test_chains.py"}
    saved = sum(r.numbers["bytes"] for r in found)
    assert saved > 0.6 * N * 4 * SIZE


@pytest.mark.parametrize(("name", "n"), [("square", 120), ("sin", 5), ("mixed", 12), ("skips", 30), ("scaled", 190)])
def test_three_hundred_operations_are_one_kernel_without_spills(name: str, n: int) -> None:
    prog = build(name, n, 1_000_000)
    big = max(prog.kernels, key=lambda k: k.bytes_moved)
    assert sum(len(k.reads) for k in prog.kernels if k.bytes_moved > 1_000_000) == 1
    binary = big.binary("cuda:90")
    assert binary.spills == 0
    assert max(binary.access_bits) == 128


@pytest.mark.parametrize("name", CHAINS)
def test_the_pass_keeps_the_meaning(name: str) -> None:
    """Before and after, on the reference: bit by bit, since no value is computed in another way."""
    joint = build(name, 120).joint
    before = run_pipeline(joint, "decompose,simplify,cse,dce").module
    after = run_pipeline(before, "checkpoint", verify=True).module
    data = [np.random.default_rng(1).uniform(-0.9, 0.9, SIZE).astype(np.float32)]
    for a, b in zip(run_module(before, data), run_module(after, data), strict=True):
        np.testing.assert_array_equal(a, b)
    assert run_pipeline(after, "checkpoint").module is after, "it must not be done twice"
    merged = run_pipeline(after, "cse,dce").module
    assert work(merged) == work(run_pipeline(after, "dce").module), "cse must not undo it"
    assert work(merged) > work(before) or name == "scaled"


def recurrent(x: Any, w: Any) -> Any:
    """Gates that a matrix product of every step separates, and a cell that goes past all of them."""
    h = c = x * 0
    for _ in range(12):
        z = h @ w + x
        c = gc.sigmoid(z * 0.5) * c + gc.sigmoid(z) * gc.tanh(z)
        h = gc.sigmoid(z * 2) * gc.tanh(c)
    return (h * h).sum()


def test_segments_end_at_matrix_products() -> None:
    """A copy whose readers a product separates would be stored for them: 38 launches and 75 times the least bytes
    without copies, 40 and 80 with copies across products."""
    prog = gc.build(recurrent, *[gc.spec("f32[64,64]", requires_grad=True)] * 2, name="recurrent")
    counted = prog.report().to_json()
    assert any(r.kind == "recomputed" for r in prog.remarks)
    assert len(prog.kernels) <= 38
    assert counted["bytes_moved"] <= 64 * counted["bytes_min"]
    rng = np.random.default_rng(5)
    data = [rng.standard_normal((64, 64), np.float32), rng.standard_normal((64, 64), np.float32) / 8]
    value, gradients = prog(*data, executor="reference")
    got, tiled = prog(*data, executor="tiled")
    np.testing.assert_allclose(got, value, rtol=1e-5)
    for a, b in zip(tiled, gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("executor", ["reference", "tiled", "triton-interpreter"])
def test_long_chains_of_integers(executor):
    """No gradient extends them, so there is nothing to compute again for."""

    def f(a):
        for i in range(60):
            a = (a * 3 + i) ^ (a >> 2)
        return a + 2**a.remainder(7)

    a = np.array([0, 1, 5, -3, 1 << 40])
    with np.errstate(over="ignore"):
        want = f(gc.tensor(a)).numpy()
    np.testing.assert_array_equal(gc.compile(f, executor=executor)(a), want)
    small = a % 9
    np.testing.assert_array_equal(gc.compile(lambda a: a**2 + 2**a, executor=executor)(small), small**2 + 2**small)
