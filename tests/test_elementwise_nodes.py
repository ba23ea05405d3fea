"""The tape nodes of elementwise ops beside torch's: names, saved values, in-place forms."""

from __future__ import annotations

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


NODES = """
x + y; x + 2; 2 + x; x - y; 2 - x; x * y; x * 2; 2 * x; x / y; x / 2; 2 / x; -x; x.reciprocal(); x.square()
x.sqrt(); x.rsqrt(); x ** 2; x ** y; 2 ** x; x ** 2.5; x.abs(); x.sign(); x.floor(); x.ceil(); x.round()
x.trunc(); x.frac(); x.fmod(y); x.fmod(2); x.remainder(y); x % 2; lib.div(x, y, rounding_mode='floor')
lib.lerp(x, y, w); lib.lerp(x, y, 0.3); lib.addcmul(x, y, w, value=2); lib.addcdiv(x, y, w, value=2)
lib.copysign(x, y); lib.hypot(x, y); x.exp(); x.exp2(); x.expm1(); x.log(); x.log2(); x.log10(); x.log1p()
x.sin(); x.cos(); x.tan(); x.asin(); x.acos(); x.atan(); x.sinh(); x.cosh(); x.tanh(); x.asinh()
(x + 1).acosh(); x.atanh(); lib.atan2(x, y); x.erf(); x.erfc(); x.sigmoid(); x.logit(); lib.logaddexp(x, y)
lib.xlogy(x, y); lib.where(c, x, y); lib.maximum(x, y); lib.minimum(x, y); lib.fmax(x, y); lib.fmin(x, y)
x.clamp(0, 1); x.clamp(0); x.clamp(max=1); x.clamp(y, w); x.clamp(y); x.clamp_min(0); x.clamp_max(1)
x.clamp_min(y); x.clamp_max(y); x.nan_to_num(); x.masked_fill(c, 3.0); x.masked_fill(c, lib.tensor(3.0))
F.relu(x); x.relu(); F.leaky_relu(x); F.elu(x); F.selu(x); F.celu(x); F.gelu(x); F.gelu(x, approximate='tanh')
F.silu(x); F.mish(x); F.softplus(x); F.hardtanh(x); F.relu6(x); F.hardsigmoid(x); F.hardswish(x)
F.softsign(x); F.tanhshrink(x); F.logsigmoid(x); F.threshold(x, .1, 2.); F.softshrink(x); F.hardshrink(x)
lib.true_divide(x, y)
"""
EXPRESSIONS = [e.strip() for line in NODES.strip().splitlines() for e in line.split(";")]
NOT_SAVED = {
    "_saved_alpha": "a factor is its own multiplication",
    "_saved_buffer": "a buffer of torch's CPU kernel",
}
"""torch's saved names that have no counterpart, and why."""
UNUSED = {"DivBackward2": ("_saved_self", "_saved_other")}
"""Values that torch saves and our rules do not need."""


def evaluated(lib: Any, expression: str) -> Any:
    scope = {
        "lib": lib,
        "F": functional(lib),
        "x": lib.tensor([0.3, 0.6], requires_grad=True),
        "y": lib.tensor([0.4, 0.5], requires_grad=True),
        "w": lib.tensor([0.1, 0.1], requires_grad=True),
        "c": lib.tensor([True, False]),
    }
    return eval(expression, scope)


def as_plain(value: Any) -> Any:
    return value.detach().numpy().tolist() if hasattr(value, "detach") else value


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_nodes_are_named_as_in_torch(expression: str) -> None:
    got, want = evaluated(gradc, expression), evaluated(torch, expression)
    assert got.grad_fn.name() == want.grad_fn.name()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_saved_values_are_named_as_in_torch(expression: str) -> None:
    got, want = evaluated(gradc, expression), evaluated(torch, expression)
    names = [n for n in dir(want.grad_fn) if n.startswith("_saved_") and n not in NOT_SAVED]
    for name in names:
        expected = as_plain(getattr(want.grad_fn, name))
        if expected is None:
            continue
        value = as_plain(getattr(got.grad_fn, name))
        if value is None:
            assert name in UNUSED.get(got.grad_fn.name(), ())
        elif isinstance(expected, str):
            assert value == expected
        else:
            np.testing.assert_allclose(value, expected, rtol=1e-6)


INPLACE = """
x.add_(2); x.sub_(y); x.mul_(y); x.div_(2); x.neg_(); x.exp_(); x.relu_(); x.sigmoid_(); x.tanh_(); x.sqrt_()
x.abs_(); x.clamp_(0.35, 0.5); x.pow_(2); x.floor_(); x.masked_fill_(c, 9.0); x.lerp_(y, 0.5); x.square_()
x.reciprocal_(); F.relu(x, inplace=True); F.elu(x, inplace=True); F.leaky_relu(x, inplace=True)
F.celu(x, inplace=True); F.selu(x, inplace=True); F.threshold(x, 0.4, 1., inplace=True); x.__iadd__(y)
x.__imul__(3); x.addcmul_(y, y)
"""


@pytest.mark.parametrize("expression", [e.strip() for line in INPLACE.strip().splitlines() for e in line.split(";")])
def test_in_place_forms(expression: str) -> None:
    outs = []
    for lib in (gradc, torch):
        leaf = lib.tensor([0.3, 0.6], requires_grad=True)
        y, c = lib.tensor([0.4, 0.5]), lib.tensor([True, False])
        x = leaf * 1
        result = eval(expression, {"lib": lib, "F": functional(lib), "x": x, "y": y, "c": c})
        assert result is x
        assert x._version == 1
        x.sum().backward()
        outs.append((x.detach().numpy(), leaf.grad.numpy(), x.grad_fn.name()))
    (value, grad, name), (t_value, t_grad, t_name) = outs
    np.testing.assert_allclose(value, t_value, rtol=1e-6)
    np.testing.assert_allclose(grad, t_grad, rtol=1e-6)
    assert name == t_name
