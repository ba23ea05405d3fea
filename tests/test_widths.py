"""Widths of global accesses and results of whole programs at row lengths that are no multiple of 16 bytes."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import tree

pytest.importorskip("triton", reason="compiling kernels needs triton")
PATH = tree.ROOT / "benchmarks" / "widths.py"
if not PATH.exists():
    pytest.skip("the benchmarks are not part of the wheel", allow_module_level=True)
_spec = importlib.util.spec_from_file_location("widths", PATH)
assert _spec is not None
assert _spec.loader is not None
widths = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(widths)

ENDS = {
    "softmax": (2, 2),
    "softmax_forward": (1, 1),
    "cross_entropy": (3, 3),
    "silu": (2, 2),
    "layer_norm": (3, 4),
    "layer_norm_forward": (3, 1),
    "rms_norm": (2, 3),
    "bias_gelu": (3, 1),
    "bias_gelu_joint": (4, 4),
}
"""The most narrow loads and stores of a case's first kernel besides its row vectors: one for the ends of each tensor,
one for each scalar."""
VECTORS = {"layer_norm": 2, "layer_norm_forward": 2, "rms_norm": 1, "bias_gelu": 1, "bias_gelu_joint": 1}
"""Row vectors, which are read in narrow accesses, once per program."""


@pytest.mark.parametrize("d", ["bf16", "f32"])
@pytest.mark.parametrize("name", ENDS)
def test_the_main_tile_is_read_and_written_in_whole_vectors(name: str, d: str) -> None:
    kernel = widths.CASES[name](d, 8192, 5001).kernels[0]
    binary = kernel.binary("cuda:90")
    narrow = [sum(n for bits, n in t.items() if bits < 128) for t in (binary.facts.loads, binary.facts.stores)]
    tile = max(g["tile"] for g in kernel.graph.attrs["groups"])
    lanes = tile // (32 * kernel.printed.num_warps)
    assert narrow[0] <= ENDS[name][0] + VECTORS.get(name, 0) * lanes, binary.facts
    assert narrow[1] <= ENDS[name][1], binary.facts
    assert max(binary.facts.loads) == max(binary.facts.stores) == 128
    assert binary.spills == 0


@pytest.mark.parametrize("name", ["softmax_forward", "softmax", "cross_entropy"])
def test_rows_of_a_vocabulary_are_read_and_written_in_whole_vectors(name: str) -> None:
    """50257 columns of bf16: whatever the kernels are, only the ends of each reading are accessed 16 bits at a time."""
    size = 8192 * 50257 * 2
    for kernel in widths.CASES[name]("bf16", 8192, 50257).kernels:
        facts = kernel.binary("cuda:90").facts
        for table, buffers in ((facts.loads, kernel.reads), (facts.stores, kernel.writes)):
            times = sum(n // size for n in buffers.values())
            assert table.get(16, 0) <= 2 * times + 1, (kernel.name, facts)
            assert not times or max(table) == 128, (kernel.name, facts)


def arguments(prog: Any, rng: np.random.Generator) -> list[np.ndarray[Any, Any]]:
    out, main = [], prog.joint.main
    for v in main.inputs:
        t = main.types[v]
        integer = not t.dtype.is_float
        a = rng.integers(0, 3, t.shape) if integer else rng.standard_normal(t.shape)
        out.append(a.astype(t.dtype.numpy))
    return out


@pytest.mark.parametrize("n", [513, 521, 5001])
@pytest.mark.parametrize("d", ["bf16", "f16", "f32"])
@pytest.mark.parametrize("name", ENDS)
def test_the_printed_kernels_compute_what_the_graph_means(name: str, d: str, n: int, rng: np.random.Generator) -> None:
    prog = widths.CASES[name](d, 11, n)  # few enough rows for a sum of squares in f16
    data = arguments(prog, rng)
    want = flat(prog(*data, executor="reference"))
    for executor in ("tiled", "triton-interpreter"):
        for got, expected in zip(flat(prog(*data, executor=executor)), want, strict=True):
            g, w = np.asarray(got, np.float64), np.asarray(expected, np.float64)
            part = {"bf16": 2**-6, "f16": 2**-9, "f32": 2e-5}[d]
            np.testing.assert_allclose(g, w, rtol=part, atol=part * np.abs(w).max())


def flat(results: Any) -> list[Any]:
    if isinstance(results, tuple | list):
        return [r for x in results for r in flat(x)]
    return [] if results is None else [results]


@pytest.mark.parametrize(("name", "rows"), [("layer_norm", 140), ("bias_gelu_joint", 530)])
def test_programs_that_go_over_many_rows_see_one_alignment(name: str, rows: int, rng: np.random.Generator) -> None:
    """More rows than programs: the same shift and the same accumulators at every step."""
    prog = widths.CASES[name]("f32", rows, 601)
    first = prog.kernels[0]
    assert any(g["loop"] > 1 and g["tile"] == 1 and g["grid"] % 4 == 0 for g in first.graph.attrs["groups"])
    assert ", whole vectors of 4 and both ends apart" in first.source
    data = arguments(prog, rng)
    want = flat(prog(*data, executor="reference"))
    for got, expected in zip(flat(prog(*data, executor="triton-interpreter")), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())
