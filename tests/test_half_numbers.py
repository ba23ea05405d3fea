"""Python numbers beside half tensors are float32, as in torch: neither rounded to the half type nor infinite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import gradc as gc

N = 100_000
LOSSES: dict[str, Callable[..., Any]] = {
    "mean": lambda lib, x: (x * x).mean(),
    "mse": lambda lib, x: lib.nn.functional.mse_loss(x, lib.zeros_like(x)),
    "huber": lambda lib, x: lib.nn.functional.huber_loss(x, lib.zeros_like(x), delta=0.3),
    "scaled by hand": lambda lib, x: (x * 3e-5).sum(),
    "beyond float16": lambda lib, x: (x / 1e5).sum(),
}
KINDS = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LOSSES)
def test_losses_over_many_elements(name: str, kind: str, rng: np.random.Generator) -> None:
    f = LOSSES[name]
    a = rng.standard_normal(N).astype(KINDS[kind])
    t = torch.tensor(a.astype(np.float32)).to(getattr(torch, kind)).requires_grad_()
    want = f(torch, t)
    want.backward()
    assert t.grad is not None
    expected = t.grad.float().numpy()
    x = gc.tensor(a, requires_grad=True)
    f(gc, x).backward()
    program = gc.build(lambda x: f(gc, x), gc.spec((N,), kind, requires_grad=True))
    found = {"eager": x.grad.numpy(), **{e: program(a, executor=e)[1][0] for e in ("reference", "tiled")}}
    for how, grad in found.items():
        assert grad.dtype == a.dtype
        # Two roundings to the half type, and a subnormal's spacing.
        tolerance = 2.0**-6 if kind == "bfloat16" else 2.0**-9
        np.testing.assert_allclose(grad.astype(np.float32), expected, rtol=tolerance, atol=6e-8, err_msg=how)
        assert np.count_nonzero(grad) > 0.9 * np.count_nonzero(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_not_rounded_first(kind: str, rng: np.random.Generator) -> None:
    a = rng.standard_normal(999).astype(KINDS[kind])
    t = torch.tensor(a.astype(np.float32)).to(getattr(torch, kind))
    for f in (lambda x: x * 0.1, lambda x: x + 0.1, lambda x: 0.1 - x, lambda x: x / 0.3):
        # In float32 and rounded once: torch's product and quotient, and its sum on CUDA (on a CPU it rounds 0.1 first).
        want = f(t.float()).to(t.dtype).float().numpy()
        assert np.array_equal(f(gc.tensor(a)).numpy().astype(np.float32), want)
        program = gc.build(f, gc.spec((999,), kind))
        for executor in ("reference", "tiled", "triton-interpreter"):
            assert np.array_equal(np.asarray(program(a, executor=executor)[0]).astype(np.float32), want), executor
