"""softmax, log_softmax and logsumexp against torch, by meaning and by decomposition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tape import against_torch

torch = pytest.importorskip("torch", reason="torch is the oracle")


def _x(rng: np.random.Generator) -> Any:
    return rng.standard_normal((3, 4, 5))


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name: str, dim: int, rng: np.random.Generator) -> None:
    f = getattr(torch, name)
    against_torch(name, [_x(rng)], {"dim": dim}, lambda x: f(x, dim))
    against_torch(name, [_x(rng) * 1000], {"dim": dim}, lambda x: f(x, dim), second=False)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_at_the_edges(name: str) -> None:
    f = getattr(torch, name)
    against_torch(name, [np.asarray(2.0)], {"dim": 0}, lambda x: f(x, 0))
    for shape in ((0, 3), (3, 0)):
        against_torch(name, [np.zeros(shape)], {"dim": 1}, lambda x: f(x, 1))
    inf = np.array([[-math.inf, 0.0, 1.0], [-math.inf] * 3, [0.0, 1.0, math.inf]])
    against_torch(name, [inf], {"dim": 1}, lambda x: f(x, 1), second=False)


def test_logsumexp_of_infinities() -> None:
    x = np.array([[-math.inf, -math.inf], [math.inf, 1.0], [-math.inf, 1.0]])
    attrs = {"dims": (1,), "keepdim": False}
    against_torch("logsumexp", [x], attrs, lambda x: x.logsumexp(1), second=False)
    against_torch("logsumexp", [np.zeros((0, 2))], {"dims": (0,), "keepdim": False}, lambda x: x.logsumexp(0))
    against_torch(
        "logsumexp", [np.arange(4)], {"dims": (0,), "keepdim": False}, lambda x: x.logsumexp(0), (), True, 1e-6
    )
