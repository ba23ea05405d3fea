"""Every scalar op of the tile level, as each printer prints it, against the op's own meaning."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import kernel_run
import numpy as np
import pytest
from tile_kernels import Kernel

from gradc.codegen import numpy_ops, triton_ops
from gradc.codegen.constants import as_stored, float_text
from gradc.codegen.triton import triton_source
from gradc.ir.graph import Graph
from gradc.ir.op import REGISTRY
from gradc.ir.tile import spread
from gradc.ir.types import DType, bf16, f16, f32, f64, i1, i8, i32, i64, u8, u32, u64
from gradc.runtime.compile import compile_kernels
from gradc.runtime.worker import Worker

N = 37
FLOATS, INTS = (f32, f64), (i8, i32, i64, u8, u32, u64)
OPS = {name.removeprefix("tile."): op for name, op in REGISTRY.items() if "scalar" in op.traits}
ON_FLOATS = [
    "add",
    "sub",
    "mul",
    "div",
    "minimum",
    "maximum",
    "neg",
    "abs",
    "again",
    "fma",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "sqrt",
    "rsqrt",
    "exp",
    "exp2",
    "log",
    "log2",
    "erf",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
]
ON_INTS = [
    "add",
    "sub",
    "mul",
    "minimum",
    "maximum",
    "idiv",
    "rem",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bitwise_not",
    "shift_left",
    "shift_right",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
]
ON_BOOLS = ["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "eq", "ne", "minimum", "maximum"]


def apply(name: str, d: DType) -> Graph:
    """A map of one op: on loaded values, and with a constant second operand."""
    k = Kernel(f"{name}_{d.name}", spread("x", (N,), 16))
    arity = len(OPS[name].operands)
    operands = [k.load(k.read(f"in{i}", N, d), ((1,),)) for i in range(arity)]
    result = k.b.call(name, *operands)
    k.store(result, k.write("out", N, result.dtype), ((1,),))
    if arity == 2 and d.kind != "bool":
        with_number = k.b.call(name, operands[0], 3)
        k.store(with_number, k.write("with_number", N, result.dtype), ((1,),))
    return k.graph


def values(d: DType, rng: np.random.Generator, positive: bool, shift: bool) -> np.ndarray[Any, Any]:
    if d.kind == "bool":
        return rng.random(N) < 0.5
    if d.kind == "int":
        low = 0 if d.name.startswith("u") or shift else -60
        return rng.integers(low, 7 if shift else 60, N).astype(d.numpy)
    x = rng.standard_normal(N) * 4
    special = [0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 1.0, -2.0, np.inf, -np.inf, np.nan, 3e6 + 0.5, 1e20]
    x[: len(special)] = special
    return np.abs(x).astype(d.numpy) if positive else x.astype(d.numpy)


def fill(kernel: Graph, name: str, d: DType, rng: np.random.Generator) -> list[np.ndarray[Any, Any]]:
    data = kernel_run.inputs(kernel, rng)
    for i, attrs in enumerate(kernel.input_attrs):
        if attrs["mode"] == "in":
            positive = name in ("sqrt", "rsqrt", "log", "log2")
            data[i] = values(d, rng, positive, name.startswith("shift") and i == 1)
    if len(OPS[name].operands) > 1:
        data[1] = np.roll(data[1], 5)
    return data


CASES = [
    *[(n, d) for n in ON_FLOATS for d in FLOATS],
    *[(n, d) for n in ON_INTS for d in INTS],
    *[(n, i1) for n in ON_BOOLS],
    ("umulhi", u32),
    ("neg", i32),
    ("abs", i64),
    ("fresh", f32),
]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    pytest.importorskip("triton", reason="printed Triton needs triton to run")
    w = Worker()
    yield w
    w.close()


@pytest.mark.parametrize(("name", "d"), CASES, ids=lambda v: str(v))
def test_op_in_both_printers(name: str, d: DType, worker: Worker, rng: np.random.Generator) -> None:
    kernel = apply(name, d)
    data = fill(kernel, name, d, rng)
    want = kernel_run.meaning(kernel, data)
    for run in (kernel_run.tiled(kernel, data), kernel_run.interpreted(worker, kernel, data)):
        for v, g, w in zip(kernel.inputs, run, want, strict=True):
            what = f"{name} on {d}: {kernel.names[v]}"
            part = 1e-6 if w.dtype == np.float32 else 1e-14
            np.testing.assert_allclose(g.astype(w.dtype), w, rtol=part, err_msg=what)


@pytest.mark.parametrize("source", [f64, f32, f16, bf16, i64, i32, i8, u8, u32, i1], ids=str)
def test_conversions_in_both_printers(source: DType, worker: Worker, rng: np.random.Generator) -> None:
    k = Kernel(f"from_{source.name}", spread("x", (N,), 16))
    x = k.load(k.read("x", N, source), ((1,),))
    for target in (f64, f32, f16, bf16, i64, i32, i8, i1):
        k.store(k.b.convert(x, dtype=target), k.write(f"to_{target.name}", N, target), ((1,),))
    data = kernel_run.inputs(k.graph, rng)
    if source.is_float:
        data[0] = (rng.standard_normal(N) * 20).astype(source.numpy)
        data[0][:3] = [0.0, -0.0, 1.0]
    want = kernel_run.meaning(k.graph, data)
    for run in (kernel_run.tiled(k.graph, data), kernel_run.interpreted(worker, k.graph, data)):
        for v, g, w in zip(k.graph.inputs, run, want, strict=True):
            assert np.array_equal(g.astype(np.float64), w.astype(np.float64)), k.graph.names[v]


def test_bitcast_and_select_in_both_printers(worker: Worker, rng: np.random.Generator) -> None:
    k = Kernel("bits", spread("x", (N,), 16))
    x = k.load(k.read("x", N), ((1,),))
    wide = k.load(k.read("wide", N, f64), ((1,),))
    bits = k.b.bitcast(x, dtype=i32)
    k.store(bits, k.write("bits", N, i32), ((1,),))
    k.store(k.b.bitcast(bits ^ 1, dtype=f32), k.write("back", N), ((1,),))
    k.store(k.b.select(x > 0.0, x, 0.0), k.write("relu", N), ((1,),))
    k.store(k.b.select(x > 0.0, k.b.scalar(0.1, f64), k.b.scalar(2.0, f64)), k.write("two", N, f64), ((1,),))
    k.store(k.b.select(wide > 0.25, wide * 0.1, 1e-300), k.write("w", N, f64), ((1,),))
    k.store(k.b.select(x > 0.0, k.b.scalar(1, i64), k.b.scalar(-5_000_000_000, i64)), k.write("i", N, i64), ((1,),))
    data = kernel_run.inputs(k.graph, rng)
    want = kernel_run.meaning(k.graph, data)
    for run in (kernel_run.tiled(k.graph, data), kernel_run.interpreted(worker, k.graph, data)):
        for v, g, w in zip(k.graph.inputs, run, want, strict=True):
            assert np.array_equal(g, w), k.graph.names[v]


def test_division_by_zero_is_defined(worker: Worker) -> None:
    for name in ("idiv", "rem"):
        kernel = apply(name, i32)
        data = kernel_run.inputs(kernel, np.random.default_rng(0))
        data[0][:4], data[1][:4] = [7, -7, 7, -7], [0, 2, -2, 0]
        want = kernel_run.meaning(kernel, data)
        assert want[2][:4].tolist() == ([0, -3, -3, 0] if name == "idiv" else [0, -1, 1, 0])
        assert np.array_equal(kernel_run.tiled(kernel, data)[2], want[2])
        assert np.array_equal(kernel_run.interpreted(worker, kernel, data)[2], want[2])


def test_the_tables_hold_exactly_the_ops_of_the_level() -> None:
    assert triton_ops.scalar_ops() == set(OPS)
    assert numpy_ops.scalar_ops() == set(OPS)
    assert {n for n, _ in CASES} | {"select", "convert", "bitcast"} == set(OPS)


@pytest.mark.parametrize("target", ["cuda:80", "cuda:90", "cuda:100", "hip:gfx942"])
def test_all_ops_compile(target: str) -> None:
    pytest.importorskip("triton", reason="compiling needs triton")
    graphs = []
    for d in (*FLOATS, i32, i64, u32, i1):
        k = Kernel(f"all_{d.name}", spread("x", (N,), 16))
        x = [k.load(k.read(f"in{i}", N, d), ((1,),)) for i in range(3)]
        for name, on in CASES:
            if on is d:
                r = k.b.call(name, *x[: len(OPS[name].operands)])
                k.store(r, k.write(name, N, r.dtype), ((1,),))
        graphs.append(k.graph)
    for source in (f64, f16, bf16, i8, i1):
        k = Kernel(f"from_{source.name}", spread("x", (N,), 16))
        y = k.load(k.read("x", N, source), ((1,),))
        for to in (f64, f32, f16, bf16, i64, i8, i1):
            k.store(k.b.convert(y, dtype=to), k.write(f"to_{to.name}", N, to), ((1,),))
        graphs.append(k.graph)
    assert all(b.code for b in compile_kernels([kernel_run.kernel_text(g) for g in graphs], target))


@pytest.mark.parametrize(
    ("value", "d", "text"),
    [
        (0.1, f32, "0.1"),
        (0.1, f64, "0.1"),
        (1 / 3, f32, "0.33333334"),
        (1e-45, f32, "1e-45"),
        (3.4e38, f32, "3.4e+38"),
        (-0.0, f32, "-0.0"),
        (math.inf, f32, "inf"),
        (-math.inf, f64, "-inf"),
        (math.nan, f32, "nan"),
        (16777217.0, f32, "16777216.0"),
    ],
)
def test_floats_print_short_and_exact(value: float, d: DType, text: str) -> None:
    assert float_text(value, d) == text
    assert np.array_equal(d.numpy.type(float(text)), d.numpy.type(value), equal_nan=True)


def test_constants_fold_with_their_own_rounding() -> None:
    assert as_stored(1 / 3, f32) == float(np.float32(1 / 3))
    assert as_stored(300, u8) == 44
    k = Kernel("folded", spread("x", (8,), 8))
    c = k.b.scalar(0.1, f32)
    k.store(k.load(k.read("x", 8), ((1,),)) * k.b.exp(c + c), k.write("out", 8), ((1,),))
    assert "tl.store(out_ptr + xindex, x * 1.2214028)" in triton_source(k.graph).text
