"""Types of reductions: half types, integers, empty operands, and torch's sentences for what has no meaning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tape import Tape, Var, against_torch, run, sentence

from gradc.ir.errors import GradIndexError, GradRuntimeError, UnsupportedError
from gradc.ir.op import REGISTRY
from gradc.ir.types import bf16, f16, f32, f64, i1, i32, i64, tensor

torch = pytest.importorskip("torch", reason="torch is the oracle")


@pytest.mark.parametrize("kind", [f16, bf16, f32])
@pytest.mark.parametrize("name", ["sum", "mean", "var", "softmax", "log_softmax", "logsumexp", "cumsum"])
def test_half_types_accumulate_in_float32(name: str, kind: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 500)).astype(np.float32).astype(kind.numpy)
    theirs = torch.tensor(x.astype(np.float32)).to(getattr(torch, kind.torch_name)).requires_grad_()
    attrs: dict[str, Any] = (
        {"dim": 1} if name in ("softmax", "log_softmax", "cumsum") else {"dims": (1,), "keepdim": False}
    )
    want = getattr(torch, name)(theirs, 1)
    ct = rng.standard_normal(tuple(want.shape)).astype(np.float32).astype(kind.numpy)
    (want_grad,) = torch.autograd.grad(want, theirs, torch.tensor(ct.astype(np.float32)).to(want.dtype))
    step = {"f16": 2e-3, "bf16": 1.6e-2, "f32": 1e-5}[kind.name]
    for primitive in (False, True):
        b = Tape(primitive)
        v = Var(b, x)
        out = b.apply(REGISTRY[f"grad.{name}"], [v], attrs)
        (grad,) = b.grad([out], [Var(b, ct)], [v])
        assert out.dtype is kind
        assert grad is not None
        assert grad.dtype is kind
        for g, w, near in ((out.v, want, step), (grad.v, want_grad, step * 5)):
            w = w.detach().float().numpy()
            np.testing.assert_allclose(g.astype(np.float32), w, rtol=near, atol=near * float(np.abs(w).max()))


@pytest.mark.parametrize(("name", "d"), [("sum", i64), ("prod", i64), ("amax", i32), ("amin", i32)])
def test_results_of_integers(name: str, d: Any) -> None:
    x = np.array([[1, 2], [3, 4]], np.int32)
    attrs = {"dims": (0,), "keepdim": False}
    against_torch(name, [x], attrs, lambda x: getattr(torch, name)(x, 0), active=())
    assert REGISTRY[f"grad.{name}"].infer(tensor((2, 2), i32), **attrs) == tensor((2,), d)


def test_empty_reductions() -> None:
    attrs = {"dims": (0,), "keepdim": False}
    for name in ("sum", "prod", "mean", "nansum"):
        against_torch(name, [np.zeros((0, 2))], attrs, lambda x, n=name: getattr(torch, n)(x, 0), second=False)
    against_torch("amax", [np.zeros((0, 2))], {"dims": (1,), "keepdim": False}, lambda x: x.amax(1))


ERRORS = [
    ("amax", (0, 3), f32, {"dims": (0,)}, GradIndexError, "amax(): Expected reduction dim 0 to have non-zero size."),
    ("max", (0, 3), f32, {"dim": 0}, GradIndexError, "max(): Expected reduction dim 0 to have non-zero size."),
    ("argmax", (0, 3), f32, {"dim": 0}, GradIndexError, "argmax(): Expected reduction dim 0 to have non-zero size."),
    ("median", (0, 3), f32, {"dim": 0}, GradIndexError, "median(): Expected reduction dim 0 to have non-zero size."),
    (
        "max_all",
        (0,),
        f32,
        {},
        GradRuntimeError,
        "max(): Expected reduction dim to be specified for input.numel() == 0.",
    ),
    ("argmax", (3,), i1, {"dim": 0}, GradRuntimeError, "argmax(): does not support bool input"),
    (
        "mean",
        (3,),
        i64,
        {"dims": (0,)},
        GradRuntimeError,
        "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: Long",
    ),
    ("var", (3,), i64, {"dims": (0,)}, GradRuntimeError, "std and var only support floating point and complex dtypes"),
    ("softmax", (3,), i64, {"dim": 0}, UnsupportedError, "\"softmax_lastdim_kernel_impl\" not implemented for 'Long'"),
    ("softmax", (3, 2), i64, {"dim": 0}, UnsupportedError, "\"softmax_kernel_impl\" not implemented for 'Long'"),
    ("log_softmax", (3,), i64, {"dim": 0}, UnsupportedError, '"log_softmax_lastdim_kernel_impl" not implemented'),
    (
        "vector_norm",
        (3,),
        i64,
        {"p": 2.0, "dims": (0,)},
        GradRuntimeError,
        "linalg.vector_norm: Expected a floating point or complex tensor as input. Got Long",
    ),
    (
        "vector_norm",
        (0,),
        f64,
        {"p": math.inf, "dims": (0,)},
        GradRuntimeError,
        "linalg.vector_norm cannot compute the inf norm on an empty tensor because the operation does not have an "
        "identity",
    ),
    ("topk", (3, 4), f32, {"k": 9, "dim": 1}, GradRuntimeError, "selected index k out of range"),
    ("kthvalue", (3, 4), f32, {"k": 9, "dim": 1}, GradRuntimeError, "selected number k out of range for dimension 1"),
]


@pytest.mark.parametrize(("name", "shape", "d", "attrs", "error", "text"), ERRORS)
def test_torchs_sentences(name: str, shape: Any, d: Any, attrs: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=sentence(text)):
        REGISTRY[f"grad.{name}"].infer(tensor(shape, d), **attrs)


def test_results_of_records_have_their_declared_types(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4)).astype(np.float32)
    for name in ("max", "sort", "median"):
        values, indices = run(name, [x], {"dim": 1}, primitive=True)
        assert (values.dtype, indices.dtype) == (np.float32, np.int64)
