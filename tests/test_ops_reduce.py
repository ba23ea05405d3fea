"""Reductions, statistics and extremes against torch, by meaning and by decomposition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tape import against_torch

torch = pytest.importorskip("torch", reason="torch is the oracle")

AXES = [(0, 1, 2), (1,), (0, 2), (2,), (0,)]


def _x(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape or (3, 4, 5))


REDUCTIONS = {
    "sum": torch.sum,
    "mean": torch.mean,
    "amax": torch.amax,
    "amin": torch.amin,
    "logsumexp": torch.logsumexp,
    "nansum": torch.nansum,
}


@pytest.mark.parametrize("dims", AXES)
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_over_any_axes(name: str, dims: tuple[int, ...], keepdim: bool, rng: np.random.Generator) -> None:
    f = REDUCTIONS[name]
    against_torch(name, [_x(rng)], {"dims": dims, "keepdim": keepdim}, lambda x: f(x, dim=dims, keepdim=keepdim))


@pytest.mark.parametrize("name", [*REDUCTIONS, "prod"])
def test_reductions_of_a_scalar(name: str, rng: np.random.Generator) -> None:
    f = torch.prod if name == "prod" else REDUCTIONS[name]
    against_torch(name, [np.asarray(1.5)], {"dims": (), "keepdim": False}, lambda x: f(x, dim=0))


@pytest.mark.parametrize("zeros", [(), (3,), (3, 7)])
@pytest.mark.parametrize("n", [1, 5, 16, 17, 40])
def test_prod_is_right_with_zeros_in_both_orders(n: int, zeros: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.uniform(0.5, 1.5, (2, n)) * rng.choice([-1.0, 1.0], (2, n))
    for z in zeros:
        x[0, z % n] = 0
    against_torch("prod", [x], {"dims": (1,), "keepdim": False}, lambda x: x.prod(1))
    against_torch("prod", [x], {"dims": (0, 1), "keepdim": False}, lambda x: x.prod())
    against_torch("prod", [x], {"dims": (0,), "keepdim": True}, lambda x: x.prod(0, keepdim=True))


def test_long_products_go_by_blocks(rng: np.random.Generator) -> None:
    x = rng.uniform(0.9, 1.1, (2, 300))
    x[1, 299] = 0
    against_torch("prod", [x], {"dims": (1,), "keepdim": False}, lambda x: x.prod(1), second=False)


@pytest.mark.parametrize("name", ["amax", "amin"])
def test_ties_share_the_gradient(name: str) -> None:
    x = np.array([[1.0, 2.0, 2.0, 1.0], [3.0, 3.0, 3.0, 3.0]])
    against_torch(name, [x], {"dims": (1,), "keepdim": False}, lambda x: getattr(torch, name)(x, 1))
    against_torch(f"{name[1:]}_all", [x], {}, lambda x: getattr(torch, name[1:])(x))


@pytest.mark.parametrize("name", ["max_all", "min_all", "median_all"])
def test_nan_takes_the_gradient_of_a_whole_reduction(name: str) -> None:
    x = np.array([math.nan, 1.0, math.nan, 2.0])
    against_torch(name, [x], {}, getattr(torch, name.removesuffix("_all")), second=False)


def test_nan_in_amax_spoils_the_gradient_as_in_torch() -> None:
    x = np.array([[math.nan, 1.0, 2.0], [0.0, 1.0, 2.0]])
    against_torch("amax", [x], {"dims": (1,), "keepdim": False}, lambda x: x.amax(1), second=False)


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("name", ["max", "min", "median"])
def test_values_with_indices(name: str, dim: int, keepdim: bool, rng: np.random.Generator) -> None:
    f = getattr(torch, name)
    attrs = {"dim": dim, "keepdim": keepdim}
    against_torch(name, [_x(rng)], attrs, lambda x: f(x, dim, keepdim))
    with_nan = _x(rng)
    with_nan[1, 2, 3] = with_nan[0, 2, 1] = math.nan
    against_torch(name, [with_nan], attrs, lambda x: f(x, dim, keepdim), second=False)
    against_torch(name, [rng.permutation(60).reshape(3, 4, 5)], attrs, lambda x: f(x, dim, keepdim), active=())


@pytest.mark.parametrize("name", ["max", "min"])
def test_the_first_of_equal_elements_is_taken(name: str) -> None:
    x = np.array([[1.0, 2.0, 2.0, 1.0], [3.0, 3.0, 3.0, 3.0]])
    against_torch(name, [x], {"dim": 1, "keepdim": False}, lambda x: getattr(torch, name)(x, 1))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions_of_extremes(name: str, rng: np.random.Generator) -> None:
    f = getattr(torch, name)
    x = rng.integers(0, 3, (3, 4, 5))
    for a in (x, x.astype(np.float64), np.where(x == 2, math.nan, x)):
        for dim in range(3):
            against_torch(name, [a], {"dim": dim, "keepdim": False}, lambda x, d=dim: f(x, d), active=())
    against_torch(name, [np.asarray(2.0)], {"dim": 0, "keepdim": False}, lambda x: f(x, 0), active=())


@pytest.mark.parametrize("correction", [0, 1, 3, 0.5])
@pytest.mark.parametrize("dims", AXES)
@pytest.mark.parametrize("name", ["var", "std", "var_mean", "std_mean"])
def test_spreads(name: str, dims: tuple[int, ...], correction: float, rng: np.random.Generator) -> None:
    free = math.prod((3, 4, 5)[d] for d in dims) > correction
    f = getattr(torch, name)
    attrs = {"dims": dims, "keepdim": True, "correction": correction}
    against_torch(name, [_x(rng)], attrs, lambda x: f(x, dim=dims, keepdim=True, correction=correction), second=free)


def test_too_few_elements_for_a_spread() -> None:
    for n, correction in ((1, 1), (2, 3), (1, 0)):
        attrs = {"dims": (0,), "keepdim": False, "correction": correction}
        x = np.arange(n) + 0.5
        against_torch("var", [x], attrs, lambda x, c=correction: torch.var(x, dim=0, correction=c), second=False)
        against_torch("std", [x], attrs, lambda x, c=correction: torch.std(x, dim=0, correction=c), second=False)


def test_deviation_of_equal_elements_has_gradient_zero() -> None:
    attrs = {"dims": (1,), "keepdim": False, "correction": 1}
    against_torch("std", [np.full((2, 3), 4.0)], attrs, lambda x: x.std(1), second=False)


@pytest.mark.parametrize("p", [0.0, 1.0, 2.0, math.inf, -math.inf, 3.0, 1.5, 0.5, 4.0])
@pytest.mark.parametrize("dims", AXES)
def test_vector_norms(p: float, dims: tuple[int, ...], rng: np.random.Generator) -> None:
    x = _x(rng)
    attrs = {"p": p, "dims": dims, "keepdim": False}
    against_torch("vector_norm", [x], attrs, lambda x: torch.linalg.vector_norm(x, p, dims))
    x[1, 1, 1] = 0
    against_torch("vector_norm", [x], attrs, lambda x: torch.linalg.vector_norm(x, p, dims), second=False)


@pytest.mark.parametrize("p", [0.0, 1.0, 2.0, math.inf, -math.inf, 3.0, 1.5])
def test_norm_of_zeros_has_torchs_subgradient(p: float) -> None:
    attrs = {"p": p, "dims": (0,), "keepdim": False}
    against_torch("vector_norm", [np.zeros(3)], attrs, lambda x: torch.linalg.vector_norm(x, p), second=False)


@pytest.mark.parametrize("name", ["any", "all"])
def test_quantifiers(name: str, rng: np.random.Generator) -> None:
    x = rng.random((3, 4)) > 0.4
    for dims in ((0,), (1,), (0, 1)):
        attrs = {"dims": dims, "keepdim": False}
        against_torch(name, [x], attrs, lambda x, d=dims: getattr(torch, name)(x, dim=d), active=())
        empty = np.zeros((0, 2), bool)
        against_torch(name, [empty], attrs, lambda x, d=dims: getattr(torch, name)(x, dim=d), active=())


def test_count_nonzero(rng: np.random.Generator) -> None:
    for x in (rng.integers(0, 2, (3, 4)), rng.random((3, 4)) > 0.5, np.array([[math.nan, 0.0]])):
        against_torch("count_nonzero", [x], {"dims": (1,)}, lambda x: torch.count_nonzero(x, 1), active=())


def test_nansum_passes_nothing_to_nan() -> None:
    x = np.array([[1.0, math.nan, 3.0], [math.nan] * 3])
    against_torch("nansum", [x], {"dims": (1,), "keepdim": False}, lambda x: x.nansum(1), second=False)
