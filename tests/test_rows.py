"""Row kernels at every length: what they hold, how often they read, that they are right, and that they do not spill."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradc as gc
from gradc.ir.laws import verify

ROWS = runpy.run_path(str(Path(__file__).parent.parent / "benchmarks" / "rows.py"))
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
@pytest.mark.parametrize("columns", [4096, 8192, 12288, 16384, 24576, 32768])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bytes(name: str, columns: int, dtype: str) -> None:
    """The least bytes while a row fits into registers (and partials); then one more read of the rows."""
    program = PROGRAMS[name](8192, columns, dtype)
    one_read = columns <= ONE_READ[name]
    assert ratio(program) <= (1.07 if one_read else 1.7)
    norm = "norm" in name and "forward" not in name
    alone = name in FORWARD or name == "softmax backward"
    assert len(kernels(program)) == (1 if alone else 2 + (norm and not one_read))
