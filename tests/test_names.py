"""Functions of torch that are made of others, compiled, with their gradients. What they print and refuse is in
snippets/names.txt."""

import numpy as np
import pytest

import gradc as gc
from gradc.ir.errors import GradRuntimeError

torch = pytest.importorskip("torch", reason="torch is the reference")

A = np.random.default_rng(5).standard_normal((4, 9)).astype(np.float32)
B = np.random.default_rng(6).standard_normal((3, 9)).astype(np.float32)
COMPILED = {
    "quantile": lambda lib, a, b: a.quantile(lib.tensor([0.3, 0.9]), 1),
    "nanquantile": lambda lib, a, b: a.nanquantile(0.35, 0),
    "cov": lambda lib, a, b: lib.cov(b),
    "corrcoef": lambda lib, a, b: lib.corrcoef(b),
    "cdist": lambda lib, a, b: lib.cdist(a, b),
    "cdist_inf": lambda lib, a, b: lib.cdist(a, b, float("inf")),
    "renorm": lambda lib, a, b: a.renorm(2, 0, 2.5),
    "addr": lambda lib, a, b: lib.addr(a, a[:, 0], a[0], beta=0.5, alpha=2.0),
    "overlapping": lambda lib, a, b: a.unfold(1, 4, 2).exp(),
    "apart": lambda lib, a, b: a.unfold(1, 2, 3).exp(),
    "bucketize": lambda lib, a, b: a * lib.bucketize(a, b[0].sort()[0]),
    "searchsorted": lambda lib, a, b: b * lib.searchsorted(a[:3].sort(1)[0], b, right=True),
    "block_diag": lambda lib, a, b: lib.block_diag(a, b).exp(),
    "trapezoid": lambda lib, a, b: lib.trapezoid(a, a.exp(), dim=1),
    "multi_margin": lambda lib, a, b: lib.nn.functional.multi_margin_loss(a, lib.tensor([1, 5, 0, 8]), p=2),
    "fill_diagonal": lambda lib, a, b: (a * 2).fill_diagonal_(3.0) * a,
}


@pytest.mark.parametrize("executor", ["reference", "tiled", "triton-interpreter"])
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_with_their_gradients(name, executor):
    f = COMPILED[name]
    ts = [torch.tensor(x, requires_grad=True) for x in (A, B)]
    want = f(torch, *ts)
    grads = torch.autograd.grad(want.square().sum(), ts, allow_unused=True)
    made = gc.compile(lambda a, b: f(gc, a, b), executor=executor)
    np.testing.assert_allclose(made(A, B), want.detach().numpy(), rtol=2e-5, atol=2e-6)
    both = gc.value_and_grad(gc.compile(lambda a, b: f(gc, a, b).square().sum(), executor=executor), argnums=(0, 1))
    for g, w in zip(both(A, B)[1], grads, strict=True):
        np.testing.assert_allclose(g, np.zeros_like(g) if w is None else w.numpy(), rtol=2e-4, atol=2e-5)


def test_windows_that_overlap_may_not_be_written_to():
    message = "more than one element of the written-to tensor"

    def write(x):
        y = x * 1
        y.unfold(0, 3, 2).mul_(2)
        return y

    for f in (write, gc.compile(write)):
        with pytest.raises(GradRuntimeError, match=message):
            f(gc.arange(6.0))
    apart = gc.compile(lambda x: (y := x * 1).unfold(0, 2, 3).mul_(5) is None or y)
    assert apart(gc.arange(7.0)).tolist() == [0, 5, 2, 15, 20, 5, 6]
