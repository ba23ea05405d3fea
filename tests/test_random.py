"""Random numbers: the bits against known answers and an independent Philox, the distributions by their statistics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import philox
import pytest
from torchlike import decomposed, differentiate

from gradc.ir.build import GraphBuilder, NumpyBuilder, Var
from gradc.ir.errors import GradcError
from gradc.ir.graph import Graph
from gradc.ir.interpret import run_graph
from gradc.ir.ops import REGISTRY
from gradc.ir.ops.philox import blocks
from gradc.ir.types import bf16, f16, f32, f64, i32, i64, tensor

PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)


def scalar(v: int) -> Any:
    return np.asarray(v % 2**64, np.uint64).astype(np.int64)


def draw(name: str, *operands: Any, seed: int = 7, offset: int = 0, **attrs: Any) -> Any:
    """The record's value, which must be the same op by op in a graph of primitives."""
    inputs = [*operands, scalar(seed), scalar(offset)]
    b, graph = NumpyBuilder(), Graph("f")
    g = GraphBuilder(graph)
    types = [b.type_of(x) for x in inputs]
    graph.add_output(g.call(name, *[Var(g, graph.add_input(t)) for t in types], **attrs).v)
    out = b.call(name, *[Var(b, x) for x in inputs], **attrs).v
    (again,) = run_graph(decomposed(graph), inputs)
    np.testing.assert_array_equal(out, again)
    return out


def test_the_reference_gives_the_known_answers() -> None:
    """The vectors that the authors of Philox publish."""
    ones = 2**32 - 1
    assert philox.block((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox.block((ones,) * 4, (ones,) * 2) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    assert philox.block(PI, (0xA4093822, 0x299F31D0)) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


@pytest.mark.parametrize("seed", [0, 1, -1, 2**63 - 1, 0x299F31D0A4093822])
@pytest.mark.parametrize("offset", [0, 5, 2**32 - 2, 2**40])
@pytest.mark.parametrize("stream", [0, 1])
def test_bits_are_philox(seed: int, offset: int, stream: int) -> None:
    got = draw("philox", seed=seed, offset=offset, shape=(3, 7), stream=stream)
    np.testing.assert_array_equal(got, philox.words(seed, offset, np.arange(21).reshape(3, 7), stream))
    assert got.dtype == np.uint32


def test_consecutive_draws_are_one_sequence() -> None:
    whole = draw("philox", shape=(40,))
    np.testing.assert_array_equal(draw("philox", offset=blocks(12), shape=(28,)), whole[12:])
    assert [blocks(n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_a_block_is_four_consecutive_elements() -> None:
    """As in Triton's randint4x(seed, block): word k of a block is its element k."""
    whole = draw("philox", seed=0x123456789ABC, shape=(64,)).reshape(-1, 4)
    for i in (0, 1, 15):
        np.testing.assert_array_equal(whole[i], philox.block((i, 0, 0, 0), (0x56789ABC, 0x1234)))


@pytest.mark.parametrize(("d", "bits"), [(f32, 24), (f64, 53), (f16, 11), (bf16, 8)])
def test_uniform_stays_below_one(d: Any, bits: int) -> None:
    x = draw("uniform", shape=(4096,), dtype=d)
    assert x.dtype == d.numpy
    wide = x.astype(np.float64)
    assert 0 <= wide.min() < 0.02
    assert 0.98 < wide.max() <= 1 - 2.0**-bits
    assert abs(wide.mean() - 0.5) < 0.02
    assert abs(wide.var() - 1 / 12) < 0.01
    np.testing.assert_array_equal(wide * 2**bits, np.floor(wide * 2**bits))
    top = np.array([2**32 - 1], np.uint32)
    b = NumpyBuilder()
    if d is not f64:
        assert float(b.unit_float(Var(b, top), bits=bits, dtype=d).v[0]) == 1 - 2.0**-bits


@pytest.mark.parametrize("d", [f32, f64, f16, bf16])
def test_normal(d: Any) -> None:
    x = draw("normal", shape=(100, 200), dtype=d)
    assert x.dtype == d.numpy
    assert x.shape == (100, 200)
    wide = x.astype(np.float64)
    assert np.isfinite(wide).all()
    assert abs(wide.mean()) < 0.03
    assert abs(wide.std() - 1) < 0.02
    assert abs((wide**4).mean() - 3) < 0.2
    inside = (np.abs(wide) < 1).mean()
    assert abs(inside - math.erf(1 / math.sqrt(2))) < 0.02


def test_randint() -> None:
    x = draw("randint", shape=(6000,), low=-2, high=4, dtype=i64)
    assert x.dtype == np.int64
    values, counts = np.unique(x, return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2, 3]
    assert abs(counts - 1000).max() < 150
    assert draw("randint", shape=(3,), low=0, high=2, dtype=i32).dtype == np.int32
    assert draw("randint", shape=(0,), low=0, high=2**32, dtype=i64).shape == (0,)


def test_bernoulli() -> None:
    p = np.linspace(0, 1, 5, dtype=np.float32).repeat(2000).reshape(5, 2000)
    x = draw("bernoulli", p)
    assert set(np.unique(x)) == {0.0, 1.0}
    np.testing.assert_allclose(x.mean(1), [0, 0.25, 0.5, 0.75, 1], atol=0.04)
    assert not x[0].any()
    assert x[4].all()


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_dropout(kind: Any) -> None:
    x = np.ones((100, 100), kind)
    y = draw("dropout", x, p=0.25)
    assert y.dtype == kind
    assert set(np.unique(y)) == {kind(0), kind(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    np.testing.assert_array_equal(draw("dropout", x, p=0.0), x)
    assert not draw("dropout", x, p=1.0).any()
    assert np.isnan(draw("dropout", np.full(64, np.inf, kind), p=0.5)).any()


def test_dropouts_gradient_draws_the_same_mask() -> None:
    graph = Graph("f")
    b = GraphBuilder(graph)
    x, seed, offset = (graph.add_input(t) for t in (tensor((50,), f32), tensor((), i64), tensor((), i64)))
    out = b.dropout(Var(b, x), Var(b, seed), Var(b, offset), p=0.5)
    ct = Var(b, graph.add_input(tensor((50,), f32)))
    (dx,) = differentiate(b, [out], [ct], [x])
    assert dx is not None
    graph.add_output(out.v)
    graph.add_output(dx.v)
    ones = np.ones(50, np.float32)
    y, g = run_graph(graph, [ones, scalar(3), scalar(9), ones])
    np.testing.assert_array_equal(y, g)
    y, g = run_graph(decomposed(graph), [ones, scalar(3), scalar(9), ones])
    np.testing.assert_array_equal(y, g)


def test_seeds_and_offsets_change_the_numbers() -> None:
    base = draw("uniform", shape=(64,), dtype=f32)
    for other in ({"seed": 8}, {"offset": 1}, {"stream": 1}):
        assert (draw("uniform", shape=(64,), dtype=f32, **other) != base).mean() > 0.9
    np.testing.assert_array_equal(draw("uniform", shape=(8, 8), dtype=f32).ravel(), base)


@pytest.mark.parametrize(
    ("name", "operands", "attrs", "sentence"),
    [
        ("dropout", [np.ones(2)], {"p": 2.0}, "dropout probability has to be between 0 and 1, but got 2.0"),
        ("dropout", [np.ones(2, np.int64)], {"p": 0.5}, "dropout: expected a floating-point tensor"),
        ("bernoulli", [np.ones(2, np.int64)], {}, "bernoulli: expected probabilities of a floating-point dtype"),
        ("uniform", [], {"shape": (2,), "dtype": i64}, "uniform: expected a floating-point dtype, got int64"),
        (
            "randint",
            [],
            {"shape": (2,), "low": 3, "high": 3, "dtype": i64},
            "random_ expects 'from' to be less than 'to', but got from=3 >= to=3",
        ),
        ("randint", [], {"shape": (2,), "low": 0, "high": 2**33, "dtype": i64}, "more than"),
    ],
)
def test_errors(name: str, operands: list[Any], attrs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(GradcError, match=sentence):
        draw(name, *operands, **attrs)


def test_a_float_seed_is_refused() -> None:
    infer = REGISTRY["grad.philox"].infer
    with pytest.raises(GradcError, match="expected seed of dtype int64"):
        infer(tensor((), f32), tensor((), i64), shape=(2,))
    with pytest.raises(GradcError, match="without dimensions"):
        infer(tensor((1,), i64), tensor((), i64), shape=(2,))
