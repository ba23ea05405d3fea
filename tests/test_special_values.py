"""NaN, infinities, signed zeros, tiny and huge numbers through every elementwise op of one or two floats, as torch has
them: values and gradients, on the reference, in NumPy tiles and in Triton's interpreter."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import gradc as gc
from gradc.ir.op import ELEMENTWISE, REGISTRY

SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-30, -1e-30, 3e38, -3e38, 0.5, -0.5, 88.0, -87.0, 104.0, -104.0,
     1e5, -1e5, 2.0, -2.0, 1e-8, 20.1, -20.1],
    np.float32,
)  # fmt: skip
PAIRS = list(np.array(list(itertools.product(SPECIAL, SPECIAL)), np.float32).T)
MIXED = "at NaN torch's scalar and CUDA kernels pass the gradient on, as gradc does; its vectors of 16 give 0"
FAR = "quotients above 2**29 are beyond the kernels (docs/formulas.md), and torch's vectors give NaN for some"
HUGE = "beyond |x| = 1e12 kernels bound the result and no more (docs/formulas.md)"


def far_apart(a: Any, b: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.isfinite(a) & (b != 0) & (np.abs(a.astype(np.float64) / b) > 2.0**29)


APART: dict[str, tuple[Callable[..., Any], str]] = {
    "sin": (lambda x: np.abs(x) > 1e12, HUGE),
    "cos": (lambda x: np.abs(x) > 1e12, HUGE),
    "tan": (lambda x: np.abs(x) > 1e12, HUGE),
    **dict.fromkeys(("fmod", "remainder", "floor_divide"), (far_apart, FAR)),
    **dict.fromkeys(("hardtanh", "hardshrink", "softshrink"), (np.isnan, MIXED)),
    "lgamma": (lambda x: (x == 1) | (x == 2), "kernels leave 2e-15 where the result is 0"),
    "digamma": (lambda x: (x <= 0) & (x == np.floor(x)), "at a pole torch's slope is what rounding leaves"),
    "gelu": (np.isposinf, "gelu(inf) is inf; torch's vectors give inf * (1 + erf(inf)) a NaN"),
    "silu": (lambda x: x < -87.5, "torch's exp(-x) overflows where silu is still a small number"),
    "mish": (lambda x: x < -87.5, "torch's exp(-x) overflows where mish is still a small number"),
}
"""Where gradc deliberately differs from torch on a CPU, and why."""


def unary_and_binary() -> list[str]:
    def asked(name: str) -> bool:
        op = REGISTRY[f"grad.{name}"]
        here = getattr(gc, name, None) or getattr(gc.nn.functional, name, None)
        there = getattr(torch, name, None) or getattr(torch.nn.functional, name, None)
        if here is None or there is None or len(op.operands) > 2:
            return False
        try:
            return bool(there(*[torch.ones(2)] * len(op.operands)).is_floating_point())
        except (TypeError, ValueError, RuntimeError):
            return False

    return sorted(name for full, op in REGISTRY.items() if op.kind == ELEMENTWISE and asked(name := full[5:]))


def close(got: Any, want: Any, skip: Any) -> Any:
    with np.errstate(all="ignore"):
        near = np.abs(got - want) <= 2e-5 * np.abs(want) + 1e-36
    return skip | near | (got == want) | (np.isnan(got) & np.isnan(want))


def test_the_list_is_long() -> None:
    assert len(unary_and_binary()) > 60, unary_and_binary()


@pytest.mark.parametrize("name", unary_and_binary())
def test_special_values_as_torch_has_them(name: str) -> None:
    ours = getattr(gc, name, None) or getattr(gc.nn.functional, name)
    theirs = getattr(torch, name, None) or getattr(torch.nn.functional, name)
    xs = [SPECIAL] if len(REGISTRY[f"grad.{name}"].operands) == 1 else PAIRS
    apart, _ = APART.get(name, (lambda *x: np.zeros(x[0].shape, bool), ""))
    skip = apart(*xs)
    ts = [torch.tensor(x, requires_grad=True) for x in xs]
    want = theirs(*ts)
    gradients: tuple[Any, ...] = (None,) * len(ts)
    if name != "floor_divide" and want.requires_grad:
        gradients = torch.autograd.grad(want, ts, torch.ones_like(want), allow_unused=True)
    specs = [gc.spec(x.shape, "float32", requires_grad=g is not None) for x, g in zip(xs, gradients, strict=True)]
    smooth = any(s.requires_grad for s in specs)
    cotangent = {"cotangent": gc.spec(xs[0].shape, "float32")} if smooth else {}
    program = gc.build(lambda *a: ours(*a), *specs, **cotangent)
    ones = {"cotangent": np.ones(xs[0].shape, np.float32)} if smooth else {}

    def check(how: str, value: Any, grads: Any) -> None:
        pairs = [("value", value, want), *(("gradient", *p) for p in zip(grads, gradients, strict=True))]
        for what, got, other in pairs:
            assert (got is None) == (other is None), (how, what)
            if got is None:
                continue
            expected, found = other.detach().numpy(), np.asarray(got)
            assert found.dtype == np.float32
            wrong = np.flatnonzero(~close(found, expected, skip))
            assert not wrong.size, (how, what, [([x[i] for x in xs], found[i], expected[i]) for i in wrong[:5]])

    for executor in ("reference", "tiled", "triton-interpreter"):
        value, grads = program(*xs, executor=executor, **ones)
        check(executor, value, grads)


ROWS = np.array(
    [[1, 2, 3, 2], [np.nan, 1, 2, 3], [np.inf, 1, 2, 3], [-np.inf, 1, 2, -np.inf], [-np.inf] * 4,
     [np.inf, np.inf, 1, 0], [0, 0, 0, 0], [3e38, 3e38, 1, 1], [1e-40, 1e-38, 0, 1]],
    np.float32,
)  # fmt: skip
TARGETS = [0, 1, 2, 3, 0, 1, 2, 3, 0]
OVER_ROWS: dict[str, Callable[..., Any]] = {
    "softmax": lambda lib, x: lib.softmax(x, 1),
    "softmax of masked": lambda lib, x: lib.softmax(x.masked_fill(x < 0, -np.inf), 1),
    "log_softmax": lambda lib, x: lib.log_softmax(x, 1),
    "logsumexp": lambda lib, x: lib.logsumexp(x, 1),
    "amax": lambda lib, x: x.amax(1),
    "max": lambda lib, x: x.max(1).values,
    "min": lambda lib, x: x.min(1).values,
    "median": lambda lib, x: x.median(1).values,
    "prod": lambda lib, x: x.prod(1),
    "cumsum": lambda lib, x: x.cumsum(1),
    "norm": lambda lib, x: x.norm(dim=1),
    "norm of order 3": lambda lib, x: x.norm(p=3, dim=1),
    "var": lambda lib, x: x.var(1),
    "sort": lambda lib, x: x.sort(1).values,
    "largest by index": lambda lib, x: x.gather(1, x.argmax(1, keepdim=True)),
    "layer_norm": lambda lib, x: lib.nn.functional.layer_norm(x, (4,)),
    "normalize": lambda lib, x: lib.nn.functional.normalize(x, dim=1),
    "bce_with_logits": lambda lib, x: lib.nn.functional.binary_cross_entropy_with_logits(
        x, lib.zeros_like(x), reduction="none"
    ),
    "huber": lambda lib, x: lib.nn.functional.huber_loss(x, lib.zeros_like(x), reduction="none"),
    "smooth_l1": lambda lib, x: lib.nn.functional.smooth_l1_loss(x, lib.ones_like(x), reduction="none"),
    "cross_entropy": lambda lib, x: lib.nn.functional.cross_entropy(x, lib.tensor(TARGETS), reduction="none"),
    "cross_entropy, all ignored": lambda lib, x: lib.nn.functional.cross_entropy(x, lib.tensor([-100] * 9)),
    "cross_entropy, smoothed": lambda lib, x: lib.nn.functional.cross_entropy(
        x, lib.tensor(TARGETS), reduction="none", label_smoothing=0.1
    ),
    "matmul": lambda lib, x: x @ x.T,
}


@pytest.mark.parametrize("name", OVER_ROWS)
def test_special_values_in_rows(name: str) -> None:
    f = OVER_ROWS[name]
    t = torch.tensor(ROWS, requires_grad=True)
    want = f(torch, t)
    (gradient,) = torch.autograd.grad(want, t, torch.ones_like(want))
    cotangent = {"cotangent": gc.spec(tuple(want.shape), "float32")} if want.dim() else {}
    program = gc.build(lambda x: f(gc, x), gc.spec(ROWS.shape, "float32", requires_grad=True), **cotangent)
    ones = {k: np.ones(tuple(want.shape), np.float32) for k in cotangent}
    for executor in ("reference", "tiled", "triton-interpreter"):
        value, (grad,) = program(ROWS, executor=executor, **ones)
        np.testing.assert_allclose(value, want.detach().numpy(), rtol=2e-5, atol=1e-6, err_msg=executor)
        np.testing.assert_allclose(grad, gradient.numpy(), rtol=2e-5, atol=1e-6, err_msg=executor)
