"""Normalisation layers against torch: values, gradients of input, weight and bias, second order, statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tape import Tape, Var, against_torch, sentence

from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import REGISTRY
from gradc.ir.types import bf16, f16, f32, i64, tensor

torch = pytest.importorskip("torch", reason="torch is the oracle")
F = torch.nn.functional

PARAMS = [(False, False), (True, False), (True, True), (False, True)]
"""Weight, bias. With a bias alone torch raises in second order, and for group norm already in first: not compared."""


def _split(params: Any, weight: bool, bias: bool) -> tuple[Any, Any]:
    return (params[0] if weight else None), (params[-1] if bias else None)


@pytest.mark.parametrize(("weight", "bias"), PARAMS)
@pytest.mark.parametrize("shape", [(5,), (4, 5), (3, 4, 5)])
def test_layer_norm(shape: tuple[int, ...], weight: bool, bias: bool, rng: np.random.Generator) -> None:
    params = [rng.standard_normal(shape) for _ in range(weight + bias)]
    attrs = {"normalized_shape": shape, "eps": 1e-3, "bias": bias}

    def f(x: Any, *p: Any) -> Any:
        return torch.native_layer_norm(x, shape, *_split(p, weight, bias), 1e-3)

    x = rng.standard_normal((3, 4, 5))
    against_torch(
        "layer_norm", [x, *params], attrs, lambda *a: f(*a)[0], tuple(range(1 + len(params))), weight or not bias
    )
    (_, mean, rstd), want = _forward("layer_norm", [x, *params], attrs), f(*map(torch.tensor, (x, *params)))
    np.testing.assert_allclose(mean, want[1].numpy(), atol=1e-12)
    np.testing.assert_allclose(rstd, want[2].numpy(), atol=1e-12)


def _forward(name: str, arrays: Any, attrs: Any) -> Any:
    b = Tape()
    return tuple(o.v for o in b.apply(REGISTRY[f"grad.{name}"], [Var(b, a) for a in arrays], attrs))


@pytest.mark.parametrize("weight", [False, True])
@pytest.mark.parametrize("shape", [(5,), (4, 5)])
def test_rms_norm(shape: tuple[int, ...], weight: bool, rng: np.random.Generator) -> None:
    params = [rng.standard_normal(shape)] if weight else []
    attrs = {"normalized_shape": shape, "eps": 1e-3}
    x = rng.standard_normal((3, 4, 5))
    against_torch(
        "rms_norm", [x, *params], attrs, lambda x, w=None: F.rms_norm(x, shape, w, 1e-3), tuple(range(1 + weight))
    )


@pytest.mark.parametrize(("weight", "bias"), PARAMS)
@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 5), (2, 4, 3, 2)])
def test_batch_norm(shape: tuple[int, ...], weight: bool, bias: bool, rng: np.random.Generator) -> None:
    x = rng.standard_normal(shape)
    params = [rng.standard_normal(4) for _ in range(weight + bias)]
    attrs = {"eps": 1e-3, "bias": bias}
    every = tuple(range(1 + len(params)))
    against_torch(
        "batch_norm",
        [x, *params],
        attrs,
        lambda x, *p: F.batch_norm(x, None, None, *_split(p, weight, bias), True, 0.1, 1e-3),
        every,
        weight or not bias,
    )
    mean, var = rng.standard_normal(4), rng.uniform(0.5, 2, 4)
    against_torch(
        "batch_norm_eval",
        [x, mean, var, *params],
        attrs,
        lambda x, m, v, *p: F.batch_norm(x, m, v, *_split(p, weight, bias), False, 0.1, 1e-3),
        (0, *(i + 2 for i in every[1:])),
        weight or not bias,
    )


@pytest.mark.parametrize(("weight", "bias"), PARAMS[:3])
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("shape", [(3, 6, 4), (2, 6, 3, 2)])
def test_group_norm(shape: tuple[int, ...], groups: int, weight: bool, bias: bool, rng: np.random.Generator) -> None:
    params = [rng.standard_normal(6) for _ in range(weight + bias)]
    attrs = {"groups": groups, "eps": 1e-3, "bias": bias}
    against_torch(
        "group_norm",
        [rng.standard_normal(shape), *params],
        attrs,
        lambda x, *p: F.group_norm(x, groups, *_split(p, weight, bias), 1e-3),
        tuple(range(1 + len(params))),
        weight or not bias,
    )


def test_empty_batches() -> None:
    x = np.zeros((0, 4))
    attrs = {"normalized_shape": (4,), "eps": 1e-5, "bias": False}
    against_torch("layer_norm", [x], attrs, lambda x: F.layer_norm(x, (4,)), second=False)
    del attrs["bias"]
    against_torch("rms_norm", [x], attrs, lambda x: F.rms_norm(x, (4,), eps=1e-5), second=False)


def test_a_large_offset_does_not_spoil_the_variance(rng: np.random.Generator) -> None:
    x = (rng.standard_normal((4, 64)) + 10_000).astype(np.float32)
    attrs = {"normalized_shape": (64,), "eps": 1e-5, "bias": False}
    want = F.layer_norm(torch.tensor(x).double(), (64,)).numpy()
    for primitive in (False, True):
        b = Tape(primitive)
        got = b.layer_norm(Var(b, x), **attrs)[0].v
        np.testing.assert_allclose(got, want, atol=2e-3)


@pytest.mark.parametrize("kind", [f16, bf16])
def test_half_types_keep_float32_statistics(kind: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 500)).astype(np.float32).astype(kind.numpy)
    theirs = torch.tensor(x.astype(np.float32)).to(getattr(torch, kind.torch_name)).requires_grad_()
    want = F.layer_norm(theirs, (500,))
    ct = rng.standard_normal((4, 500)).astype(np.float32).astype(kind.numpy)
    want.backward(torch.tensor(ct.astype(np.float32)).to(want.dtype))
    for primitive in (False, True):
        b = Tape(primitive)
        v = Var(b, x)
        out, mean, rstd = b.layer_norm(v, normalized_shape=(500,), eps=1e-5, bias=False)
        assert (out.dtype, mean.dtype, rstd.dtype) == (kind, f32, f32)
        (grad,) = b.grad([out], [Var(b, ct)], [v])
        step = 1e-2 if kind is bf16 else 2e-3
        for g, w in ((out.v, want.detach()), (grad.v, theirs.grad)):
            np.testing.assert_allclose(g.astype(np.float32), w.float().numpy(), rtol=step, atol=step * 4)


ERRORS = [
    (
        "layer_norm",
        (3, 4),
        f32,
        {"normalized_shape": (3,)},
        GradRuntimeError,
        "Given normalized_shape=[3], expected input with shape [*, 3], but got input of size[3, 4]",
    ),
    ("layer_norm", (4,), i64, {"normalized_shape": (4,)}, NotImplementedError, '"LayerNormKernelImpl" not implemented'),
    (
        "rms_norm",
        (3, 4),
        f32,
        {"normalized_shape": (3,), "eps": 1e-5},
        GradRuntimeError,
        "Given normalized_shape=[3], expected input with shape [*3], but got input of size[3, 4]",
    ),
    (
        "group_norm",
        (3, 4),
        f32,
        {"groups": 3, "eps": 1e-5},
        GradRuntimeError,
        "Expected number of channels in input to be divisible by num_groups, but got input of shape [3, 4] and "
        "num_groups=3",
    ),
]


@pytest.mark.parametrize(("name", "shape", "d", "attrs", "error", "text"), ERRORS)
def test_torchs_sentences(name: str, shape: Any, d: Any, attrs: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=sentence(text)):
        REGISTRY[f"grad.{name}"].infer(tensor(shape, d), **attrs)


gc: Any = pytest.importorskip("gradc", reason="the spellings need the frontend")


def test_running_statistics_follow_torch(rng: np.random.Generator) -> None:
    x = rng.standard_normal((6, 4, 3))
    for T in (gc, torch):
        mean, var = T.zeros(4, dtype=T.float64), T.ones(4, dtype=T.float64)
        a = T.tensor(x, requires_grad=True)
        out = T.nn.functional.batch_norm(a, mean, var, training=True, momentum=0.3)
        assert out.grad_fn.name() == "NativeBatchNormBackward0"
        if T is gc:
            ours = out.detach().numpy(), mean.numpy(), var.numpy()
        else:
            for g, w in zip(ours, (out.detach(), mean, var), strict=True):
                np.testing.assert_allclose(g, w.numpy(), atol=1e-12)


@pytest.mark.parametrize(
    "f",
    [
        lambda T, x: T.nn.functional.layer_norm(x, (5,)),
        lambda T, x: T.nn.functional.rms_norm(x, (5,)),
        lambda T, x: T.nn.functional.group_norm(x, 2),
        lambda T, x: T.nn.functional.instance_norm(x),
        lambda T, x: T.nn.functional.normalize(x, dim=2),
        lambda T, x: T.nn.functional.cosine_similarity(x, x.flip(0)),
        lambda T, x: T.norm(x),
        lambda T, x: x.norm(1, 2),
        lambda T, x: T.linalg.norm(x[0]),
    ],
)
def test_spellings(f: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4, 5))
    ours, theirs = gc.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    got, want = f(gc, ours), f(torch, theirs)
    assert got.grad_fn.name() == want.grad_fn.name()
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), atol=1e-12)
    weight = np.cos(np.arange(want.numel()).reshape(tuple(want.shape)))
    got.backward(gc.tensor(weight))
    want.backward(torch.tensor(weight))
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-12)
