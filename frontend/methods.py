"""Puts everything on Tensor: the hand-written methods first, then the table's methods and operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import convert, exchange, extras, gradients, indexing, sampling, surface, writes
from .tensor import Tensor


def install() -> dict[str, Callable[..., Any]]:
    """Complete the class; returns the table's functions by dotted path."""
    for module in (gradients, writes, convert, exchange, indexing, sampling, extras):
        for name, method in module.METHODS.items():
            setattr(Tensor, name, method)
    for module in (gradients, writes):
        for name, value in module.PROPERTIES.items():
            setattr(Tensor, name, value)
    return surface.install()


FUNCTIONS = install()


def functions_under(prefix: str) -> dict[str, Callable[..., Any]]:
    """The table's functions of one namespace: "" for gradc itself, "nn.functional", "special", "linalg"."""
    out = {}
    for path, function in FUNCTIONS.items():
        space, _, name = path.rpartition(".")
        if space == prefix:
            out[name] = function
    return out
