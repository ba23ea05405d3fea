"""Losses against torch: the records by meaning and decomposition, and the spellings of nn.functional."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tape import against_torch, run, sentence

from gradc.ir.errors import GradIndexError, GradRuntimeError, GradValueError
from gradc.ir.op import REGISTRY
from gradc.ir.types import f32, i32, i64, tensor

torch = pytest.importorskip("torch", reason="torch is the oracle")
F = torch.nn.functional

REDUCTIONS = ("mean", "sum", "none")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    ("name", "attrs", "f"),
    [
        ("mse_loss", {}, F.mse_loss),
        ("smooth_l1_loss", {"knee": 1.0}, F.smooth_l1_loss),
        (
            "smooth_l1_loss",
            {"knee": 0.3},
            lambda x, t, reduction: F.smooth_l1_loss(x, t, reduction=reduction, beta=0.3),
        ),
        (
            "smooth_l1_loss",
            {"knee": 0.0},
            lambda x, t, reduction: F.smooth_l1_loss(x, t, reduction=reduction, beta=0.0),
        ),
        ("huber_loss", {"knee": 1.0}, F.huber_loss),
        ("huber_loss", {"knee": 0.4}, lambda x, t, reduction: F.huber_loss(x, t, reduction=reduction, delta=0.4)),
    ],
)
def test_losses_of_a_difference(name: str, attrs: Any, f: Any, reduction: str, rng: np.random.Generator) -> None:
    x, t = rng.standard_normal((2, 3, 4))
    t[0, 0] = x[0, 0]
    all_attrs = {"reduction": reduction, **attrs}
    against_torch(name, [x, t], all_attrs, lambda x, t: f(x, t, reduction=reduction), (0, 1))
    against_torch(name, [x, t[0]], all_attrs, lambda x, t: f(x, t, reduction=reduction), (0, 1))
    empty = np.zeros((0, 4))
    against_torch(name, [empty, empty], all_attrs, lambda x, t: f(x, t, reduction=reduction), (0, 1), second=False)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_binary_cross_entropy(weighted: bool, reduction: str, rng: np.random.Generator) -> None:
    x, t, w = rng.uniform(0.05, 0.95, (3, 3, 4))
    weight = [w] if weighted else []

    def f(x: Any, t: Any, w: Any = None) -> Any:
        return F.binary_cross_entropy(x, t, w, reduction=reduction)

    against_torch("binary_cross_entropy", [x, t, *weight], {"reduction": reduction}, f, (0, 1))
    x[0, 0], x[1, 1], x[2, 2] = 0.0, 1.0, 1e-20
    t[0, 0], t[1, 1] = 0.0, 1.0
    against_torch("binary_cross_entropy", [x, t, *weight], {"reduction": reduction}, f, (0, 1), second=False)
    against_torch("binary_cross_entropy", [x, 1 - t, *weight], {"reduction": reduction}, f, (0, 1), second=False)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("positive", [False, True])
def test_binary_cross_entropy_with_logits(
    positive: bool, weighted: bool, reduction: str, rng: np.random.Generator
) -> None:
    x, t = rng.standard_normal((3, 4)) * 3, rng.random((3, 4))
    weights = [rng.random((3, 1))] * weighted + [rng.random(4)] * positive
    attrs = {"reduction": reduction, "positive": positive}

    def f(x: Any, t: Any, *w: Any) -> Any:
        pos = w[-1] if positive else None
        weight = w[0] if weighted else None
        return F.binary_cross_entropy_with_logits(x, t, weight, pos_weight=pos, reduction=reduction)

    against_torch("binary_cross_entropy_with_logits", [x, t, *weights], attrs, f, (0, 1))
    x[0, 0], x[1, 1], x[2, 2] = 800.0, -800.0, 0.0
    against_torch("binary_cross_entropy_with_logits", [x, t, *weights], attrs, f, (0, 1), second=False)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_soft_margin_loss(reduction: str, rng: np.random.Generator) -> None:
    x, t = rng.standard_normal((3, 4)), np.sign(rng.standard_normal((3, 4)))
    against_torch(
        "soft_margin_loss", [x, t], {"reduction": reduction}, lambda x, t: F.soft_margin_loss(x, t, reduction=reduction)
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 5, 3), (2, 5, 3, 2), (0, 5)])
def test_nll_loss(shape: tuple[int, ...], weighted: bool, reduction: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal(shape)
    rows = shape[2:] if len(shape) == 1 else (shape[0], *shape[2:])
    weight = [rng.random(5)] if weighted else []
    for ignore in (-100, 2):
        t = rng.integers(0, 5, rows)
        if t.size > 1:
            t.flat[0] = ignore

        def f(x: Any, t: Any, w: Any = None, ignore: int = ignore) -> Any:
            return F.nll_loss(x, t, w, reduction=reduction, ignore_index=ignore)

        attrs = {"reduction": reduction, "ignore_index": ignore}
        against_torch("nll_loss", [x, t, *weight], attrs, f)
        if len(shape) == 2:
            against_torch("nll_loss", [x, np.where(t < 0, 0, t).astype(np.uint8), *weight], attrs, f, active=())


def test_nll_loss_with_every_target_ignored_is_nan() -> None:
    x, t = np.zeros((2, 3)), np.array([-100, -100])
    attrs = {"reduction": "mean", "ignore_index": -100}
    against_torch("nll_loss", [x, t], attrs, F.nll_loss, second=False)


def test_nll_loss_picks_minus_infinity() -> None:
    x = np.array([[-math.inf, 0.0, -math.inf]])
    attrs = {"reduction": "none", "ignore_index": -100}
    against_torch("nll_loss", [x, np.array([1])], attrs, lambda x, t: F.nll_loss(x, t, reduction="none"), second=False)


def test_a_target_outside_the_classes() -> None:
    x = np.zeros((2, 3), np.float32)
    attrs = {"reduction": "mean", "ignore_index": -100}
    for bad in (7, -1, 2**32 + 1):
        with pytest.raises(GradIndexError, match=sentence(f"Target {bad} is out of bounds.")):
            run("nll_loss", [x, np.array([0, bad])], attrs)
        value, _ = run("nll_loss", [x, np.array([0, bad])], attrs, primitive=True)
        assert np.isnan(value), "a kernel cannot raise, so its loss is NaN"


def test_probabilities_outside_the_unit_interval() -> None:
    t = np.zeros(2, np.float32)
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(GradRuntimeError, match="all elements of input should be between 0 and 1"):
            run("binary_cross_entropy", [np.array([0.5, bad], np.float32), t], {"reduction": "mean"})
        (value,) = run("binary_cross_entropy", [np.array([0.5, bad], np.float32), t], {"reduction": "mean"}, True)
        assert np.isnan(value), "a kernel cannot raise, so its loss is NaN"


ERRORS = [
    ("nll_loss", [tensor((), f32), tensor((), i64)], GradValueError, "Expected 1 or more dimensions (got 0)"),
    (
        "nll_loss",
        [tensor((3, 4), f32), tensor((3,), i32)],
        GradRuntimeError,
        "expected target dtype to be Long or Byte, but got Int",
    ),
    (
        "nll_loss",
        [tensor((3, 4), f32), tensor((2,), i64)],
        GradValueError,
        "Expected input batch_size (3) to match target batch_size (2).",
    ),
    (
        "nll_loss",
        [tensor((3, 4), f32), tensor((3,), i64), tensor((3,), f32)],
        GradRuntimeError,
        "weight tensor should be defined either for all 4 classes or no classes but got weight tensor of shape: [3]",
    ),
    (
        "mse_loss",
        [tensor((3, 4), f32), tensor((2, 4), f32)],
        GradRuntimeError,
        "The size of tensor a (3) must match the size of tensor b (2) at non-singleton dimension 0",
    ),
    ("mse_loss", [tensor((3,), i64), tensor((3,), i64)], NotImplementedError, "\"mse_cpu\" not implemented for 'Long'"),
]


@pytest.mark.parametrize(("name", "types", "error", "text"), ERRORS)
def test_torchs_sentences(name: str, types: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=sentence(text)):
        REGISTRY[f"grad.{name}"].infer(*types, reduction="mean")
