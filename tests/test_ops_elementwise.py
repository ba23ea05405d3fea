"""Elementwise ops beside torch: kinks, ties and special values, dtype rules, errors.

What holds for every record alike is in test_op_table.py, tape nodes in test_elementwise_nodes.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gradc
from gradc.methods import functions_under

torch = pytest.importorskip("torch", reason="elementwise ops are compared with torch")
torch.set_num_threads(1)

OURS = SimpleNamespace(**functions_under("nn.functional"))


def functional(lib: Any) -> Any:
    """nn.functional, of gradc as the op table fills it."""
    return OURS if lib is gradc else torch.nn.functional


INF, NAN = float("inf"), float("nan")
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 6.0, 20.0, -20.0, 1e30, -1e30, INF, -INF, NAN]
Function = Callable[..., Any]


def value_and_gradients(lib: Any, f: Function, *xs: Any, dtype: str = "float64") -> list[Any]:
    ts = [lib.tensor(x, dtype=getattr(lib, dtype), requires_grad=True) for x in xs]
    y = f(lib, *ts)
    y.sum().backward()
    return [y.detach().numpy(), *(None if t.grad is None else t.grad.numpy() for t in ts)]


def same_as_torch(f: Function, *xs: Any, tolerance: float = 1e-9) -> None:
    for got, want in zip(value_and_gradients(gradc, f, *xs), value_and_gradients(torch, f, *xs), strict=True):
        assert (got is None) == (want is None)
        if want is not None:
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


FUNCTIONS = """
abs sign floor ceil round trunc frac reciprocal square sqrt rsqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin
acos atan sinh cosh tanh asinh acosh atanh erf erfc sigmoid logit relu neg
"""
ACTIVATIONS = """
relu leaky_relu elu selu celu silu mish softplus hardtanh relu6 hardswish softsign tanhshrink logsigmoid hardshrink
softshrink
"""
PAIRS = "maximum minimum fmax fmin atan2 hypot copysign xlogy pow fmod remainder div"


def named(name: str) -> Function:
    return lambda lib, *xs: getattr(lib, name)(*xs)


def named_functional(name: str) -> Function:
    return lambda lib, *xs: getattr(functional(lib), name)(*xs)


UNARY: dict[str, Function] = {
    **{name: named(name) for name in FUNCTIONS.split()},
    **{f"F.{name}": named_functional(name) for name in ACTIVATIONS.split()},
    "gelu": lambda lib, x: functional(lib).gelu(x),
    "gelu tanh": lambda lib, x: functional(lib).gelu(x, approximate="tanh"),
    "softplus beta": lambda lib, x: functional(lib).softplus(x, beta=2.0, threshold=3),
    "threshold": lambda lib, x: functional(lib).threshold(x, 0.5, 7.0),
    "clamp": lambda lib, x: x.clamp(-0.5, 0.5),
    "clamp min": lambda lib, x: x.clamp(min=0.5),
    "clamp max": lambda lib, x: lib.clamp(x, max=-0.5),
    "clamp_min": lambda lib, x: x.clamp_min(0.5),
    "clamp_max": lambda lib, x: x.clamp_max(0.5),
    "nan_to_num": lambda lib, x: lib.nan_to_num(x, nan=1.0),
    "pow 0": lambda lib, x: x**0,
    "pow 1": lambda lib, x: x**1,
    "pow 2": lambda lib, x: x**2,
    "pow 3": lambda lib, x: x**3,
    "pow -1": lambda lib, x: x**-1,
    "pow 2.5": lambda lib, x: x**2.5,
    "2 pow": lambda lib, x: 2**x,
    "logit eps": lambda lib, x: lib.logit(x, eps=0.3),
    "1 -": lambda lib, x: 1 - x,
    "1 /": lambda lib, x: 1 / x,
    "fmod": lambda lib, x: lib.fmod(x, 0.75),
    "%": lambda lib, x: x % 0.75,
    "round decimals": lambda lib, x: lib.round(x * 1.2345, decimals=2),
}
SATURATES = {"F.mish", "gelu tanh"}
"""torch's own formula overflows on one side: compared within reach only."""


@pytest.mark.parametrize("name", UNARY)
def test_kinks_and_special_values(name: str) -> None:
    points = [v for v in SPECIAL if abs(v) < 1e3] if name in SATURATES else SPECIAL
    same_as_torch(UNARY[name], points)


BINARY: dict[str, Function] = {
    **{name: named(name) for name in PAIRS.split()},
    "clamp tensors": lambda lib, x, y: x.clamp(y, y + 1),
    "clamp tensor min": lambda lib, x, y: x.clamp(min=y),
    "clamp tensor max": lambda lib, x, y: x.clamp(max=y),
    "div floor": lambda lib, x, y: lib.div(x, y, rounding_mode="floor"),
    "div trunc": lambda lib, x, y: lib.div(x, y, rounding_mode="trunc"),
    "lerp": lambda lib, x, y: lib.lerp(x, y, 0.25),
    "where": lambda lib, x, y: lib.where(x > y, x, y),
    "prelu": lambda lib, x, y: functional(lib).prelu(x, y[4:5]),
}


@pytest.mark.parametrize("name", BINARY)
def test_pairs_of_special_values(name: str) -> None:
    values = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, INF, -INF, NAN]
    x, y = (a.ravel().tolist() for a in np.meshgrid(values, values))
    same_as_torch(BINARY[name], x, y)


ERRORS = """
b - b; b - 1; -b; b.abs(); b.floor(); i ** -1; i.frac(); f & f; ~f; i & f; f << f; i.clamp()
f.masked_fill(i, 1); lib.where(i, f, f); F.relu(b); F.gelu(i); F.gelu(f, approximate='x'); F.silu(i)
F.leaky_relu(i); F.elu(i); F.mish(i); F.softplus(i); F.hardswish(i); F.hardsigmoid(i); F.logsigmoid(i)
F.hardshrink(i); F.hardtanh(f, 2., 1.); lib.div(i, 2, rounding_mode='x'); lib.lerp(f, f.double(), 0.5)
lib.lerp(f, f, f.double()); lib.addcdiv(i, i, i); F.prelu(i, lib.tensor([.1]))
F.prelu(lib.ones(2, 3, 4), lib.ones(4)); F.celu(f, 0.); i8.clamp(0, 1000); b ** b; lib.hypot(i, i)
lib.logaddexp(i, i); b % b; f + lib.ones(3); lib.where(b, f, lib.ones(3))
"""


def raised(lib: Any, expression: str) -> Exception:
    scope = {
        "lib": lib,
        "F": functional(lib),
        "b": lib.tensor([True, False]),
        "i": lib.tensor([3, -4]),
        "i8": lib.tensor([3, -4], dtype=lib.int8),
        "f": lib.tensor([1.5, -2.0]),
    }
    with pytest.raises(Exception, match=r"(?s).*") as caught:
        eval(expression, scope)
    return caught.value


@pytest.mark.parametrize("expression", [e.strip() for line in ERRORS.strip().splitlines() for e in line.split(";")])
def test_errors_are_torchs(expression: str) -> None:
    got, want = raised(gradc, expression), raised(torch, expression)
    assert isinstance(got, gradc.GradcError)
    assert isinstance(got, type(want))
    first = str(want).splitlines()[0].strip()
    assert str(got).splitlines()[0].startswith(first[:90])


DTYPES = """
b + b; b + i; b * b; i8 + i8; i + f; u8 - i8; h + f; f + d; i / i; b / i; i.exp(); b.sin(); i8.sqrt()
i.floor(); b ** 2; i ** 2; i ** 2.0; 2 ** i.abs(); 2.0 ** i; i.clamp(0.5); i.clamp(1); b.clamp(0, 1)
lib.where(b, i, f); lib.where(b, h, 2.0); lib.where(b, f, d); i // 2; i % 3
lib.div(i, 2, rounding_mode='trunc'); lib.div(f, i, rounding_mode='trunc'); b + 1; b * 2; b * 2.0; i == f
i < 2; i & i; b | b; ~b; ~i; i << 1; i >> 1; b ^ b; lib.copysign(i, i); lib.atan2(i, i); i.masked_fill(b, 7)
F.hardtanh(i); F.relu6(i); F.threshold(i, 1, 2); F.softsign(i); lib.maximum(b, b); lib.fmax(i, f); i.sign()
b.sign(); b.logical_not(); lib.logical_and(i, f); i.isnan(); f.isinf(); b.isfinite(); lib.nan_to_num(i)
lib.sigmoid(i); h.exp(); -u8; i.square(); b.square(); i.reciprocal(); i.abs(); lib.addcmul(i, i, i, value=2)
lib.xlogy(i, i.abs()); i.rsqrt(); f + s; s + i; i * s; h * s; i + si; i8 + si
"""


@pytest.mark.parametrize("expression", [e.strip() for line in DTYPES.strip().splitlines() for e in line.split(";")])
def test_dtypes_and_values_of_mixed_operands(expression: str) -> None:
    outs = []
    for lib in (gradc, torch):
        scope = {
            "lib": lib,
            "F": functional(lib),
            "b": lib.tensor([True, False]),
            "i": lib.tensor([3, -4]),
            "i8": lib.tensor([3, -4], dtype=lib.int8),
            "u8": lib.tensor([3, 4], dtype=lib.uint8),
            "h": lib.tensor([1.5, -2.0], dtype=lib.float16),
            "f": lib.tensor([1.5, -2.0]),
            "d": lib.tensor([1.5, -2.0], dtype=lib.float64),
            "s": lib.tensor(2.5, dtype=lib.float64),
            "si": lib.tensor(2),
        }
        outs.append(eval(expression, scope))
    got, want = outs
    assert got.dtype.torch_name == str(want.dtype).removeprefix("torch.")
    np.testing.assert_allclose(
        np.asarray(got.numpy(), np.float64), want.to(torch.float64).numpy(), rtol=1e-3 if "h" in expression else 1e-6
    )


def test_an_op_without_a_derivative_says_so() -> None:
    x = gradc.tensor([3.0], requires_grad=True)
    y = x // 2
    assert y.requires_grad
    with pytest.raises(gradc.GradcError, match=re.escape("derivative for aten::floor_divide is not implemented")):
        y.backward()


def test_comparisons_have_no_gradient() -> None:
    x = gradc.tensor([3.0], requires_grad=True)
    assert not (x > 1).requires_grad
    assert not x.isnan().requires_grad
