"""Results that take the place of operands: nothing is overwritten before its last load."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradc.ir.build import GraphBuilder
from gradc.ir.graph import Graph
from gradc.ir.interpret_tile import run_kernel
from gradc.ir.tile import resident, set_groups
from gradc.ir.types import BufferType, f32
from gradc.passes.memory import in_place_pairs
from gradc.runtime.tiled import tiled_kernel


def late_load() -> Graph:
    """out = a + a; total = sum(late * a): `late` is loaded after `out` is known, and may lie where `out` goes."""
    kernel = Graph("late", "kernel")
    b = GraphBuilder(kernel, "tile")
    set_groups(kernel, (resident("x", (8,)), resident("r", (5,))))
    a, late = (b.var(kernel.add_input(BufferType(40, f32), n, mode="in")) for n in ("a", "late"))
    out = b.var(kernel.add_input(BufferType(40, f32), "out", mode="out"))
    total = b.var(kernel.add_input(BufferType(8, f32), "total", mode="out"))
    whole = {"coeffs": ((5,), (1,)), "offset": 0}
    x = b.load(a, space="xr", **whole)
    twice = x + x
    y = b.load(late, space="xr", **whole)
    product = b.reduce(y * x, monoid="sum", over="r")
    b.store(twice, out, **whole)
    b.store(product, total, coeffs=((1,), (0,)), offset=0)
    return kernel


@pytest.mark.parametrize("donor", [0, 1])
def test_a_result_is_not_written_before_the_last_load_of_its_place(donor: int, rng: np.random.Generator) -> None:
    kernel = late_load()
    assert (donor, 2) in in_place_pairs(kernel)
    data: list[Any] = [rng.standard_normal(n).astype(np.float32) for n in (40, 40, 40, 8)]
    expected = [x.copy() for x in data]
    run_kernel(kernel, expected)
    data[2] = data[donor]
    tiled_kernel(kernel).run(data)
    np.testing.assert_allclose(data[2], expected[2], rtol=1e-6)
    np.testing.assert_allclose(data[3], expected[3], rtol=1e-5, atol=1e-6)
