"""The numeric formulas on NumPy: their error in units in the last place, and what they make of special values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tree
from tile_numpy import TileNumpy, run_formula

from gradc.ir import formulas, formulas_power, formulas_trig
from gradc.ir.build import Var
from gradc.ir.formulas_erf import erf, erf_array, erfc, erfc_array
from gradc.ir.op import Op

L = np.longdouble
INF, NAN = np.inf, np.nan


def spread(rng: np.random.Generator, lo: float, hi: float, *, signed: bool = True, n: int = 4000) -> Any:
    """Magnitudes spread evenly over the decades from lo to hi."""
    x = 10 ** rng.uniform(np.log10(lo), np.log10(hi), n)
    return x * rng.choice([-1.0, 1.0], n) if signed else x


def ulps(got: Any, exact: Any) -> float:
    """The largest error in units in the last place; infinities and NaN must agree."""
    rounded = exact.astype(got.dtype)
    finite = np.isfinite(rounded) & np.isfinite(got)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    error = np.abs(got[finite].astype(L) - exact[finite]) / np.spacing(np.abs(rounded[finite]))
    return float(error.max(initial=0.0))


def near_quarter_turns(rng: np.random.Generator) -> Any:
    return np.concatenate([spread(rng, 1e-20, 1.5e6), np.arange(1, 4000) * (np.pi / 2)])


def log1p_points(rng: np.random.Generator) -> Any:
    return np.concatenate([spread(rng, 1e-30, 0.9999), spread(rng, 1e-30, 1e30, signed=False)])


def exact_sigmoid(x: Any) -> Any:
    t = np.exp(-np.abs(x))
    return np.where(x < 0, t, L(1)) / (1 + t)


def exact_softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


UNARY: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any], float]] = {
    "expm1": (formulas.expm1, np.expm1, lambda g: spread(g, 1e-30, 87), 4.5),
    "log1p": (formulas.log1p, np.log1p, log1p_points, 3.0),
    "log10": (formulas.log10, np.log10, lambda g: spread(g, 1e-30, 1e30, signed=False), 4.0),
    "tanh": (formulas.tanh, np.tanh, lambda g: spread(g, 1e-20, 30), 3.0),
    "sigmoid": (formulas.sigmoid, exact_sigmoid, lambda g: spread(g, 1e-10, 80), 4.0),
    "softplus": (formulas.softplus, exact_softplus, lambda g: spread(g, 1e-10, 80), 4.0),
    "sinh": (formulas.sinh, np.sinh, lambda g: spread(g, 1e-20, 88), 5.0),
    "cosh": (formulas.cosh, np.cosh, lambda g: spread(g, 1e-20, 88), 5.0),
    "asinh": (formulas.asinh, np.arcsinh, lambda g: spread(g, 1e-20, 1e30), 3.0),
    "acosh": (formulas.acosh, np.arccosh, lambda g: 1 + spread(g, 1e-6, 1e30, signed=False), 3.0),
    "atanh": (formulas.atanh, np.arctanh, lambda g: spread(g, 1e-20, 0.9999), 3.0),
    "mish": (formulas.mish, lambda x: x * np.tanh(exact_softplus(x)), lambda g: spread(g, 1e-20, 80), 4.0),
    "sin": (formulas_trig.sin, np.sin, near_quarter_turns, 2.0),
    "cos": (formulas_trig.cos, np.cos, near_quarter_turns, 2.0),
    "tan": (formulas_trig.tan, np.tan, near_quarter_turns, 3.5),
    "asin": (formulas_trig.asin, np.arcsin, lambda g: spread(g, 1e-20, 1), 3.0),
    "acos": (formulas_trig.acos, np.arccos, lambda g: spread(g, 1e-20, 1), 2.0),
    "atan": (formulas_trig.atan, np.arctan, lambda g: spread(g, 1e-20, 1e20), 3.0),
}
"""formula, exact function in extended precision, points, the bound on the error in both dtypes"""


@pytest.mark.skipif(np.finfo(L).nmant < 63, reason="extended precision is no wider than float64 here")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UNARY)
def test_error_in_ulps(name: str, dtype: Any, rng: np.random.Generator) -> None:
    formula, exact, points, bound = UNARY[name]
    x = points(rng).astype(dtype)
    with np.errstate(all="ignore"):
        want = exact(x.astype(L))
    assert ulps(run_formula(formula, x), want) <= bound


HARDWARE: dict[str, float] = {
    "expm1": 4e-6,
    "tanh": 2e-7,
    "sigmoid": 2e-7,
    "softplus": 3e-7,
    "sinh": 5e-6,
    "cosh": 5e-6,
    "mish": 2e-7,
}
"""formulas that call the hardware's exponential; the bound on the error over max(1, |result|) in float32"""


class Hardware(TileNumpy):
    """exp as NVIDIA chips have it: 2 to the rounded product with log2(e), within 2 ulp, subnormal results flushed."""

    def __init__(self, lean: int) -> None:
        self.lean = lean

    def run(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        if op.name != "tile.exp":
            return super().run(op, operands, attrs)
        t = (operands[0] * np.float32(math.log2(math.e))).astype(np.float64)
        with np.errstate(over="ignore"):
            out = (np.exp2(t) * (1 + self.lean * 2.0**-22)).astype(np.float32)
        return np.where(out < np.finfo(np.float32).tiny, np.float32(0), out)


@pytest.mark.skipif(np.finfo(L).nmant < 63, reason="extended precision is no wider than float64 here")
@pytest.mark.parametrize("name", UNARY)
def test_error_with_the_hardware_exponential(name: str, rng: np.random.Generator) -> None:
    formula, exact, points, _ = UNARY[name]
    x = points(rng).astype(np.float32)
    want = exact(x.astype(L))
    finite = np.isfinite(want.astype(np.float32))
    for lean in (-1, 0, 1):
        b = Hardware(lean)
        got = formula(b, Var(b, x)).v
        same = np.array_equal(got, run_formula(formula, x), equal_nan=True)
        if name not in HARDWARE:
            assert same, "does not call exp"
            continue
        assert not same
        error = np.abs(got[finite].astype(L) - want[finite]) / np.maximum(np.abs(want[finite]), 1)
        assert float(error.max()) <= HARDWARE[name]


def test_the_bounds_are_those_of_the_documentation() -> None:
    page = (tree.ROOT / "docs" / "formulas.md").read_text()
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    stated = {r[0].strip("`"): (float(r[2]), float(r[3]) if r[3] != "-" else None) for r in rows if len(r) == 4}
    assert stated == {name: (bound, HARDWARE.get(name)) for name, (_, _, _, bound) in UNARY.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erfc_keeps_relative_precision_in_the_tail(dtype: Any, rng: np.random.Generator) -> None:
    limit = 9.0 if dtype is np.float32 else 25.0
    x = np.concatenate([rng.uniform(-5, limit, 2000), spread(rng, 1e-10, limit, n=500)]).astype(dtype)
    want = np.asarray([math.erfc(float(v)) for v in x])
    got = run_formula(erfc, x)
    np.testing.assert_allclose(got, want, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erf_as_a_formula(dtype: Any, rng: np.random.Generator) -> None:
    x = np.concatenate([rng.uniform(-7, 7, 4000), spread(rng, 1e-30, 40, n=500), [0.0, -0.0, 1.0, -1.0, INF, -INF]])
    x = x.astype(dtype)
    got = run_formula(erf, x)
    np.testing.assert_allclose(got, [math.erf(float(v)) for v in x], rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(x))
    assert np.isnan(run_formula(erf, np.asarray([NAN], dtype))).all()


def test_erf_and_erfc_of_arrays_agree_with_the_c_library(rng: np.random.Generator) -> None:
    x = np.concatenate([rng.uniform(-7, 27, 4000), spread(rng, 1e-300, 6), [0.0, -0.0, INF, -INF]])
    np.testing.assert_allclose(erf_array(x), [math.erf(v) for v in x], rtol=4e-16)
    np.testing.assert_allclose(erfc_array(x), [math.erfc(v) for v in x], rtol=2e-15, atol=1e-307)
    assert np.isnan(erf_array(np.asarray(NAN)))
    assert np.isnan(erfc_array(np.asarray(NAN)))
    assert np.signbit(erf_array(np.asarray(-0.0)))


ODD = ("expm1", "log1p", "tanh", "sinh", "asinh", "atanh", "sin", "tan", "asin", "atan", "mish")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ODD)
def test_zeros_keep_their_sign_and_tiny_values_their_value(name: str, dtype: Any) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.asarray([0.0, -0.0, tiny, -tiny, 1e-30, -1e-30], dtype)
    got = run_formula(UNARY[name][0], x)
    want = x * dtype(0.6) if name == "mish" else x
    np.testing.assert_array_equal(np.signbit(got), np.signbit(x))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=tiny)


LIMITS = {
    "expm1": {INF: INF, -INF: -1.0, 100.0: None, -200.0: -1.0},
    "log1p": {INF: INF, -1.0: -INF, -2.0: NAN, -INF: NAN},
    "tanh": {INF: 1.0, -INF: -1.0, 1e30: 1.0},
    "sigmoid": {INF: 1.0, -INF: 0.0, -200.0: None, 200.0: 1.0},
    "softplus": {INF: INF, -INF: 0.0, 1e30: 1e30},
    "sinh": {INF: INF, -INF: -INF},
    "cosh": {INF: INF, -INF: INF},
    "asinh": {INF: INF, -INF: -INF},
    "acosh": {INF: INF, 0.5: NAN, 1.0: 0.0, -INF: NAN},
    "atanh": {1.0: INF, -1.0: -INF, 2.0: NAN},
    "mish": {INF: INF, 1e30: 1e30},
    "sin": {INF: NAN, -INF: NAN},
    "cos": {INF: NAN, -INF: NAN},
    "tan": {INF: NAN},
    "asin": {1.0: math.pi / 2, -1.0: -math.pi / 2, 1.5: NAN, INF: NAN},
    "acos": {1.0: 0.0, -1.0: math.pi, 1.5: NAN, -INF: NAN},
    "atan": {INF: math.pi / 2, -INF: -math.pi / 2},
    "log10": {0.0: -INF, INF: INF, -1.0: NAN},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LIMITS)
def test_limits_and_nan(name: str, dtype: Any) -> None:
    formula, exact = UNARY[name][:2]
    with np.errstate(all="ignore"):
        for at, value in LIMITS[name].items():
            x = np.asarray(at, dtype)
            want = exact(x.astype(L)).astype(dtype) if value is None else dtype(value)
            np.testing.assert_allclose(run_formula(formula, x), want, rtol=1e-6, atol=1e-300, err_msg=f"{name}({at})")
    assert np.isnan(run_formula(formula, np.asarray(NAN, dtype)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_trigonometry_far_out_stays_bounded_and_close(dtype: Any, rng: np.random.Generator) -> None:
    x = spread(rng, 1.6e6, 1e12, n=2000).astype(dtype)
    got = run_formula(formulas_trig.sin, x)
    assert np.all(np.abs(got) <= 1)
    assert np.all(np.abs(got - np.sin(x.astype(L))) <= np.abs(x).astype(L) * 2.0**-50 + 1e-6)
    huge = np.asarray([1e30, 3e38, -1e25], dtype)
    for f in (formulas_trig.sin, formulas_trig.cos):
        assert np.all(np.abs(run_formula(f, huge)) <= 1)


CASES = np.asarray([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1e30, INF, -INF, NAN])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_power_has_the_table_of_special_cases(dtype: Any) -> None:
    x, y = (a.ravel().astype(dtype) for a in np.meshgrid(CASES, CASES))
    with np.errstate(all="ignore"):
        want = np.power(x, y)
    got = run_formula(formulas_power.power, x, y)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_array_equal(np.signbit(got[want == 0]), np.signbit(want[want == 0]))


def test_power_of_float32_is_right_to_one_ulp(rng: np.random.Generator) -> None:
    x = spread(rng, 1e-30, 1e30, signed=False).astype(np.float32)
    y = rng.uniform(-20, 20, x.shape).astype(np.float32)
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(L), y.astype(L))
        inside = (exact > np.finfo(np.float32).tiny) & (exact < 3e38)
    assert ulps(run_formula(formulas_power.power, x, y)[inside], exact[inside]) <= 1.0


def test_power_of_float64_is_right_to_the_logarithm_of_the_result(rng: np.random.Generator) -> None:
    x = spread(rng, 1e-9, 1e9, signed=False)
    y = rng.uniform(-20, 20, x.shape)
    np.testing.assert_allclose(run_formula(formulas_power.power, x, y), np.power(x, y), rtol=3e-13)


@pytest.mark.parametrize("name", ["int64", "int32", "int8", "uint8"])
def test_integer_powers_wrap(name: str, rng: np.random.Generator) -> None:
    low = 0 if name == "uint8" else -9
    x = rng.integers(low, 10, 300).astype(name)
    y = rng.integers(0, 100, 300).astype(name)
    np.testing.assert_array_equal(run_formula(formulas_power.integer_power, x, y), np.power(x, y))


def test_integer_powers_with_negative_exponents() -> None:
    x = np.asarray([1, -1, -1, 2, -3])
    y = np.asarray([-5, -3, -4, -1, -2])
    assert run_formula(formulas_power.integer_power, x, y).tolist() == [1, -1, 1, 0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_remainders_are_exact(dtype: Any, rng: np.random.Generator) -> None:
    x, y = spread(rng, 1e-3, 1e6).astype(dtype), spread(rng, 1e-2, 1e3).astype(dtype)
    for formula, exact in (
        (formulas_power.fmod, np.fmod),
        (formulas_power.remainder, np.remainder),
        (formulas_power.floor_divide, np.floor_divide),
    ):
        np.testing.assert_array_equal(run_formula(formula, x, y), exact(x, y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_remainders_of_special_values(dtype: Any) -> None:
    x, y = (a.ravel().astype(dtype) for a in np.meshgrid(CASES[:-3], [1.0, -2.0, 0.0, INF, -INF, NAN]))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(run_formula(formulas_power.fmod, x, y), np.fmod(x, y))
        np.testing.assert_array_equal(run_formula(formulas_power.remainder, x, y), np.remainder(x, y))
    assert np.signbit(run_formula(formulas_power.fmod, np.asarray(-0.0, dtype), np.asarray(3.0, dtype)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hypot_and_atan2(dtype: Any, rng: np.random.Generator) -> None:
    x, y = spread(rng, 1e-3, 1e6).astype(dtype), spread(rng, 1e-2, 1e3).astype(dtype)
    assert ulps(run_formula(formulas_power.hypot, x, y), np.hypot(x.astype(L), y.astype(L))) <= 3
    assert ulps(run_formula(formulas_trig.atan2, x, y), np.arctan2(x.astype(L), y.astype(L))) <= 3
    big = dtype(np.finfo(dtype).max / 4)
    assert np.isfinite(run_formula(formulas_power.hypot, np.asarray(big), np.asarray(big)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hypot_and_atan2_of_special_values(dtype: Any) -> None:
    x, y = (a.ravel().astype(dtype) for a in np.meshgrid(CASES, CASES))
    with np.errstate(all="ignore"):
        want = np.arctan2(x, y)
        got = run_formula(formulas_trig.atan2, x, y)
        np.testing.assert_allclose(got, want, rtol=1e-6)
        np.testing.assert_array_equal(np.signbit(got[want == 0]), np.signbit(want[want == 0]))
        np.testing.assert_allclose(run_formula(formulas_power.hypot, x, y), np.hypot(x, y), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logaddexp_of_special_values(dtype: Any) -> None:
    x, y = (a.ravel().astype(dtype) for a in np.meshgrid(CASES, CASES))
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(run_formula(formulas.logaddexp, x, y), np.logaddexp(x, y), rtol=1e-6)
