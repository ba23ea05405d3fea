"""The losses of nn.functional, called as torch's are: value, gradient, node name, refusals."""

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

REDUCTIONS = ("mean", "sum", "none")


def both(f: Callable[..., Any], arrays: Any, active: Any = (0,), tolerance: float = 1e-9) -> tuple[Any, Any]:
    """f(namespace, *tensors) in gradc and in torch: same value, gradients, `grad_fn`; the two results."""
    torch.set_num_threads(1)
    ours = [gc.tensor(a, requires_grad=i in active) for i, a in enumerate(arrays)]
    theirs = [torch.tensor(a, requires_grad=i in active) for i, a in enumerate(arrays)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got, want = f(gc, *ours), f(torch, *theirs)
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=tolerance, atol=tolerance)
    assert got.grad_fn.name() == want.grad_fn.name()
    weight = np.cos(np.arange(want.numel()).reshape(tuple(want.shape)))
    got.backward(gc.tensor(weight))
    want.backward(torch.tensor(weight))
    for i in active:
        np.testing.assert_allclose(ours[i].grad.numpy(), theirs[i].grad.numpy(), rtol=tolerance, atol=tolerance)
    return got, want


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "f",
    [
        lambda T, r, x, t, u: T.nn.functional.mse_loss(x, t, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.l1_loss(x, t, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.smooth_l1_loss(x, t, reduction=r, beta=0.5),
        lambda T, r, x, t, u: T.nn.functional.huber_loss(x, t, reduction=r, delta=0.5),
        lambda T, r, x, t, u: T.nn.functional.binary_cross_entropy(x.sigmoid(), u, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.binary_cross_entropy_with_logits(x, u, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.kl_div(x, u, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.kl_div(x, t, reduction=r, log_target=True),
        lambda T, r, x, t, u: T.nn.functional.poisson_nll_loss(x, u, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.poisson_nll_loss(x.exp(), u * 4, log_input=False, full=True, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.gaussian_nll_loss(x, t, u, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.gaussian_nll_loss(x, t, u, full=True, eps=0.5, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.hinge_embedding_loss(x, t.sign(), reduction=r),
        lambda T, r, x, t, u: T.nn.functional.margin_ranking_loss(x, t, u, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.soft_margin_loss(x, t.sign(), reduction=r),
        lambda T, r, x, t, u: T.nn.functional.triplet_margin_loss(x, t, u, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.multilabel_soft_margin_loss(x, u, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.cosine_embedding_loss(x, t, t[:, 0].sign(), reduction=r),
        lambda T, r, x, t, u: T.nn.functional.cross_entropy(x, u, reduction=r),
        lambda T, r, x, t, u: T.nn.functional.cross_entropy(x, u, u[0], reduction=r, label_smoothing=0.2),
    ],
)
def test_spellings(f: Any, reduction: str, rng: np.random.Generator) -> None:
    x, t = rng.standard_normal((2, 3, 4))
    u = rng.uniform(0.1, 0.9, (3, 4))
    both(lambda T, x, t, u: f(T, reduction, x, t, u), [x, t, u])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 5, 3, 2)])
def test_cross_entropy(
    shape: tuple[int, ...], weighted: bool, smoothing: float, reduction: str, rng: np.random.Generator
) -> None:
    x, w = rng.standard_normal(shape), rng.random(5)
    t = rng.integers(0, 5, () if len(shape) == 1 else (shape[0], *shape[2:]))
    if t.size > 1:
        t.flat[0] = -100

    def f(T: Any, x: Any, t: Any, w: Any) -> Any:
        weight = w if weighted else None
        return T.nn.functional.cross_entropy(x, t, weight, reduction=reduction, label_smoothing=smoothing)

    both(f, [x, t, w])


def test_kl_div_by_the_batch(rng: np.random.Generator) -> None:
    x, u = rng.standard_normal((3, 4)), rng.uniform(0, 1, (3, 4))
    u[0, 0] = 0
    both(lambda T, x, u: T.nn.functional.kl_div(x, u, reduction="batchmean"), [x, u])


def test_losses_refuse_what_torch_refuses() -> None:
    x = [[0.1, 0.2], [0.3, 0.4]]

    def refused(f: Callable[[Any, Any], Any]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                f(torch, torch.tensor(x))
            except (RuntimeError, ValueError, IndexError) as error:
                kind, text = type(error), str(error).split("\n")[0]
            with pytest.raises(GradcError, match=sentence(text)) as caught:
                f(gc, gc.tensor(x))
        assert issubclass(caught.type, kind.__mro__[0] if kind is not NotImplementedError else RuntimeError)

    refused(lambda T, x: T.nn.functional.mse_loss(x, x, reduction="x"))
    refused(lambda T, x: T.nn.functional.binary_cross_entropy(x, x[0]))
    refused(lambda T, x: T.nn.functional.binary_cross_entropy_with_logits(x, x[0]))
    refused(lambda T, x: T.nn.functional.huber_loss(x, x, delta=0.0))
    refused(lambda T, x: T.nn.functional.smooth_l1_loss(x, x, beta=-1.0))
    refused(lambda T, x: T.nn.functional.cross_entropy(x, T.tensor([0, 1]), label_smoothing=2.0))
    refused(lambda T, x: T.nn.functional.cross_entropy(x, T.tensor([0, 7])))
    refused(lambda T, x: T.nn.functional.cross_entropy(x, T.tensor([0])))


def test_a_broadcast_target_warns() -> None:
    with pytest.warns(UserWarning, match="Using a target size"):
        gc.nn.functional.mse_loss(gc.zeros(3, 4), gc.zeros(4))


def test_a_norm_and_cross_entropy_compiled(rng: np.random.Generator) -> None:
    def loss(x: Any, w: Any, b: Any, t: Any) -> Any:
        return gc.nn.functional.cross_entropy(gc.nn.functional.layer_norm(x, (8,), w, b), t)

    compiled = gc.compile(loss)
    for _ in range(5):
        arrays = [rng.standard_normal(s).astype(np.float32) for s in ((6, 8), (8,), (8,))]
        t = rng.integers(0, 8, 6)
        results = []
        for f in (loss, compiled):
            args = [gc.tensor(a, requires_grad=True) for a in arrays]
            value = f(*args, gc.tensor(t))
            value.backward()
            results.append([value.detach().numpy(), *(a.grad.numpy() for a in args)])
        for eager, fused in zip(*results, strict=True):
            np.testing.assert_allclose(fused, eager, rtol=1e-5, atol=1e-6)
