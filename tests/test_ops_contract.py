"""Products against torch: values, derivatives, node names and sentences."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from torchlike import Table, Traced, check, decomposed, record, to_torch

from gradc.ir.build import GraphBuilder, NumpyBuilder, Var
from gradc.ir.errors import GradcError
from gradc.ir.graph import Graph
from gradc.ir.op import CONTRACTION
from gradc.ir.ops import REGISTRY
from gradc.ir.types import dtype, tensor

CASES: dict[str, tuple[Any, list[tuple[int, ...]]]] = {
    "mm": (lambda T, x, y: T.mm(x, y), [(2, 3), (3, 4)]),
    "mv": (lambda T, x, y: x.mv(y), [(2, 3), (3,)]),
    "dot": (lambda T, x, y: x.dot(y), [(3,), (3,)]),
    "bmm": (lambda T, x, y: x.bmm(y), [(2, 3, 4), (2, 4, 5)]),
    "mm inner zero": (lambda T, x, y: x @ y, [(2, 0), (0, 3)]),
    "mm no rows": (lambda T, x, y: x @ y, [(0, 2), (2, 3)]),
    "dot of nothing": (lambda T, x, y: x @ y, [(0,), (0,)]),
    "mm of transposes": (lambda T, x, y: x.t() @ y.t(), [(3, 2), (4, 3)]),
    "mm with itself": (lambda T, x: x @ x, [(3, 3)]),
    "matmul mv": (lambda T, x, y: x @ y, [(2, 3), (3,)]),
    "matmul vm": (lambda T, x, y: x @ y, [(3,), (3, 2)]),
    "matmul bm": (lambda T, x, y: x @ y, [(2, 3, 4), (4, 5)]),
    "matmul bb": (lambda T, x, y: T.matmul(x, y), [(2, 3, 4), (2, 4, 5)]),
    "matmul stretched": (lambda T, x, y: x @ y, [(2, 1, 3, 4), (5, 4, 2)]),
    "matmul stretched both": (lambda T, x, y: x @ y, [(1, 3, 2, 4), (2, 1, 4, 2)]),
    "matmul bv": (lambda T, x, y: x @ y, [(2, 3, 4), (4,)]),
    "matmul vb": (lambda T, x, y: x @ y, [(4,), (2, 4, 3)]),
    "matmul no batch": (lambda T, x, y: x @ y, [(0, 3, 4), (4, 5)]),
    "addmm": (lambda T, x, y, z: T.addmm(x, y, z), [(4,), (2, 3), (3, 4)]),
    "addmm scaled": (lambda T, x, y, z: x.addmm(y, z, beta=0.5, alpha=-2.0), [(2, 4), (2, 3), (3, 4)]),
    "addmm beta 0": (lambda T, x, y, z: x.addmm(y, z, beta=0), [(4,), (2, 3), (3, 4)]),
    "addmv": (lambda T, x, y, z: T.addmv(x, y, z, alpha=2), [(2,), (2, 3), (3,)]),
    "baddbmm": (lambda T, x, y, z: T.baddbmm(x, y, z, beta=3), [(4,), (2, 3, 5), (2, 5, 4)]),
    "linear": (lambda T, x, w, b: T.nn.functional.linear(x, w, b), [(2, 3), (4, 3), (4,)]),
    "linear no bias": (lambda T, x, w: T.nn.functional.linear(x, w), [(2, 3), (4, 3)]),
    "linear vector": (lambda T, x, w, b: T.nn.functional.linear(x, w, b), [(3,), (4, 3), (4,)]),
    "linear vector no bias": (lambda T, x, w: T.nn.functional.linear(x, w), [(3,), (4, 3)]),
    "linear batch": (lambda T, x, w, b: T.nn.functional.linear(x, w, b), [(2, 5, 3), (4, 3), (4,)]),
    "linear batch no bias": (lambda T, x, w: T.nn.functional.linear(x, w), [(2, 5, 3), (4, 3)]),
    "outer": (lambda T, x, y: T.outer(x, y), [(3,), (4,)]),
    "tensordot": (lambda T, x, y: T.tensordot(x, y, 1), [(2, 3), (3, 4)]),
    "inner matrices": (lambda T, x, y: T.inner(x, y), [(2, 3), (4, 3)]),
}
EINSUMS = {
    "ij,jk->ik": [(2, 3), (3, 4)],
    "ij,jk": [(2, 3), (3, 4)],
    "bij , bjk -> bik": [(2, 2, 3), (2, 3, 4)],
    "ij->ji": [(2, 3)],
    "ij->j": [(2, 3)],
    "ij->": [(2, 3)],
    "ii->i": [(3, 3)],
    "ii": [(3, 3)],
    "iji->j": [(2, 3, 2)],
    "ij,kj->": [(2, 3), (4, 3)],
    "i,j->ij": [(2,), (3,)],
    "i,j->": [(2,), (3,)],
    "ab,bc,cd->ad": [(2, 3), (3, 2), (2, 4)],
    "ab,ab,ab->b": [(2, 3), (2, 3), (2, 3)],
    "...ij,...jk->...ik": [(5, 2, 3), (3, 4)],
    "i...->...": [(2, 3, 4)],
    "...,...": [(2, 3), (3,)],
    "b...i,oi->b...o": [(2, 5, 3), (4, 3)],
    "ij,jk->ik ": [(2, 1), (3, 4)],
    "bhqd,bhkd->bhqk": [(2, 2, 3, 4), (2, 2, 5, 4)],
    "ba": [(2, 3)],
}


def values(shapes: list[tuple[int, ...]], kind: Any = np.float64) -> list[Any]:
    rng = np.random.default_rng(3)
    if np.dtype(kind).kind in "iu":
        return [np.asarray(rng.integers(0, 9, s), kind) for s in shapes]
    return [np.asarray(rng.standard_normal(s)).astype(kind) for s in shapes]


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives_are_torchs(name: str) -> None:
    f, shapes = CASES[name]
    check(f, values(shapes))


@pytest.mark.parametrize("equation", EINSUMS)
def test_einsum_is_torchs(equation: str) -> None:
    check(lambda T, *xs: T.einsum(equation, *xs), values(EINSUMS[equation]))
    check(lambda T, *xs: T.einsum(equation, list(xs)), values(EINSUMS[equation]), order=0)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_other_floats(name: str, kind: Any) -> None:
    f, shapes = CASES[name]
    check(f, values(shapes, kind), order=1)


@pytest.mark.parametrize("name", [n for n in CASES if n != "addmm scaled"])
@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_integers(name: str, kind: Any) -> None:
    f, shapes = CASES[name]
    check(f, values(shapes, kind), order=0)


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (lambda T, x, y: T.tensordot(x, y, 2), [(4, 2, 3), (2, 3, 5)]),
        (lambda T, x, y: T.tensordot(x, y, 0), [(2, 3), (4,)]),
        (lambda T, x, y: T.tensordot(x, y, ([1, 0], [0, -1])), [(2, 3), (3, 5, 2)]),
        (lambda T, x, y: T.inner(x, y), [(3,), (3,)]),
        (lambda T, x, y: T.inner(x, y), [(2, 3), (3,)]),
        (lambda T, x, y: T.inner(x, y), [(2, 3), ()]),
        (lambda T, x, y, w, b: T.nn.functional.bilinear(x, y, w, b), [(5, 2), (5, 3), (4, 2, 3), (4,)]),
        (lambda T, x, y, w: T.nn.functional.bilinear(x, y, w), [(2,), (3,), (4, 2, 3)]),
    ],
)
def test_products_spelled_with_einsum(f: Any, shapes: list[tuple[int, ...]]) -> None:
    check(f, values(shapes))


def test_half_products_accumulate_in_float32() -> None:
    x = np.full((1, 4096), 0.1, np.float16)
    b = NumpyBuilder()
    out = b.mm(Var(b, x), Var(b, x.T)).v
    assert out.dtype == np.float16
    assert out[0, 0] == np.float16(4096 * float(np.float16(0.1)) ** 2)


def test_a_beta_of_zero_hides_nan() -> None:
    b = NumpyBuilder()
    out = b.addmm(Var(b, np.full(2, np.nan)), Var(b, np.ones((2, 2))), Var(b, np.ones((2, 2))), beta=0, alpha=1).v
    np.testing.assert_array_equal(out, np.full((2, 2), 2.0))


@pytest.mark.parametrize("name", [n for n, (_, s) in CASES.items() if s[0][:1] != (0,)])
def test_grad_fn_is_torchs(name: str) -> None:
    f, shapes = CASES[name]
    b = GraphBuilder(Graph("f"))
    got = f(Table, *[Traced(Var(b, b.graph.add_input(tensor(s, dtype("f32"))))) for s in shapes])
    assert got.grad_fn == f(torch, *[torch.zeros(s, requires_grad=True) for s in shapes]).grad_fn.name()


def test_a_product_of_any_rank_is_one_contraction() -> None:
    for name in ("matmul stretched", "linear batch", "matmul bm", "mm"):
        f, shapes = CASES[name]
        graph, _ = record(f, values(shapes), 1)
        products = [n for n in decomposed(graph).nodes if n.op.kind == CONTRACTION]
        assert len(products) == 3, name


@pytest.mark.parametrize("at", range(40))
def test_contract_is_einsum(at: int) -> None:
    """Random contractions against NumPy's einsum, and their derivatives against torch's."""
    rng = np.random.default_rng(at)
    extents = {c: int(rng.integers(1, 4)) for c in "abcdefg"}
    letters = rng.permutation(list("abcdefg")).tolist()
    kinds = rng.integers(0, 4, 7)
    batch, inner = (
        [c for c, k in zip(letters, kinds, strict=True) if k == 0],
        [c for c, k in zip(letters, kinds, strict=True) if k == 1],
    )
    left, right = (
        [c for c, k in zip(letters, kinds, strict=True) if k == 2],
        [c for c, k in zip(letters, kinds, strict=True) if k == 3],
    )
    xs, ys = rng.permutation(batch + inner + left).tolist(), rng.permutation(batch + inner + right).tolist()
    x, y = rng.standard_normal([extents[c] for c in xs]), rng.standard_normal([extents[c] for c in ys])
    out = batch + [c for c in xs if c in left] + [c for c in ys if c in right]
    attrs = {
        "lhs_batch": tuple(xs.index(c) for c in batch),
        "rhs_batch": tuple(ys.index(c) for c in batch),
        "lhs_contract": tuple(xs.index(c) for c in inner),
        "rhs_contract": tuple(ys.index(c) for c in inner),
    }
    equation = f"{''.join(xs)},{''.join(ys)}->{''.join(out)}"

    def f(T: Any, x: Any, y: Any) -> Any:
        return T.einsum(equation, x, y) if T is torch else Traced(x.var.b.contract(x.var, y.var, **attrs))

    check(f, [x, y])


ERRORS: dict[str, tuple[Any, list[tuple[int, ...]]]] = {
    "mm": (lambda T, x, y: T.mm(x, y), [(4, 6), (4, 6)]),
    "mm rank": (lambda T, x, y: T.mm(x, y), [(6,), (4, 6)]),
    "mv": (lambda T, x, y: x.mv(y), [(2, 3), (4,)]),
    "mv rank": (lambda T, x, y: x.mv(y), [(2, 3), (3, 2)]),
    "dot": (lambda T, x, y: x.dot(y), [(2,), (3,)]),
    "dot rank": (lambda T, x, y: x.dot(y), [(4, 6), (6,)]),
    "bmm": (lambda T, x, y: x.bmm(y), [(2, 4, 6), (2, 4, 6)]),
    "bmm rank": (lambda T, x, y: x.bmm(y), [(2, 4, 6), (4, 6)]),
    "matmul": (lambda T, x, y: x @ y, [(2, 3), (4, 5)]),
    "matmul scalar": (lambda T, x, y: T.matmul(x, y), [(), (4, 6)]),
    "matmul mv": (lambda T, x, y: x @ y, [(4, 6), (3,)]),
    "matmul vm": (lambda T, x, y: x @ y, [(6,), (4, 6)]),
    "matmul bm": (lambda T, x, y: x @ y, [(2, 4, 6), (5, 3)]),
    "matmul bv": (lambda T, x, y: x @ y, [(2, 4, 6), (3,)]),
    "matmul vb": (lambda T, x, y: x @ y, [(6,), (2, 5, 2)]),
    "matmul batch": (lambda T, x, y: x @ y, [(2, 4, 6), (3, 6, 2)]),
    "matmul inner": (lambda T, x, y: x @ y, [(2, 4, 6), (2, 5, 2)]),
    "addmm": (lambda T, x, y, z: T.addmm(x, y, z), [(6,), (4, 6), (6, 3)]),
    "addmm inner": (lambda T, x, y, z: T.addmm(x, y, z), [(3,), (4, 6), (4, 6)]),
    "addmm rank": (lambda T, x, y, z: T.addmm(x, y, z), [(3,), (4,), (4, 6)]),
    "addmv": (lambda T, x, y, z: T.addmv(x, y, z), [(6,), (4, 6), (6,)]),
    "baddbmm": (lambda T, x, y, z: T.baddbmm(x, y, z), [(6,), (2, 4, 6), (2, 6, 4)]),
    "linear": (lambda T, x, w: T.nn.functional.linear(x, w), [(4, 6), (6, 3)]),
    "linear batch": (lambda T, x, w: T.nn.functional.linear(x, w), [(2, 4, 6), (6, 3)]),
    "linear vector": (lambda T, x, w: T.nn.functional.linear(x, w), [(6,), (6, 3)]),
    "linear bias": (lambda T, x, w, b: T.nn.functional.linear(x, w, b), [(4, 6), (3, 6), (6,)]),
    "linear batch bias": (lambda T, x, w, b: T.nn.functional.linear(x, w, b), [(2, 4, 6), (3, 6), (6,)]),
    "linear scalar": (lambda T, x, w: T.nn.functional.linear(x, w), [(), (6, 3)]),
    "linear weight": (lambda T, x, w, b: T.nn.functional.linear(x, w, b), [(4, 6), (6,), ()]),
    "outer": (lambda T, x, y: T.outer(x, y), [(4, 6), (6,)]),
    "einsum sizes": (lambda T, x, y: T.einsum("ij,jk->ik", x, y), [(4, 6), (4, 6)]),
    "einsum fewer": (lambda T, x: T.einsum("ij,k", x), [(4, 6)]),
    "einsum more": (lambda T, x, y: T.einsum("ij", x, y), [(4, 6), (4, 6)]),
    "einsum rank": (lambda T, x: T.einsum("ijk->i", x), [(4, 6)]),
    "einsum output": (lambda T, x: T.einsum("ij->k", x), [(4, 6)]),
    "einsum letter": (lambda T, x: T.einsum("i1->i", x), [(4, 6)]),
    "einsum twice": (lambda T, x: T.einsum("ij->ii", x), [(4, 6)]),
    "einsum diagonal": (lambda T, x: T.einsum("ii->i", x), [(4, 6)]),
    "einsum dot": (lambda T, x: T.einsum("i.j", x), [(4, 6)]),
    "tensordot": (lambda T, x, y: T.tensordot(x, y, 1), [(4, 6), (4, 6)]),
    "tensordot dims": (lambda T, x, y: T.tensordot(x, y, 2), [(2, 3), (4,)]),
    "tensordot lists": (lambda T, x, y: T.tensordot(x, y, ([1], [0, 1])), [(2, 3), (3,)]),
    "inner": (lambda T, x, y: T.inner(x, y), [(4, 6), (6, 3)]),
    "bilinear": (lambda T, x, y, w: T.nn.functional.bilinear(x, y, w), [(6,), (6,), (2, 4, 6)]),
}


def refused(f: Any, arrays: list[Any]) -> None:
    with pytest.raises(RuntimeError) as want:
        f(torch, *[to_torch(a) for a in arrays])
    with pytest.raises(GradcError) as got:
        record(f, arrays, 0)
    assert isinstance(got.value, want.type)
    assert got.value.bare == str(want.value).split("\n")[0]


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_torchs(name: str) -> None:
    f, shapes = ERRORS[name]
    refused(f, values(shapes, np.float32))


MIXED: dict[str, tuple[Any, list[tuple[int, ...]]]] = {
    "mm": (lambda T, x, y: T.mm(x, y), [(2, 3), (3, 4)]),
    "mv": (lambda T, x, y: x.mv(y), [(2, 3), (3,)]),
    "dot": (lambda T, x, y: x.dot(y), [(3,), (3,)]),
    "bmm": (lambda T, x, y: x.bmm(y), [(2, 3, 4), (2, 4, 5)]),
    "matmul": (lambda T, x, y: x @ y, [(2, 3, 4), (2, 4, 5)]),
    "addmm": (lambda T, y, z, x: T.addmm(x, y, z), [(2, 3), (3, 4), (4,)]),
    "addmv": (lambda T, y, z, x: T.addmv(x, y, z), [(2, 3), (3,), (2,)]),
    "baddbmm": (lambda T, y, z, x: T.baddbmm(x, y, z), [(2, 3, 5), (2, 5, 4), (4,)]),
    "linear": (lambda T, x, w: T.nn.functional.linear(x, w), [(2, 3), (4, 3)]),
    "einsum": (lambda T, x, y: T.einsum("ij,jk->ik", x, y), [(2, 3), (3, 4)]),
}


@pytest.mark.parametrize("name", MIXED)
def test_mixed_dtypes_get_torchs_sentence(name: str) -> None:
    f, shapes = MIXED[name]
    arrays = values(shapes, np.float32)
    refused(f, [*arrays[:-1], arrays[-1].astype(np.float64)])


@pytest.mark.parametrize("name", ["mm", "mv", "dot", "bmm"])
def test_bool_products_are_refused_as_in_torch(name: str) -> None:
    f, shapes = CASES[name]
    refused(f, [a > 0 for a in values(shapes)])


def test_records_have_samples() -> None:
    for name in ("contract", "mm", "mv", "dot", "bmm", "addmm", "addmv", "baddbmm", "matmul", "linear", "einsum"):
        assert REGISTRY["grad." + name].sample is not None
