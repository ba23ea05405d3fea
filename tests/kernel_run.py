"""Running one kernel three ways: by its NumPy meaning, as printed NumPy, as printed Triton under the interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradc.codegen.triton import triton_source
from gradc.ir.graph import Graph
from gradc.ir.interpret_tile import run_kernel, unwritten
from gradc.runtime.launch import KernelText
from gradc.runtime.tiled import tiled_kernel
from gradc.runtime.worker import Worker

GUARD = 64
RANGES = {"target": (0, 3), "ids": (-2, 22)}


def inputs(kernel: Graph, rng: np.random.Generator) -> list[np.ndarray[Any, Any]]:
    """Random read buffers; written ones hold NaN or the largest integer."""
    out = []
    for v, attrs in zip(kernel.inputs, kernel.input_attrs, strict=True):
        t: Any = kernel.types[v]
        name, d = attrs["name"], t.dtype
        if attrs["mode"] == "out":
            a = unwritten((t.numel,), d.numpy)
        elif name in RANGES:
            a = rng.integers(*RANGES[name], t.numel)
        elif name == "perm":
            a = rng.permutation(t.numel)
        elif d.kind == "bool":
            a = rng.random(t.numel) < 0.5
        elif d.kind == "int":
            a = rng.integers(0 if d.name.startswith("u") else -3, 4, t.numel)
        else:
            a = rng.standard_normal(t.numel)
        out.append(np.asarray(a).astype(d.numpy))
    return out


def meaning(kernel: Graph, data: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    out = [a.copy() for a in data]
    run_kernel(kernel, out)
    return out


def tiled(kernel: Graph, data: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Printed NumPy on buffers that lie between guard zones."""
    whole = [np.full(a.size + 2 * GUARD, 77).astype(a.dtype) for a in data]
    parts = [w[GUARD : GUARD + a.size] for w, a in zip(whole, data, strict=True)]
    for p, a in zip(parts, data, strict=True):
        p[...] = a
    tiled_kernel(kernel).run(parts)
    for w, a in zip(whole, data, strict=True):
        edge = np.full(GUARD, 77).astype(a.dtype)
        assert np.array_equal(w[:GUARD], edge), f"{kernel.name} wrote before a buffer"
        assert np.array_equal(w[GUARD + a.size :], edge), f"{kernel.name} wrote past a buffer"
    return parts


def kernel_text(kernel: Graph) -> KernelText:
    s = triton_source(kernel)
    return KernelText(
        s.text, s.name, s.signature, s.constexprs, s.divisible, s.num_warps, s.num_stages, s.enable_fp_fusion
    )


def interpreted(worker: Worker, kernel: Graph, data: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Printed Triton in the interpreting worker, which holds guard zones around every buffer."""
    out = [a.copy() for a in data]
    worker.launch(kernel_text(kernel), triton_source(kernel).grid, *out)
    return out


def check_close(
    kernel: Graph, got: Sequence[np.ndarray[Any, Any]], want: Sequence[np.ndarray[Any, Any]], tolerance: float = 2e-6
) -> None:
    """Equal integers; floats within a part of the buffer's largest element (of bf16's and f16's own rounding)."""
    for v, g, w in zip(kernel.inputs, got, want, strict=True):
        t: Any = kernel.types[v]
        name = kernel.names[v]
        if not t.dtype.is_float:
            assert np.array_equal(g, w), f"{kernel.name}: {name} differs: {g} {w}"
            continue
        g64, w64 = g.astype(np.float64), w.astype(np.float64)
        scale = np.max(np.abs(w64), initial=0.0, where=np.isfinite(w64))
        part = {"bf16": 2**-8, "f16": 2**-10}.get(t.dtype.name, tolerance)
        np.testing.assert_allclose(g64, w64, rtol=part, atol=part * scale, err_msg=f"{kernel.name}: {name}")
