"""Every record of the op table that has a sample: type rule, value, formula, derivatives and dtypes, against torch.

A record joins by having `sample` (see gradc.ir.op.Op). What torch has no name for says so in its samples.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import BASE_SEED
from tape import Tape
from tile_numpy import run_formula
from torch_calls import CALLS

from gradc.ir.build import NumpyBuilder, Var
from gradc.ir.errors import GradcError
from gradc.ir.interpret import evaluate
from gradc.ir.op import ELEMENTWISE, REGISTRY, Op
from gradc.ir.promote import operand_dtypes
from gradc.ir.pullback import pullback
from gradc.ir.types import dtype, tensor

torch = pytest.importorskip("torch", reason="the op table is compared with torch")
torch.set_num_threads(1)

SAMPLED = [op for name, op in sorted(REGISTRY.items()) if name.startswith("grad.") and op.sample is not None]
DIFFERENTIABLE = [op for op in SAMPLED if op.adjoint]
FORMULAS = [op for op in SAMPLED if op.formula is not None]

Entry = tuple[list[Any], dict[str, Any], Any]


def over(ops: list[Op]) -> Any:
    return pytest.mark.parametrize("op", ops, ids=lambda op: op.short)


def entries(op: Op) -> Iterator[Entry]:
    """The record's samples as flat operand lists, the same at every run."""
    assert op.sample is not None
    rng = np.random.default_rng(zlib.crc32(op.name.encode()) ^ BASE_SEED)
    for xs, attrs, *expected in op.sample(rng):
        flat = [np.asarray(a) for x in xs for a in (x if isinstance(x, (list, tuple)) else (x,))]
        yield flat, attrs, expected[0] if expected else None


def reference(op: Op, expected: Any, attrs: dict[str, Any]) -> Callable[..., Any]:
    """The torch function of the operands that an entry of this record is compared with."""
    if callable(expected):
        return expected  # type: ignore[no-any-return]
    if op.short in CALLS:
        return lambda *xs: CALLS[op.short](*xs, **attrs)
    names = [expected] if expected else [n for t in op.torch for n in t.names]
    if not names:
        pytest.fail(f"{op.name}: torch has no name for it; its samples or torch_calls.py must say what to compare with")
    found: Any = torch
    for part in names[0].split("."):
        found = getattr(found, part)
    named = {"dim" if k == "dims" else k: v for k, v in attrs.items()}
    variadic = op.operands == (op.operands[0],) and op.variadic
    return lambda *xs: found(list(xs), **named) if variadic else found(*xs, **named)


def to_torch(a: Any) -> Any:
    a = np.asarray(a)
    if dtype(a.dtype).name == "bf16":
        return torch.from_numpy(a.astype(np.float32)).bfloat16()
    return torch.from_numpy(np.array(a, copy=True))


def to_numpy(t: Any) -> Any:
    t = t.detach()
    return (t.float() if t.dtype is torch.bfloat16 else t).numpy(force=True)


def results(out: Any) -> list[Any]:
    return list(out) if isinstance(out, (tuple, list)) else [out]


def run(op: Op, xs: list[Any], attrs: dict[str, Any]) -> list[Any]:
    return list(evaluate(op, xs, attrs))


def as_wide(xs: list[Any]) -> list[Any]:
    return [x.astype(np.float64) if x.dtype.kind == "f" else x for x in xs]


def like(rng: np.random.Generator, x: Any) -> Any:
    """A random array of the same shape and dtype."""
    return np.asarray(rng.standard_normal(x.shape)).astype(x.dtype)


def close(got: Any, want: Any, rtol: float, atol: float, what: str = "") -> None:
    np.testing.assert_allclose(
        np.asarray(got, np.float64) if np.asarray(got).dtype.kind not in "iub" else got,
        np.asarray(want, np.float64) if np.asarray(want).dtype.kind not in "iub" else want,
        rtol=rtol,
        atol=atol,
        err_msg=what,
    )


def pullbacks(op: Op, xs: list[Any], attrs: dict[str, Any], active: list[int], cts: list[Any]) -> list[Any]:
    """The cotangents of the active operands, by the record's rules on arrays."""
    b = NumpyBuilder()
    operands = [Var(b, x) for x in xs]
    outs = [Var(b, r) for r in run(op, xs, attrs)]
    types = [b.type_of(x) for x in xs]
    cotangents = [Var(b, c) if c is not None else None for c in cts]
    return [pullback(b, op, i, cotangents, operands, types, outs, attrs) for i in active]


def differentiable(op: Op, xs: list[Any]) -> list[int]:
    return [i for i, x in enumerate(xs) if x.dtype.kind == "f" and op.operand_name(i) in op.adjoint]


def ruled(op: Op, active: list[int]) -> bool:
    """Whether the rules of these operands give derivatives, rather than refuse as torch does."""
    return op.grad_fn != "NotImplemented" and bool(active)


@over(SAMPLED)
def test_the_type_rule_says_what_numpy_gives(op: Op) -> None:
    for xs, attrs, _ in entries(op):
        types = [tensor(x.shape, dtype(x.dtype)) for x in xs]
        inferred = op.infer(*types, **attrs)
        for got, want in zip(run(op, xs, attrs), results(inferred), strict=True):
            assert got.shape == want.shape
            assert dtype(got.dtype) is want.dtype


@over(SAMPLED)
def test_values_shapes_and_dtypes_are_torchs(op: Op) -> None:
    for xs, attrs, expected in entries(op):
        want = results(reference(op, expected, attrs)(*[to_torch(x) for x in xs]))
        for got, w in zip(run(op, xs, attrs), want, strict=False):
            assert got.shape == tuple(w.shape)
            assert dtype(got.dtype).torch_name == str(w.dtype).removeprefix("torch.")
            close(got, to_numpy(w), 2e-5, 2e-6, f"{op.name} {attrs}")


@over(SAMPLED)
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_half_types_are_computed_in_float32_and_rounded_once(op: Op, half: str) -> None:
    np_half = dtype(half).numpy
    for xs, attrs, _ in entries(op):
        if not any(x.dtype == np.float32 for x in xs) or not all(np.all(np.isfinite(x)) for x in xs):
            continue
        halves = [x.astype(np_half) if x.dtype == np.float32 else x for x in xs]
        widened = [x.astype(np.float32) if x.dtype == np_half else x for x in halves]
        if any(isinstance(a, float) and not np.isfinite(a) for a in attrs.values()):
            continue
        declared = results(op.infer(*[tensor(x.shape, dtype(x.dtype)) for x in halves], **attrs))
        for got, exact, type_ in zip(run(op, halves, attrs), run(op, widened, attrs), declared, strict=True):
            assert dtype(got.dtype) is type_.dtype
            if type_.dtype.is_half:
                once = exact.astype(np_half).astype(np.float32)
                close(got.astype(np.float32), once, 2.0**-7, 2.0**-10, op.name)


@over(FORMULAS)
@pytest.mark.parametrize("wide", [False, True], ids=["f32", "f64"])
def test_the_formula_computes_what_numpy_computes(op: Op, wide: bool) -> None:
    assert op.kind == ELEMENTWISE
    for xs, attrs, _ in entries(op):
        xs = as_wide(xs) if wide else xs
        types = [tensor(x.shape, dtype(x.dtype)) for x in xs]
        (want,) = run(op, xs, attrs)
        dtypes = operand_dtypes(op, types, dtype(want.dtype))
        arrived = [x.astype(d.numpy) for x, d in zip(xs, dtypes, strict=True)]
        got = run_formula(op.formula, *arrived, **attrs)
        assert got.dtype == want.dtype, f"{op.name}: the formula gives {got.dtype}, the type rule says {want.dtype}"
        rtol = 1e-12 if got.dtype == np.float64 else 1e-6
        close(np.broadcast_to(got, want.shape), want, rtol, rtol, f"{op.name} {attrs}")


@over(DIFFERENTIABLE)
def test_gradients_are_torchs(op: Op) -> None:
    for xs, attrs, expected in entries(op):
        xs = as_wide(xs)
        active = differentiable(op, xs)
        if not ruled(op, active):
            continue
        leaves = [to_torch(x).requires_grad_(i in active) for i, x in enumerate(xs)]
        outs = results(reference(op, expected, attrs)(*leaves))
        rng = np.random.default_rng(1)
        mine = run(op, xs, attrs)
        floats = [k for k, r in enumerate(mine[: len(outs)]) if r.dtype.kind == "f" and outs[k].requires_grad]
        cts = [like(rng, r) if k in floats else None for k, r in enumerate(mine)]
        want = torch.autograd.grad(
            [outs[k] for k in floats],
            [leaves[i] for i in active],
            [torch.from_numpy(cts[k]) for k in floats],
            allow_unused=True,
        )
        for i, got, w in zip(active, pullbacks(op, xs, attrs, active, cts), want, strict=True):
            value = np.zeros(xs[i].shape) if got is None else got.v
            assert value.shape == xs[i].shape
            assert value.dtype == xs[i].dtype
            close(value, np.zeros(xs[i].shape) if w is None else to_numpy(w), 1e-9, 1e-10, f"{op.name} {attrs} d{i}")


def moved(xs: list[Any], i: int, by: Any) -> list[Any]:
    return [x + by if j == i else x for j, x in enumerate(xs)]


def weighted(op: Op, xs: list[Any], attrs: dict[str, Any], cts: list[Any]) -> float:
    """The sum of the results, weighted by their cotangents."""
    return sum(float(np.sum(r * c)) for r, c in zip(run(op, xs, attrs), cts, strict=True) if c is not None)


@over([op for op in DIFFERENTIABLE if "unrecorded" not in op.traits])
def test_gradients_agree_with_finite_differences(op: Op) -> None:
    for xs, attrs, _ in itertools.islice(entries(op), 1):
        xs = as_wide(xs)
        active = differentiable(op, xs)
        if not ruled(op, active) or not all(np.all(np.isfinite(x)) for x in xs):
            continue
        rng = np.random.default_rng(2)
        outs = run(op, xs, attrs)
        cts = [like(rng, r) if r.dtype.kind == "f" else None for r in outs]
        for i, got in zip(active, pullbacks(op, xs, attrs, active, cts), strict=True):
            v = rng.standard_normal(xs[i].shape)
            step = 1e-6

            up, down = (weighted(op, moved(xs, i, t * v), attrs, cts) for t in (step, -step))
            slope = (up - down) / (2 * step)
            mine = 0.0 if got is None else float(np.sum(got.v * v))
            close(mine, slope, 1e-5, 1e-5, f"{op.name} {attrs} d{i}")


@over(DIFFERENTIABLE)
def test_second_derivatives_are_torchs(op: Op) -> None:
    """The rules run on a tape and are differentiated in turn, towards the operands and towards the cotangent."""
    for xs, attrs, expected in entries(op):
        xs = as_wide(xs)
        active = differentiable(op, xs)
        if not ruled(op, active):
            continue
        rng = np.random.default_rng(3)
        leaves = [to_torch(x).requires_grad_(i in active) for i, x in enumerate(xs)]
        outs = results(reference(op, expected, attrs)(*leaves))
        tape = Tape()
        operands = [Var(tape, x) for x in xs]
        mine = results(tape.apply(op, operands, dict(attrs)))
        floats = [k for k, r in enumerate(mine[: len(outs)]) if r.dtype.is_float and outs[k].requires_grad]
        cts = {k: like(rng, mine[k].v) for k in floats}
        t_cts = {k: torch.from_numpy(c).requires_grad_() for k, c in cts.items()}
        t_in = [leaves[i] for i in active]
        first = torch.autograd.grad(
            [outs[k] for k in floats], t_in, [t_cts[k] for k in floats], create_graph=True, allow_unused=True
        )
        my_cts = {k: Var(tape, c) for k, c in cts.items()}
        my_first = tape.grad([mine[k] for k in floats], [my_cts[k] for k in floats], [operands[i] for i in active])
        vs = [like(rng, xs[i]) for i in active]
        t_inputs = [*t_in, *t_cts.values()]
        used = [n for n, g in enumerate(first) if g is not None and g.requires_grad]
        if not used:
            continue
        want = torch.autograd.grad(
            [first[n] for n in used], t_inputs, [torch.from_numpy(vs[n]) for n in used], allow_unused=True
        )
        kept = [n for n in used if my_first[n] is not None]
        my_inputs = [*[operands[i] for i in active], *my_cts.values()]
        got = tape.grad([my_first[n] for n in kept], [Var(tape, vs[n]) for n in kept], my_inputs)
        for n, (g, w, x) in enumerate(zip(got, want, my_inputs, strict=True)):
            value = np.zeros(x.shape) if g is None else g.v
            close(value, np.zeros(x.shape) if w is None else to_numpy(w), 1e-8, 1e-9, f"{op.name} {attrs} input {n}")


def test_every_elementwise_record_has_a_sample() -> None:
    without = [op.name for op in REGISTRY.values() if op.kind == ELEMENTWISE and op.sample is None]
    assert without == []


@over([op for op in SAMPLED if op.kind == ELEMENTWISE and len(op.operands) > 1])
def test_shapes_that_do_not_broadcast_are_refused(op: Op) -> None:
    xs, attrs, _ = next(entries(op))
    bad = [np.zeros((2 + i, 5), x.dtype) for i, x in enumerate(xs)]
    with pytest.raises(GradcError, match=r"must match the size of tensor|0-dimensional|tensors of one type"):
        op.infer(*[tensor(x.shape, dtype(x.dtype)) for x in bad], **attrs)
