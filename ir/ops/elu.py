"""Exponential linear units: elu, selu, celu."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir import formulas
from gradc.ir.errors import GradRuntimeError

from .activation import REAL, activation, node
from .family import functional
from .sampling import Entry, reals

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _elu(x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    return np.where(x > 0, x * scale, np.expm1(np.minimum(x, 0) * input_scale) * (alpha * scale))


def _elu_formula(b: Any, self: Any, alpha: float, scale: float, input_scale: float) -> Any:
    below = self if input_scale == 1 else self * float(input_scale)
    factor = float(alpha * scale)
    low = formulas.expm1(b, below)
    low = low if factor == 1 else low * factor
    return b.select(self > 0.0, self if scale == 1 else self * float(scale), low)


def _elu_rule(b: Any, ct: Any, self: Any, alpha: float, scale: float, input_scale: float) -> Any:
    below = self if input_scale == 1 else self * float(input_scale)
    # The exponential of the positive side would overflow, and 0 * inf poison the second derivative, which is 0 at 0.
    below = b.where(self < 0.0, below, 0.0)
    slope = b.exp(below) * float(alpha * scale * input_scale)
    return b.where(self <= 0.0, ct * slope, ct if scale == 1 else ct * float(scale))


def _elu_call(op: Any, input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    return op(input, alpha=alpha, scale=1, input_scale=1, inplace=inplace, grad_fn=node("Elu", inplace))


def _selu_call(op: Any, input: Any, inplace: bool = False) -> Any:
    return op(
        input,
        alpha=SELU_ALPHA,
        scale=SELU_SCALE,
        input_scale=1,
        inplace=inplace,
        grad_fn=node("Elu", inplace),
    )


def _torch_elu(x: Any) -> Any:
    from torch.nn.functional import elu

    return elu(x, 0.7)


def _torch_selu(x: Any) -> Any:
    from torch.nn.functional import selu

    return selu(x)


def _elu_sample(rng: Any) -> list[Entry]:
    plain = {"alpha": 0.7, "scale": 1, "input_scale": 1}
    selu = {"alpha": SELU_ALPHA, "scale": SELU_SCALE, "input_scale": 1}
    return [
        *reals(REAL, attrs=(plain,), torch=_torch_elu)(rng),
        *reals(REAL, attrs=(selu,), torch=_torch_selu)(rng),
    ]


ELU = activation(
    "elu",
    _elu,
    _elu_formula,
    _elu_rule,
    attrs={"alpha": "number", "scale": "number", "input_scale": "number"},
    torch=(functional("elu", _elu_call), functional("selu", _selu_call, "selu")),
    sample=_elu_sample,
)


def _celu_call(op: Any, input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    if alpha == 0:
        raise GradRuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return op(input, alpha=alpha, inplace=inplace, grad_fn=node("Celu", inplace))


CELU = activation(
    "celu",
    lambda x, alpha: _elu(x, alpha, 1.0, 1.0 / alpha),
    lambda b, self, alpha: _elu_formula(b, self, alpha, 1, 1.0 / alpha),
    lambda b, ct, self, alpha: _elu_rule(b, ct, self, alpha, 1, 1.0 / alpha),
    attrs={"alpha": "number"},
    kernel="elu_cpu",
    torch=(functional("celu", _celu_call, "celu"),),
    choices=({"alpha": 1.0}, {"alpha": 0.5}),
)
