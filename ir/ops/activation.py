"""Smooth activations. Derivatives are written in forms that do not cancel: 1 - sigmoid(x) is sigmoid(-x)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import pi, sqrt
from typing import Any

import numpy as np

from gradc.ir import formulas
from gradc.ir.errors import GradRuntimeError
from gradc.ir.formulas_erf import erf_array
from gradc.ir.op import Op

from .family import elementwise, functional, spelling, unary_call
from .sampling import reals

REAL = (-3.0, 3.0)


def activation(
    name: str,
    numpy: Callable[..., Any],
    formula: Callable[..., Any],
    rule: Callable[..., Any],
    *,
    call: Callable[..., Any] | None = None,
    attrs: dict[str, str] | None = None,
    kernel: str | None = None,
    choices: Sequence[dict[str, Any]] = ({},),
    **more: Any,
) -> Op:
    """A function offered as gradc.nn.functional.<name> that takes floats; torch saves its operand and attributes."""
    attrs = attrs or {}
    return elementwise(
        name,
        ("self",),
        numpy,
        formula,
        {"self": rule},
        attrs=attrs,
        accepts=more.pop("accepts", "float"),
        kernel=kernel or f"{name}_cpu",
        saved=more.pop("saved", {"self": "self", **{a: a for a in attrs}}),
        torch=more.pop("torch", None) or (functional(name, call or _maybe_inplace),),
        sample=more.pop("sample", None) or reals(REAL, attrs=choices),
        **more,
    )


def _maybe_inplace(op: Any, input: Any, inplace: bool = False) -> Any:
    return op(input, inplace=inplace)


def node(name: str, inplace: bool) -> str:
    """torch's node of those activations whose in-place form has one of its own."""
    return f"{name}Backward{int(inplace)}"


def _np_sigmoid(x: Any) -> Any:
    t = np.exp(-np.abs(x))
    return np.where(x < 0, t, np.ones_like(t)) / (1 + t)


def _np_softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


SIGMOID = elementwise(
    "sigmoid",
    ("self",),
    _np_sigmoid,
    formulas.sigmoid,
    {"self": lambda b, ct, result: ct * (result * (1.0 - result))},
    floating=True,
    saved={"result": "result"},
    torch=(spelling("sigmoid", unary_call, names=("sigmoid", "special.expit", "nn.functional.sigmoid")),),
    sample=reals(REAL),
)


def _np_gelu(x: Any, approximate: str = "none") -> Any:
    half = x.dtype.type(0.5)
    if approximate == "tanh":
        return half * x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)))
    return half * x * (1 + erf_array(x * sqrt(0.5)))


def _gelu_formula(b: Any, self: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        inner = (self * self * self * 0.044715 + self) * sqrt(2 / pi)
        return self * 0.5 * (formulas.tanh(b, inner) + 1.0)
    return self * 0.5 * (b.erf(self * sqrt(0.5)) + 1.0)


def _gelu_rule(b: Any, ct: Any, self: Any, approximate: str | None) -> Any:
    if approximate == "tanh":
        square = self * self
        t = b.tanh((square * self * 0.044715 + self) * sqrt(2 / pi))
        inner = (square * (3 * 0.044715) + 1.0) * sqrt(2 / pi)
        return ct * ((t + 1.0) * 0.5 + self * 0.5 * (1.0 - t * t) * inner)
    density = b.exp(self * self * -0.5) * (1 / sqrt(2 * pi))
    return ct * ((b.erf(self * sqrt(0.5)) + 1.0) * 0.5 + self * density)


def _gelu_call(op: Any, input: Any, approximate: str = "none") -> Any:
    if approximate not in ("none", "tanh"):
        raise GradRuntimeError("approximate argument must be either none or tanh.")
    return op(input, approximate=approximate)


GELU = activation(
    "gelu",
    _np_gelu,
    _gelu_formula,
    _gelu_rule,
    call=_gelu_call,
    attrs={"approximate": "str"},
    kernel="GeluKernelImpl",
    choices=({"approximate": "none"}, {"approximate": "tanh"}),
)

SILU = activation(
    "silu",
    lambda x: x * _np_sigmoid(x),
    lambda b, self: self * formulas.sigmoid(b, self),
    lambda b, ct, self: ct * (b.sigmoid(self) * (self * b.sigmoid(-self) + 1.0)),
)


def _mish_rule(b: Any, ct: Any, self: Any) -> Any:
    t = b.tanh(b.softplus(self))
    return ct * (t + self * b.sigmoid(self) * (1.0 - t * t))


MISH = activation("mish", lambda x: x * np.tanh(_np_softplus(x)), formulas.mish, _mish_rule)


def _softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    z = x * x.dtype.type(beta)
    return np.where(z > threshold, x, _np_softplus(z) / x.dtype.type(beta))


def _softplus_formula(b: Any, self: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    z = self if beta == 1 else self * float(beta)
    value = formulas.softplus(b, z)
    return b.select(z > float(threshold), self, value if beta == 1 else value / float(beta))


def _softplus_rule(b: Any, ct: Any, self: Any, beta: float | None, threshold: float | None) -> Any:
    z = self if beta in (None, 1) else self * float(beta or 1.0)
    return b.where(z > float(20 if threshold is None else threshold), ct, ct * b.sigmoid(z))


SOFTPLUS = activation(
    "softplus",
    _softplus,
    _softplus_formula,
    _softplus_rule,
    call=lambda op, input, beta=1, threshold=20: op(input, beta=beta, threshold=threshold),
    attrs={"beta": "number?", "threshold": "number?"},
    choices=({"beta": 1, "threshold": 20}, {"beta": 2.0, "threshold": 1.0}),
)

LOGSIGMOID = activation(
    "logsigmoid",
    lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
    formulas.log_sigmoid,
    lambda b, ct, self: ct * b.sigmoid(-self),
    call=unary_call,
    kernel="log_sigmoid_cpu",
    grad_fn="LogSigmoidBackward0",
)
