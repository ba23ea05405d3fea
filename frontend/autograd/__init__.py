"""Reverse-mode differentiation of eager tensors."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from gradc.ir.errors import GradAttributeError

from . import graph
from .anomaly import detect_anomaly, set_detect_anomaly
from .api import backward, grad
from .function import Function
from .grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

LAZY = {
    "gradcheck": "differences",
    "gradgradcheck": "differences",
    "GradcheckError": "differences",
    "Variable": "variable",
}


def __getattr__(name: str) -> Any:
    if name == "functional":
        return import_module(f"{__name__}.functional")
    if name in LAZY:
        return getattr(import_module(f"{__name__}.{LAZY[name]}"), name)
    raise GradAttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Function",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "graph",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
