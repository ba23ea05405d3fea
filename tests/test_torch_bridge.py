"""Compiled functions called with torch tensors are nodes of torch's tape: derivatives of any order, and writes to what
they saved."""

from __future__ import annotations

import numpy as np
import pytest

import gradc as gc

torch = pytest.importorskip("torch", reason="calls with torch tensors")

X = np.random.default_rng(2).standard_normal((3, 4))


def f(a, w):
    return ((a * w).tanh() ** 2).sum(1) * w.sum()


def leaves():
    return [torch.tensor(x, requires_grad=True) for x in (X, 2 * X, np.ones(3))]


def derivatives(function):
    """Up to the third order, the cotangent among what is differentiated."""
    a, w, c = leaves()
    y = function(a, w)
    (g,) = torch.autograd.grad(y, a, c, create_graph=True)
    second = torch.autograd.grad((g**2).sum() + (y**3).sum(), (a, w, c), create_graph=True)
    third = torch.autograd.grad((second[0] * second[1]).sum() + second[2].sum(), (a, w, c))
    return [g, *second, *third]


@pytest.mark.parametrize("executor", ["reference", "tiled"])
def test_derivatives_of_higher_order(executor):
    for got, want in zip(derivatives(gc.compile(f, executor=executor)), derivatives(f), strict=True):
        scale = float(want.detach().abs().max())
        np.testing.assert_allclose(got.detach(), want.detach(), rtol=1e-9, atol=1e-12 * scale)


def test_gradgradcheck():
    a, w, _ = leaves()
    assert torch.autograd.gradcheck(gc.compile(f), (a, w))
    assert torch.autograd.gradgradcheck(gc.compile(f), (a, w))


def test_a_penalty_on_a_gradient_is_not_lost():
    """Without a tape of its own the gradient would count as a constant, and only the rest would be differentiated."""
    grads = []
    for function in (f, gc.compile(f)):
        a, w, _ = leaves()
        y = function(a, w).sum()
        (g,) = torch.autograd.grad(y, a, create_graph=True)
        (y + g.square().sum()).backward()
        grads.append((a.grad, w.grad))
    for got, want in zip(grads[1], grads[0], strict=True):
        torch.testing.assert_close(got, want)


def test_random_draws_are_the_same_in_every_order():
    a = torch.ones(1000, requires_grad=True)
    y = gc.compile(lambda a: (gc.nn.functional.dropout(a, 0.5, True) ** 3).sum())(a)
    (g,) = torch.autograd.grad(y, a, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), a)
    torch.testing.assert_close(h, 2 * g.detach())


@pytest.mark.parametrize("change", [lambda w: w.add_(1), lambda w: w[0].mul_(2), lambda w: w.t().zero_()])
def test_a_saved_tensor_that_is_written_to(change):
    for function in (f, gc.compile(f)):
        a, w = torch.tensor(X, requires_grad=True), torch.tensor(X)
        y = function(a, w)
        change(w)
        with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
            y.sum().backward()
        assert a.grad is None


def test_a_tensor_that_is_not_saved_may_be_written_to():
    a, w = torch.tensor(X, requires_grad=True), torch.tensor(X)
    y = gc.compile(lambda a, w: (a * 2 + w).sum())(a, w)
    w.add_(1)
    y.backward()
    assert (a.grad == 2).all()


def test_leaves_may_change_after_the_last_backward():
    a = torch.tensor(X, requires_grad=True)
    square = gc.compile(lambda a: (a * a).sum())
    for _ in range(2):
        a.grad = None
        square(a).backward()
        torch.testing.assert_close(a.grad, 2 * a.detach())
        with torch.no_grad():
            a.sub_(0.1 * a.grad)
