"""Scans, sorting and selection by rank against torch, by meaning and by decomposition."""

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
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_scans(name: str, dim: int, rng: np.random.Generator) -> None:
    f = getattr(torch, name)
    attrs = {"dim": dim, "reverse": False}
    against_torch(name, [_x(rng)], attrs, lambda x: f(x, dim))
    x = _x(rng)
    x[0, 1, 2] = x[2, 1, 2] = x[2, 3, 2] = 0
    against_torch(name, [x], attrs, lambda x: f(x, dim))
    against_torch(name, [rng.integers(1, 4, (2, 3, 3)).astype(np.int32)], attrs, lambda x: f(x, dim), active=())


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_long_scans_go_by_blocks(name: str, rng: np.random.Generator) -> None:
    f = getattr(torch, name)
    attrs = {"dim": 0, "reverse": False}
    against_torch(name, [rng.uniform(0.9, 1.1, (259, 2))], attrs, lambda x: f(x, 0), second=False)
    against_torch(name, [np.asarray(2.0)], attrs, lambda x: f(x, 0))
    against_torch(name, [np.zeros((0, 2))], attrs, lambda x: f(x, 0))
    back = {"dim": 0, "reverse": True}
    against_torch(name, [rng.uniform(0.9, 1.1, (300,))], back, lambda x: f(x.flip(0), 0).flip(0), second=False)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_sort(dim: int, descending: bool, rng: np.random.Generator) -> None:
    attrs = {"dim": dim, "descending": descending}

    def stable(x: Any) -> Any:
        return torch.sort(x, dim=dim, descending=descending, stable=True)

    ties = rng.integers(0, 3, (3, 4, 5))
    against_torch("sort", [_x(rng)], attrs, stable)
    against_torch("sort", [ties.astype(np.float64)], attrs, stable, second=False)
    against_torch("sort", [np.where(ties == 1, math.nan, ties)], attrs, stable, second=False)
    against_torch("sort", [ties], attrs, stable, active=())
    against_torch("sort", [ties > 1], attrs, stable, active=())
    against_torch("argsort", [ties], attrs, lambda x: stable(x)[1], active=())
    against_torch("sort", [np.zeros((0, 2, 3))], attrs, stable, second=False)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("k", [0, 1, 3, 4])
def test_topk_and_kthvalue(k: int, largest: bool, rng: np.random.Generator) -> None:
    x = _x(rng)
    attrs = {"k": k, "dim": 1, "largest": largest}
    against_torch("topk", [x], attrs, lambda x: torch.topk(x, k, 1, largest))
    if k:
        against_torch(
            "kthvalue", [x], {"k": k, "dim": 1, "keepdim": largest}, lambda x: torch.kthvalue(x, k, 1, largest)
        )


def test_order_of_scalars() -> None:
    one = np.asarray(3.0)
    against_torch("sort", [one], {"dim": 0, "descending": False}, lambda x: x.sort())
    against_torch("topk", [one], {"k": 1, "dim": 0, "largest": True}, lambda x: x.topk(1))
    against_torch("kthvalue", [one], {"k": 1, "dim": 0, "keepdim": False}, lambda x: x.kthvalue(1))
    against_torch("median", [one], {"dim": 0, "keepdim": False}, lambda x: x.median(0))
    against_torch("max", [one], {"dim": 0, "keepdim": False}, lambda x: x.max(0))
    against_torch("median_all", [np.zeros(0)], {}, torch.median, second=False)
    against_torch("median_all", [np.array([[4.0, 1.0], [3.0, 2.0]])], {}, torch.median, second=False)


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("name", ["cummax", "cummin", "logcumsumexp"])
def test_running_extremes_and_logsumexp(name: str, dim: int, rng: np.random.Generator) -> None:
    f = getattr(torch, name)
    against_torch(name, [_x(rng)], {"dim": dim}, lambda x: f(x, dim))
    against_torch(name, [rng.integers(0, 3, (3, 4, 5)).astype(float)], {"dim": dim}, lambda x: f(x, dim), second=False)
    against_torch(name, [np.zeros((0, 2, 3))], {"dim": dim}, lambda x: f(x, dim), second=False)
    against_torch(name, [np.asarray(2.0)], {"dim": 0}, lambda x: f(x, 0), second=False)
    wide_range = np.array([[-1000.0, 0.0, 1000.0], [-np.inf, -np.inf, 1.0], [1.0, np.inf, 2.0]])
    against_torch(name, [wide_range], {"dim": 1}, lambda x: f(x, 1), active=())


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_running_extremes_of_integers_and_nan(name: str, rng: np.random.Generator) -> None:
    f = getattr(torch, name)
    for x in (rng.integers(-2, 3, (3, 6)), rng.integers(0, 5, (3, 6)).astype(np.uint8), rng.random((2, 5)) > 0.5):
        against_torch(name, [x], {"dim": 1}, lambda x: f(x, 1), active=())
    nan = np.array([[1.0, math.nan, 3.0, math.nan, 0.0]])
    against_torch(name, [nan], {"dim": 1}, lambda x: f(x, 1), second=False)
