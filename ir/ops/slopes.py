"""Gradients of functions made of straight pieces, as ops of their own: linear in the gradient that arrives, and with a
derivative of zero, not none, with respect to the operand that says which piece it is (as torch's
threshold_backward and its like)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.op import COMPOSITE, Op, define
from gradc.ir.types import broadcast_types, tensor

from .clamp import bounded
from .family import zero
from .shape import normal


def slope(
    name: str,
    numpy: Callable[..., Any],
    parts: Callable[..., Any],
    again: Callable[..., Any],
    attrs: dict[str, str],
    values: dict[str, float],
    torch: Callable[..., Any],
) -> Op:
    """Define `grad.<name>_backward` of operands `grad` and `self`; `again` is its own adjoint for `grad`."""
    return define(
        Op(
            name=f"grad.{name}_backward",
            kind=COMPOSITE,
            operands=("grad", "self"),
            results=("result",),
            attrs=attrs,
            infer=lambda grad, self, **a: tensor(broadcast_types(grad, self), grad.dtype),
            numpy=numpy,
            decompose=parts,
            adjoint={"grad": again, "self": zero},
            grad_fn="".join(p.capitalize() for p in name.split("_")) + "BackwardBackward0",
            sample=lambda rng: [([normal(rng, 3, 4), normal(rng, 3, 4)], values, lambda g, x: torch(g, x, **values))],
        )
    )


def _aten(name: str) -> Callable[..., Any]:
    def call(g: Any, x: Any, **values: float) -> Any:
        import torch

        return getattr(torch.ops.aten, name)(g, x, *values.values())

    return call


def _hardtanh_numpy(g: Any, x: Any, min_val: float, max_val: float) -> Any:
    x, low, high = bounded(x, min_val, max_val)
    return np.where((x <= low) | (x >= high), 0, g)


def _hardtanh_again(b: Any, ct: Any, self: Any, min_val: float, max_val: float) -> Any:
    return b.hardtanh_backward(ct, self, min_val=min_val, max_val=max_val)


slope(
    "threshold",
    lambda g, x, threshold: np.where(x <= x.dtype.type(threshold), 0, g),
    lambda b, grad, self, threshold: b.where(self <= float(threshold), 0.0, grad),
    lambda b, ct, self, threshold: b.threshold_backward(ct, self, threshold=threshold),
    {"threshold": "number"},
    {"threshold": 0.5},
    _aten("threshold_backward"),
)
slope(
    "leaky_relu",
    lambda g, x, negative_slope: np.where(x > 0, g, g * g.dtype.type(negative_slope)),
    lambda b, grad, self, negative_slope: b.where(self > 0.0, grad, grad * float(negative_slope)),
    lambda b, ct, self, negative_slope: b.leaky_relu_backward(ct, self, negative_slope=negative_slope),
    {"negative_slope": "number"},
    {"negative_slope": 0.25},
    lambda g, x, negative_slope: _aten("leaky_relu_backward")(g, x, a=negative_slope, b=False),
)
slope(
    "hardtanh",
    _hardtanh_numpy,
    lambda b, grad, self, min_val, max_val: b.where(
        (self <= float(min_val)) | (self >= float(max_val)), 0.0, grad
    ),
    _hardtanh_again,
    {"min_val": "number", "max_val": "number"},
    {"min_val": -0.5, "max_val": 1.0},
    _aten("hardtanh_backward"),
)
slope(
    "softshrink",
    lambda g, x, lambd: np.where(np.abs(x) <= lambd, 0, g),
    lambda b, grad, self, lambd: b.where(b.abs(self) <= float(lambd), 0.0, grad),
    lambda b, ct, self, lambd: b.softshrink_backward(ct, self, lambd=lambd),
    {"lambd": "number"},
    {"lambd": 0.5},
    _aten("softshrink_backward"),
)
