"""Empty pieces beside others: a kernel that runs no program must not be the one that computes what has elements."""

from __future__ import annotations

import numpy as np
import pytest

import gradc as gc

torch = pytest.importorskip("torch", reason="torch is the reference")
EXECUTORS = ["reference", "tiled", "triton-interpreter"]


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("widths", [(1, 0, 1), (0, 1, 2), (1, 3, 0, 2, 1), (0, 0)])
def test_concatenation_of_empty_and_narrow_pieces(widths, executor):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((3, k), np.float32) for k in widths]
    ct = rng.standard_normal((3, sum(widths)), np.float32)
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    want = torch.cat(theirs, 1).softmax(1)
    wanted = torch.autograd.grad(want, theirs, torch.tensor(ct))
    specs = [gc.spec(a.shape, requires_grad=True) for a in arrays]
    prog = gc.build(lambda *x: gc.cat(x, 1).softmax(1), *specs, cotangent=gc.spec(ct.shape), name="pieces")
    value, grads = prog(*arrays, ct, executor=executor)
    np.testing.assert_allclose(value, want.detach(), rtol=1e-5)
    for g, w in zip(grads, wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_slices_of_one_value_some_of_them_empty(executor):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    cuts = ((0, 1), (1, 1), (1, 2), (2, 2), (2, 4))
    f = gc.compile(lambda x: tuple((x * 2)[:, a:b] + 0 for a, b in cuts), executor=executor)
    for got, (a, b) in zip(f(x), cuts, strict=True):
        np.testing.assert_array_equal(got, 2 * x[:, a:b])
