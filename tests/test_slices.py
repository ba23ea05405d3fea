"""Losses of differences between neighbours: one kernel that reads its input once, with torch's values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import gradc as gc

LOSSES: dict[str, Callable[..., Any]] = {
    "total variation": lambda lib, x: (x[:, 1:] - x[:, :-1]).abs().mean() + (x[1:] - x[:-1]).square().sum(),
    "second difference": lambda lib, x: (x[2:] - 2 * x[1:-1] + x[:-2]).square().mean(),
    "every other": lambda lib, x: (x[:, ::2].sin()).sum(),
    "a corner": lambda lib, x: x[1:, 3:].exp().sum(),
    "a spread scalar": lambda lib, x: x[:-1].sum(),
    "huber of a lag": lambda lib, x: lib.nn.functional.huber_loss(x[3:], x[:-3], delta=0.3),
    "joined": lambda lib, x: (lib.cat([x[1:].tanh(), x[:1].neg()]) * x).sum(),
    "corner of a corner": lambda lib, x: x[1:, 2:][:-3, 1:].exp().sum(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_neighbours(name: str, rng: np.random.Generator) -> None:
    f = LOSSES[name]
    a = rng.standard_normal((19, 23)).astype(np.float32)
    t = torch.tensor(a, requires_grad=True)
    want = f(torch, t)
    want.backward()
    program = gc.build(lambda x: f(gc, x), gc.spec((19, 23), "float32", requires_grad=True), target="cuda:90")
    assert t.grad is not None
    for executor in ("reference", "tiled", "triton-interpreter"):
        value, (grad,) = program(a, executor=executor)
        np.testing.assert_allclose(value, want.item(), rtol=1e-5)
        np.testing.assert_allclose(grad, t.grad.numpy(), rtol=1e-4, atol=1e-6)
    counts = program.report().to_json()
    assert len(program.kernels) == 1
    # What reads half of its input is read by itself, and again with its gradient.
    assert counts["bytes_moved"] <= (1.3 if name == "every other" else 1) * counts["bytes_min"]


def test_what_lies_outside_of_a_slice_is_not_seen() -> None:
    a = np.array([-1.0, 0.0, 2.0, np.nan], np.float32)
    program = gc.build(lambda x: x[2:3].log().sum(), gc.spec("f32[4]", requires_grad=True))
    for executor in ("reference", "tiled", "triton-interpreter"):
        value, (grad,) = program(a, executor=executor)
        assert value == np.log(np.float32(2.0))
        assert grad.tolist() == [0.0, 0.0, 0.5, 0.0]


def test_large_differences_are_two_launches_of_least_bytes() -> None:
    def f(x: Any) -> Any:
        return (x[:, 1:] - x[:, :-1]).abs().mean() + (x[1:] - x[:-1]).abs().mean()

    program = gc.build(f, gc.spec("f32[2048,2048]", requires_grad=True), target="cuda:90")
    counts = program.report().to_json()
    assert len(program.kernels) == 2
    assert counts["bytes_moved"] <= 1.01 * counts["bytes_min"]


@pytest.mark.parametrize(
    ("shape", "offset"), [((19, 23), 0), ((23, 19), 0), ((7, 9), 1), ((9, 7), -4), ((5, 5), 2), ((3, 4), 9)]
)
def test_diagonals_are_no_copies(shape: tuple[int, int], offset: int, rng: np.random.Generator) -> None:
    a = rng.standard_normal(shape).astype(np.float32)
    t = torch.tensor(a, requires_grad=True)
    (torch.diagonal(t, offset) - 1).square().sum().backward()
    program = gc.build(
        lambda x: (gc.diagonal(x, offset) - 1).square().sum(), gc.spec(shape, "float32", requires_grad=True)
    )
    assert t.grad is not None
    assert len(program.kernels) <= 2
    for executor in ("reference", "tiled", "triton-interpreter"):
        np.testing.assert_allclose(program(a, executor=executor)[1][0], t.grad.numpy(), rtol=1e-6)
