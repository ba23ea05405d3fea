"""Reductions called as torch's are: overloads, defaults, node names, result types, printing, refusals."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tape import sentence

import gradc as gc
from gradc.ir.errors import GradcError

torch = pytest.importorskip("torch", reason="torch is the oracle")


def both(f: Callable[..., Any], x: Any, tolerance: float = 1e-12) -> None:
    """f(namespace, tensor) in gradc and torch: same structure, values, dtypes, node names, gradient."""
    x = np.asarray(x)
    floating = x.dtype.kind == "f"
    ours, theirs = gc.tensor(x, requires_grad=floating), torch.tensor(x, requires_grad=floating)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got, want = f(gc, ours), f(torch, theirs)
    assert isinstance(got, tuple) == isinstance(want, tuple)
    for g, w in zip(*((got, want) if isinstance(got, tuple) else ((got,), (want,))), strict=True):
        assert repr(g.dtype).replace("gradc", "torch") == repr(w.dtype)
        np.testing.assert_allclose(g.detach().numpy(), w.detach().numpy(), rtol=tolerance, atol=tolerance)
        assert (g.grad_fn is None) == (w.grad_fn is None)
        if w.grad_fn is not None:
            assert g.grad_fn.name() == w.grad_fn.name()
    first, second = (got[0], want[0]) if isinstance(got, tuple) else (got, want)
    if second.grad_fn is not None:
        ct = np.cos(np.arange(second.numel()).reshape(tuple(second.shape)))
        first.backward(gc.tensor(ct.astype(x.dtype)))
        second.backward(torch.tensor(ct.astype(x.dtype)))
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=tolerance, atol=tolerance)


CALLS = [
    lambda T, x: x.sum(),
    lambda T, x: x.sum(0),
    lambda T, x: x.sum((0, -1), keepdim=True),
    lambda T, x: x.sum(dim=()),
    lambda T, x: T.sum(x, 1, dtype=T.float64),
    lambda T, x: x.mean(),
    lambda T, x: x.mean(-1, True),
    lambda T, x: x.prod(),
    lambda T, x: x.prod(1),
    lambda T, x: x.amax(),
    lambda T, x: x.amax((0, 2)),
    lambda T, x: T.amin(x, -2, keepdim=True),
    lambda T, x: x.max(),
    lambda T, x: x.min(),
    lambda T, x: x.max(1),
    lambda T, x: x.min(-1, keepdim=True),
    lambda T, x: T.max(x, x.flip(0)),
    lambda T, x: T.min(x, other=x.flip(0)),
    lambda T, x: x.argmax(),
    lambda T, x: x.argmax(keepdim=True),
    lambda T, x: x.argmin(1),
    lambda T, x: x.var(),
    lambda T, x: x.var(False),
    lambda T, x: x.var(1),
    lambda T, x: x.var(1, False),
    lambda T, x: x.var((0, 2), unbiased=False, keepdim=True),
    lambda T, x: x.std(0, correction=0),
    lambda T, x: T.var_mean(x, 1),
    lambda T, x: T.std_mean(x),
    lambda T, x: x.logsumexp(0),
    lambda T, x: x.logsumexp((0, 1), keepdim=True),
    lambda T, x: x.nansum(),
    lambda T, x: x.nanmean(),
    lambda T, x: x.nanmean(1, True),
    lambda T, x: x.cummax(1),
    lambda T, x: T.logcumsumexp(x, -1),
    lambda T, x: x.median(),
    lambda T, x: x.median(1),
    lambda T, x: x.cumsum(0),
    lambda T, x: x.cumprod(-1),
    lambda T, x: x.sort(),
    lambda T, x: x.sort(0, True),
    lambda T, x: x.sort(stable=True),
    lambda T, x: x.argsort(descending=True),
    lambda T, x: x.topk(2),
    lambda T, x: x.topk(2, 0, largest=False),
    lambda T, x: x.kthvalue(2),
    lambda T, x: x.count_nonzero(),
    lambda T, x: x.any(),
    lambda T, x: x.all(1),
    lambda T, x: x.softmax(-1),
    lambda T, x: T.softmax(x, 0, dtype=T.float64),
    lambda T, x: x.log_softmax(1),
    lambda T, x: x.norm(),
    lambda T, x: x.norm(1),
    lambda T, x: x.norm(dim=1),
    lambda T, x: x.norm(3, (0, 1), True),
]


@pytest.mark.parametrize("call", CALLS)
def test_spellings(call: Any, rng: np.random.Generator) -> None:
    both(call, rng.standard_normal((3, 4, 5)))
    both(call, rng.standard_normal((3, 1, 5)).swapaxes(0, 2))


@pytest.mark.parametrize("kind", ["int64", "int32", "uint8", "bool"])
def test_integers(kind: str, rng: np.random.Generator) -> None:
    x = rng.integers(0, 2, (3, 4)).astype(kind)
    calls: list[Any] = [
        lambda T, x: x.sum(),
        lambda T, x: x.sum(1),
        lambda T, x: x.prod(0),
        lambda T, x: x.cumsum(0),
        lambda T, x: x.amax(0),
        lambda T, x: x.max(),
        lambda T, x: x.max(0).values,
        lambda T, x: x.any(),
        lambda T, x: x.all(0),
        lambda T, x: x.count_nonzero(0),
        lambda T, x: x.sum(dtype=T.float32),
        lambda T, x: x.sort(stable=True),
    ]
    for call in calls:
        both(call, x)


REFUSED = [
    lambda T, x: x.sum(2),
    lambda T, x: x.sum((0, 0)),
    lambda T, x: x.softmax(-3),
    lambda T, x: T.zeros(0).amax(),
    lambda T, x: T.zeros(0).max(),
    lambda T, x: T.zeros(0).argmax(),
    lambda T, x: T.zeros(0, 2).max(0),
    lambda T, x: x.topk(9),
    lambda T, x: x.kthvalue(9),
    lambda T, x: T.arange(3).mean(),
    lambda T, x: T.arange(3).var(),
    lambda T, x: T.arange(3).softmax(0),
    lambda T, x: T.arange(3).norm(),
]


@pytest.mark.parametrize("call", REFUSED)
def test_refusals_are_torchs(call: Any) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - whatever torch raises is what is asked for
        call(torch, torch.zeros(2, 3))
    with pytest.raises(GradcError, match=sentence(str(theirs.value).split("\n")[0])) as ours:
        call(gc, gc.zeros(2, 3))
    assert issubclass(ours.type, theirs.type)


def test_named_results_print_as_torchs() -> None:
    x = [[1.0, 3.0], [2.0, 0.5]]
    for call in (lambda t: t.max(1), lambda t: t.sort(1), lambda t: t.topk(1), lambda t: t.median(0)):
        assert repr(call(gc.tensor(x))) == repr(call(torch.tensor(x)))
    values, indices = gc.tensor(x).max(0)
    assert values.tolist() == [2.0, 3.0]
    assert indices.tolist() == [1, 0]
