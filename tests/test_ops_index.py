"""Indexing against torch: values, derivatives, node names and sentences; the plan of an index expression."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from torchlike import Table, Traced, check, decomposed, record, to_torch

from gradc.ir.build import GraphBuilder, NumpyBuilder, Var
from gradc.ir.errors import GradcError, GradIndexError, UnsupportedError
from gradc.ir.graph import Graph
from gradc.ir.interpret import run_graph
from gradc.ir.ops import REGISTRY
from gradc.ir.ops.index import plan_index
from gradc.ir.types import dtype, tensor


def arr(*shape: int, dtype: Any = np.float64, seed: int = 0) -> Any:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) * 3).astype(dtype)


def ints(limit: int, *shape: int, seed: int = 1, low: int = 0) -> Any:
    return np.asarray(np.random.default_rng(seed).integers(low, limit, shape))


FLOAT_AND_INDEX: dict[str, tuple[Any, list[Any]]] = {
    "index_select": (lambda T, x, i: x.index_select(-1, i), [arr(2, 5), ints(5, 3)]),
    "index_select twice": (lambda T, x, i: T.index_select(x, 0, i), [arr(3, 2), np.array([1, 1, 0, 1])]),
    "index_select scalar": (lambda T, x, i: x.index_select(0, i), [arr(), np.array([0])]),
    "index_select scalar index": (lambda T, x, i: x.index_select(0, i), [arr(3, 2), np.array(1)]),
    "gather": (lambda T, x, i: x.gather(0, i), [arr(5, 3), ints(5, 4, 2)]),
    "gather last": (lambda T, x, i: T.gather(x, -1, i), [arr(2, 5), ints(5, 2, 7)]),
    "gather scalar": (lambda T, x, i: x.gather(0, i), [arr(), np.array(0)]),
    "gather none": (lambda T, x, i: x.gather(0, i), [arr(3, 2), ints(3, 0, 2)]),
    "take_along_dim": (lambda T, x, i: T.take_along_dim(x, i, 0), [arr(5, 3), ints(5, 2, 1)]),
    "take_along_dim flat": (lambda T, x, i: T.take_along_dim(x, i), [arr(5, 3), ints(15, 4)]),
    "embedding": (lambda T, x, i: T.nn.functional.embedding(i, x), [arr(5, 3), ints(5, 2, 4)]),
    "embedding padding": (
        lambda T, x, i: T.nn.functional.embedding(i, x, padding_idx=-3),
        [arr(5, 3), np.array([2, 0, 2])],
    ),
    "embedding none": (lambda T, x, i: T.nn.functional.embedding(i, x), [arr(5, 3), ints(5, 0)]),
    "scatter value": (lambda T, x, i: x.scatter(1, i, 2.5), [arr(2, 5), ints(5, 2, 3)]),
    "index_fill": (lambda T, x, i: x.index_fill(1, i, 2.5), [arr(2, 5), ints(5, 3)]),
    "index": (lambda T, x, i: x[i], [arr(4, 3), ints(4, 5, low=-4)]),
    "index matrix": (lambda T, x, i: x[i], [arr(4, 3), ints(4, 2, 2)]),
    "index scalar": (lambda T, x, i: x[i], [arr(4, 3), np.array([2])]),
    "index after a slice": (lambda T, x, i: x[1:, i], [arr(4, 3), ints(3, 5)]),
    "index and number": (lambda T, x, i: x[i, 1], [arr(4, 3), ints(4, 5)]),
    "index and none": (lambda T, x, i: x[i, None], [arr(4, 3), ints(4, 5)]),
    "index and index": (lambda T, x, i: x[i, i[:, None]], [arr(4, 4, 2), ints(4, 3, low=-4)]),
    "indices apart": (lambda T, x, i: x[i, :, i], [arr(4, 2, 4), ints(4, 3)]),
    "indices last": (lambda T, x, i: x[..., i, i], [arr(2, 4, 4), ints(4, 3)]),
    "index and true": (lambda T, x, i: x[True, i], [arr(4, 4), ints(4, 3)]),
    "index empty": (lambda T, x, i: x[i], [arr(4, 3), ints(4, 0)]),
}
TWO_FLOATS: dict[str, tuple[Any, list[Any]]] = {
    "scatter": (lambda T, x, y, i: x.scatter(0, i, y), [arr(4, 3), arr(2, 3), np.array([[0, 1, 3], [2, 3, 0]])]),
    "scatter_add": (lambda T, x, y, i: T.scatter_add(x, 0, i, y), [arr(4, 3), arr(5, 3), ints(4, 5, 3)]),
    "index_add": (lambda T, x, y, i: x.index_add(-1, i, y, alpha=0.5), [arr(2, 4), arr(2, 5), ints(4, 5)]),
    "index_copy": (lambda T, x, y, i: x.index_copy(0, i, y), [arr(4, 3), arr(2, 3), np.array([3, 0])]),
    "index_put": (lambda T, x, y, i: x.index_put((i,), y), [arr(4, 3), arr(3), np.array([3, 0])]),
    "index_put two": (
        lambda T, x, y, i: x.index_put((i, i.flip(0)), y),
        [arr(4, 4, 2), arr(3, 1), np.array([3, 0, -2])],
    ),
    "index_put add": (
        lambda T, x, y, i: x.index_put((i,), y, accumulate=True),
        [arr(4, 3), arr(5, 3), ints(4, 5)],
    ),
}


@pytest.mark.parametrize("name", [*FLOAT_AND_INDEX, *TWO_FLOATS])
def test_values_and_derivatives_are_torchs(name: str) -> None:
    f, arrays = FLOAT_AND_INDEX[name] if name in FLOAT_AND_INDEX else TWO_FLOATS[name]
    check(f, arrays)


EVERY = {**FLOAT_AND_INDEX, **TWO_FLOATS}
FRACTIONS = {"scatter value", "index_fill", "index_add"}
WANT_INT64 = {"gather none", "index_fill", "take_along_dim", "take_along_dim flat"} | {n for n in EVERY if "put" in n}


@pytest.mark.parametrize(
    ("name", "kind"),
    [(n, np.float32) for n in EVERY]
    + [(n, np.float16) for n in EVERY]
    # torch rounds after every addition
    + [(n, ml_dtypes.bfloat16) for n in EVERY if n != "index_put add"]
    + [(n, np.int64) for n in EVERY if n not in FRACTIONS],
)
def test_other_dtypes(name: str, kind: Any) -> None:
    f, arrays = EVERY[name]
    cast = [a.astype(kind) if a.dtype.kind == "f" else a for a in arrays]
    check(f, cast, order=1 if kind is np.float32 else 0)


@pytest.mark.parametrize("name", [n for n in EVERY if n not in WANT_INT64])
def test_int32_indices_do(name: str) -> None:
    """torch itself wants int64 for the others."""
    f, arrays = EVERY[name]
    wide, _ = record(f, arrays, 0)
    narrow_arrays = [a.astype(np.int32) if a.dtype.kind == "i" else a for a in arrays]
    narrow, _ = record(f, narrow_arrays, 0)
    want = run_graph(wide, arrays)[0]
    np.testing.assert_array_equal(run_graph(narrow, narrow_arrays)[0], want)
    np.testing.assert_allclose(run_graph(decomposed(narrow), narrow_arrays)[0], want, rtol=1e-14)


def test_repeated_writes_keep_the_last() -> None:
    index = np.array([[0, 0], [0, 1], [0, 1]])
    graph, _ = record(lambda T, x, y, i: x.scatter(0, i, y), [arr(2, 2), arr(3, 2), index], 0)
    inputs = [arr(2, 2), arr(3, 2, seed=5), index]
    want = to_torch(inputs[0]).scatter(0, to_torch(index), to_torch(inputs[1])).numpy()
    np.testing.assert_array_equal(run_graph(graph, inputs)[0], want)
    np.testing.assert_array_equal(run_graph(decomposed(graph), inputs)[0], want)


def test_a_source_larger_than_the_index_gets_zeros_beyond_it() -> None:
    """torch computes the value but fails in the backward."""
    x, y, i = arr(2, 4), arr(3, 3), np.array([[3, 1], [0, 0]])
    for f in (lambda T, x, y, i: x.scatter_add(1, i, y), lambda T, x, y, i: x.scatter(1, i, y)):
        check(f, [x, y, i], order=0)
        graph, (ct,) = record(f, [x, y, i], 1)
        dy = run_graph(graph, [x, y, i, ct])[2]
        np.testing.assert_array_equal(dy, np.pad(np.take_along_axis(ct, i, 1), ((0, 1), (0, 1))))


def test_one_hot() -> None:
    check(lambda T, i: T.nn.functional.one_hot(i, 5), [ints(5, 2, 3)], order=0)


def test_grad_fn_is_torchs() -> None:
    for name, (f, arrays) in {**FLOAT_AND_INDEX, **TWO_FLOATS}.items():
        xs = [to_torch(a) for a in arrays]
        for x in xs:
            x.requires_grad_(x.is_floating_point())
        b = GraphBuilder(Graph("f"))
        got = f(Table, *[Traced(Var(b, b.graph.add_input(tensor(a.shape, dtype(a.dtype))))) for a in arrays])
        assert got.grad_fn == f(torch, *xs).grad_fn.name(), name


KEYS: list[Any] = [
    0, -1, slice(None), slice(1, 3), slice(None, None, 2), slice(-2, None), slice(5, 2), None, ..., (), (..., 0),
    (0, ...), (slice(None), 1), (slice(1, 3), ..., slice(0, 2)), (None, ..., None), (0, 1, 2), (slice(0, 4), 1),
    (..., None, 0), [0, 2], ([0, 1], [1, 2]), (slice(None), [0, 2]), (0, slice(None), [1, 0]),
    ([0, 1], slice(None), [1, 0]), True, False, np.array([1, 0]), (np.array([[0], [1]]), np.array([0, 1])), [],
    (None, [0]), np.int64(2), ([1, -1], 2, None),
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(KEYS)))
def test_index_expressions_are_torchs(at: int) -> None:
    key = KEYS[at]

    def as_tensor(k: Any) -> Any:
        if isinstance(k, tuple):
            return tuple(as_tensor(v) for v in k)
        return torch.as_tensor(k, dtype=torch.int64) if isinstance(k, list | np.ndarray) else k

    check(lambda T, x: x[as_tensor(key) if T is torch else key], [arr(4, 3, 5)])
    x = torch.zeros(4, 3, 5, requires_grad=True)
    node, names = x[as_tensor(key)].grad_fn, []
    while node is not None and node.name() != "torch::autograd::AccumulateGrad":
        names.append(node.name())
        node = node.next_functions[0][0]
    assert [REGISTRY["grad." + n].grad_fn for n, _, _ in plan_index((4, 3, 5), key)] == names[::-1]


def by_plan(x: Any, key: Any) -> Any:
    b = NumpyBuilder()
    out = Var(b, x)
    for name, attrs, extra in plan_index(x.shape, key):
        out = b.call(name, out, *(Var(b, np.asarray(e)) for e in extra), **attrs)
    return out.v


BAD_KEYS: list[tuple[Any, tuple[int, ...]]] = [
    (5, (4, 6)),
    (-5, (4, 6)),
    ((0, 6), (4, 6)),
    ((0, 1, 2), (4, 6)),
    (0, ()),
    (slice(0, 1), ()),
    (1.0, (4, 6)),
    (slice(None, None, -1), (4, 6)),
    (slice(None, None, 0), (4, 6)),
    (np.array([1.0]), (4, 6)),
    (np.array([9]), (4, 6)),
    ((slice(None), np.array([-9])), (4, 6)),
    ((np.array([0, 1]), np.array([0, 1, 2])), (4, 6)),
    (np.array([True, False]), (4, 6)),
]


@pytest.mark.parametrize("at", range(len(BAD_KEYS)))
def test_bad_index_expressions_get_torchs_sentence(at: int) -> None:
    key, shape = BAD_KEYS[at]

    def as_tensor(k: Any) -> Any:
        if isinstance(k, tuple):
            return tuple(as_tensor(v) for v in k)
        return torch.as_tensor(k) if isinstance(k, np.ndarray) else k

    with pytest.raises((IndexError, ValueError, TypeError)) as want:
        torch.zeros(shape)[as_tensor(key)]
    with pytest.raises(GradcError) as got:
        by_plan(np.zeros(shape), key)
    assert isinstance(got.value, want.type)
    assert got.value.bare == str(want.value).split("\n")[0]


def test_masks_are_taken_only_where_values_are_known() -> None:
    mask = np.array([[True, False], [False, True], [True, True]])
    with pytest.raises(UnsupportedError, match="boolean mask"):
        plan_index((3, 2), mask)
    b = NumpyBuilder()
    x = arr(3, 2)
    ((name, attrs, extra),) = plan_index((3, 2), mask, np.nonzero)
    np.testing.assert_array_equal(b.call(name, Var(b, x), *(Var(b, e) for e in extra), **attrs).v, x[mask])


ERRORS: dict[str, tuple[Any, list[Any]]] = {
    "embedding range": (lambda T, x, i: T.nn.functional.embedding(i, x), [arr(4, 6), np.array([9])]),
    "embedding negative": (lambda T, x, i: T.nn.functional.embedding(i, x), [arr(4, 6), np.array([-1])]),
    "embedding rank": (lambda T, x, i: T.nn.functional.embedding(i, x), [arr(4), np.array([1])]),
    "embedding dtype": (lambda T, x, i: T.nn.functional.embedding(x, x), [arr(4, 6, dtype=np.float32), np.array([1])]),
    "index_select range": (lambda T, x, i: x.index_select(0, i), [arr(4, 6), np.array([4])]),
    "index_select rank": (lambda T, x, i: x.index_select(0, i), [arr(4, 6), ints(4, 2, 2)]),
    "index_select dtype": (lambda T, x, i: x.index_select(0, x), [arr(4), np.array([4])]),
    "gather range": (lambda T, x, i: x.gather(0, i), [arr(4, 6), np.full((1, 6), 9)]),
    "gather negative": (lambda T, x, i: x.gather(0, i), [arr(4, 6), np.full((1, 6), -1)]),
    "gather rank": (lambda T, x, i: x.gather(0, i), [arr(4, 6), np.array([0])]),
    "gather size": (lambda T, x, i: x.gather(0, i), [arr(4, 6), np.zeros((1, 7), np.int64)]),
    "gather dtype": (lambda T, x, i: x.gather(0, x), [arr(4, 6), np.array([0])]),
    "scatter rank": (lambda T, x, i: x.scatter(0, i, x), [arr(4, 6), np.array([0])]),
    "scatter range": (lambda T, x, i: x.scatter(0, i, x), [arr(4, 6), np.full((1, 6), 9)]),
    "scatter size": (lambda T, x, i: x.scatter_add(0, i, x), [arr(4, 6), np.zeros((5, 6), np.int64)]),
    "index_add": (lambda T, x, i: x.index_add(0, i, x), [arr(4, 6), np.array([0, 1])]),
    "index_put": (lambda T, x, i: x.index_put((i,), x), [arr(4, 6), np.array([0, 1])]),
    "one_hot range": (lambda T, x, i: T.nn.functional.one_hot(i, 2), [arr(1), np.array([2])]),
    "one_hot negative": (lambda T, x, i: T.nn.functional.one_hot(i, 2), [arr(1), np.array([-1])]),
    "one_hot dtype": (lambda T, x, i: T.nn.functional.one_hot(x, 2), [arr(1), np.array([-1])]),
    "take_along_dim": (lambda T, x, i: T.take_along_dim(x, i, 0), [arr(4, 6), np.array([0, 1])]),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_torchs(name: str) -> None:
    f, arrays = ERRORS[name]
    with pytest.raises((RuntimeError, IndexError, ValueError)) as want:
        f(torch, *[to_torch(a) for a in arrays])
    with pytest.raises(GradcError) as got:
        run_graph(record(f, arrays, 0)[0], arrays)
    assert isinstance(got.value, want.type)
    assert got.value.bare == str(want.value).split("\n")[0]


def test_padding_idx_is_checked() -> None:
    with pytest.raises(GradcError, match="Padding_idx must be within num_embeddings"):
        record(lambda T, x, i: T.nn.functional.embedding(i, x, padding_idx=9), [arr(4, 6), ints(4, 2)], 0)


def test_an_index_outside_stays_outside_when_merged() -> None:
    b = NumpyBuilder()
    x, parts = Var(b, arr(4, 3)), REGISTRY["grad.index"].decompose
    assert parts is not None
    for rows, columns in (([0, 1], [0, 3]), ([0, 1], [0, -4]), ([4, 0], [0, 0])):
        at = [Var(b, np.array(rows)), Var(b, np.array(columns))]
        with pytest.raises(GradIndexError, match="index out of range in self"):
            parts(b, x, *at, dims=(0, 1))
