"""Row kernels at every length: what they hold, how often they read, that they are right, and that they do not spill."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradc as gc
from gradc.ir.laws import verify

PATH = Path(__file__).parent.parent / "benchmarks" / "rows.py"
if not PATH.exists():
    pytest.skip("the benchmarks are not part of the wheel", allow_module_level=True)
ROWS = runpy.run_path(str(PATH))
PROGRAMS, kernels, ratio = ROWS["PROGRAMS"], ROWS["kernels"], ROWS["ratio"]
F = gc.nn.functional
FORWARD = ("layer norm forward", "rms norm forward", "softmax forward")
ONE_READ = {name: 32768 for name in (*FORWARD, "softmax joint", "cross entropy joint")}
ONE_READ |= {"softmax backward": 24576, "rms norm backward": 12288, "rms norm joint": 12288}
ONE_READ |= {"layer norm backward": 8192, "layer norm joint": 8192}
"""Up to this many columns everything is read once."""


def flat(x: Any) -> list[np.ndarray[Any, Any]]:
    if isinstance(x, tuple | list):
        return [a for y in x for a in flat(y)]
    return [] if x is None else [np.asarray(x)]


def inputs(program: gc.Program, columns: int, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    out = []
    for v in program.joint.main.inputs:
        t: Any = program.joint.main.types[v]
        if t.dtype.is_float:
            out.append((rng.standard_normal(t.shape) * 2 + 0.5).astype(t.dtype.numpy))
        else:
            out.append(rng.integers(0, columns, t.shape))
    return out


def assert_same(program: gc.Program, arrays: list[Any], executor: str, tolerance: float) -> None:
    """Against the reference executor, relative to the largest element."""
    got, want = flat(program(*arrays, executor=executor)), flat(program(*arrays, executor="reference"))
    for g, w in zip(got, want, strict=True):
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        g, w = g.astype(np.float64), w.astype(np.float64)
        assert np.array_equal(np.isnan(g), np.isnan(w))
        scale = max(float(np.nanmax(np.abs(w), initial=0)), 1e-30)
        assert float(np.nanmax(np.abs(g - w), initial=0)) <= tolerance * scale


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("columns", [8209, 12289, 16411, 32749, 32771, 50257])
def test_values(name: str, columns: int) -> None:
    program = PROGRAMS[name](3, columns, "float32")
    for module in program.modules:
        verify(module)
    assert_same(program, inputs(program, columns), "tiled", 1e-5)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("columns", [4096, 8192, 12288, 16384, 24576, 32768, 50257, 131072])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bytes(name: str, columns: int, dtype: str) -> None:
    """The least bytes while a row fits into registers (and partials); then one more read of the rows, or two where
    the gradient needs sums over the row of what needs sums over the row."""
    program = PROGRAMS[name](8192, columns, dtype)
    one_read = columns <= ONE_READ[name]
    three_walks = columns > 32768 and name in ("softmax joint", "layer norm joint", "rms norm joint")
    assert ratio(program) <= (1.07 if one_read else 2.01 if three_walks else 1.7)
    norm = "norm" in name and "forward" not in name
    alone = name in FORWARD or name == "softmax backward"
    assert len(kernels(program)) == (1 if alone else 2 + (norm and not one_read))


LENGTHS = {
    "softmax joint": [32768, 32771],
    "softmax forward": [50257],
    "cross entropy joint": [8209, 32771, 65536],
    "softmax backward": [24593, 40009],
    "layer norm joint": [12289],
    "rms norm backward": [16411, 32769],
}


@pytest.mark.parametrize(("name", "columns"), [(n, c) for n, cs in LENGTHS.items() for c in cs])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_values_of_the_printed_text(name: str, columns: int, dtype: str) -> None:
    pytest.importorskip("triton", reason="printed Triton needs triton to run")
    program = PROGRAMS[name](3, columns, dtype)
    arrays = inputs(program, columns)
    for executor in ("triton-interpreter", "tiled"):
        assert_same(program, arrays, executor, 2e-5 if dtype == "float32" else 2e-2)


@pytest.mark.parametrize("executor", ["tiled", "triton-interpreter"])
def test_a_sum_of_exponentials_in_one_walk_meets_what_is_not_finite(executor: str) -> None:
    """Rows of -inf, with +inf, with NaN, and with their greatest elements far apart."""
    if executor == "triton-interpreter":
        pytest.importorskip("triton", reason="printed Triton needs triton to run")
    columns = 40009
    program = gc.build(lambda x: gc.log_softmax(x, -1), gc.spec((6, columns)), target="cuda:90", name="row")
    assert [k.kind for k in program.kernels] == ["ROW-LOOP"]
    assert "tile.exp_sum" in program.stages["scheduled"]
    x = np.random.default_rng(1).standard_normal((6, columns)).astype(np.float32)
    x[0] = -np.inf
    x[1, 5000] = np.inf
    x[2, 39000] = np.nan
    x[3, :20000] = -np.inf
    x[4, 0], x[4, -1] = 80.0, 3e38
    x[5] += np.arange(columns) / 100
    with np.errstate(all="ignore"):
        assert_same(program, [x], executor, 1e-6)


@pytest.mark.parametrize("executor", ["tiled", "triton-interpreter"])
def test_moments_in_one_walk_do_not_cancel(executor: str) -> None:
    """Rows far from 0, with one element far from the others, and nearly constant; against float64."""
    if executor == "triton-interpreter":
        pytest.importorskip("triton", reason="printed Triton needs triton to run")
    columns = 40009
    program = gc.build(lambda x: F.layer_norm(x, (columns,)), gc.spec((4, columns)), target="cuda:90", name="row")
    assert "tile.moments" in program.stages["scheduled"]
    x = np.random.default_rng(3).standard_normal((4, columns)).astype(np.float32)
    x[0] += 1000
    x[1, 0] = 1e4
    x[2] = x[2] * 1e-3 + 1
    x[3, -1] = -1e4
    wide = x.astype(np.float64)
    off = wide - wide.mean(1, keepdims=True)
    want = off / np.sqrt((off * off).mean(1, keepdims=True) + 1e-5)
    got = flat(program(x, executor=executor))[0]
    for g, w in zip(got, want, strict=True):
        assert np.abs(g - w).max() <= 2e-4 * np.abs(w).max()


def test_a_target_is_loaded_and_an_ignored_or_absent_one_is_not() -> None:
    columns = 9001
    x, t = gc.spec((5, columns), requires_grad=True), gc.spec((5,), "int64")
    program = gc.build(lambda x, t: F.cross_entropy(x, t, reduction="sum"), x, t, target="cuda:90", name="row")
    logits = np.random.default_rng(2).standard_normal((5, columns)).astype(np.float32)
    arrays = [logits, np.array([0, 9000, -100, 7, 1])]
    for executor in ("tiled", "triton-interpreter"):
        assert_same(program, arrays, executor, 1e-6)
    loads = [n for n in program.kernels[0].graph.nodes if n.op.name == "tile.load" and n.attrs.get("index_coeffs")]
    assert len(loads) == 1


@pytest.mark.parametrize("executor", ["tiled", "triton-interpreter"])
def test_vectors_may_be_loaded_in_each_step(executor: str) -> None:
    """Where a loop over rows could not hold them beside the row and the sums per column."""
    if executor == "triton-interpreter":
        pytest.importorskip("triton", reason="printed Triton needs triton to run")
    program = PROGRAMS["rms norm joint"](140, 12289, "bfloat16")
    kernel = program.kernels[0]
    assert any(n.attrs.get("each_step") for n in kernel.graph.nodes)
    assert kernel.graph.attrs["groups"][0]["loop"] == 2
    assert gc.ir.parse(str(program.modules[0])).to_text() == str(program.modules[0])
    loop = kernel.source.index("for xindex in")
    assert kernel.source.index("tl.load(args_1_ptr") > loop
    assert_same(program, inputs(program, 12289), executor, 2e-2)


SPILLS = [
    ("softmax joint", 32768, "float32", "cuda:90"),
    ("cross entropy joint", 32768, "bfloat16", "cuda:90"),
    ("cross entropy joint", 50257, "bfloat16", "cuda:90"),
    ("softmax backward", 24576, "float32", "cuda:80"),
    ("layer norm joint", 8192, "float32", "cuda:90"),
    ("layer norm joint", 32768, "bfloat16", "cuda:90"),
    ("rms norm joint", 12288, "float32", "cuda:90"),
    ("softmax forward", 32768, "bfloat16", "hip:gfx942"),
]


@pytest.mark.parametrize(("name", "columns", "dtype", "target"), SPILLS)
def test_nothing_spills(name: str, columns: int, dtype: str, target: str) -> None:
    """The critical cells of `benchmarks/rows.py --compile`."""
    pytest.importorskip("triton", reason="compiling kernels needs triton")
    for kernel in kernels(PROGRAMS[name](8192, columns, dtype)):
        assert kernel.binary(target).spills == 0, kernel.name
