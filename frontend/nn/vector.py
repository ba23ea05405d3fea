"""Parameters as one vector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gradc.ir.errors import GradTypeError

from ..tensor import Tensor
from .typename import typename


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """All elements, one parameter after another."""
    from .. import cat

    return cat([p.view(-1) for p in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Let parameters be the slices of a vector."""
    if not isinstance(vec, Tensor):
        raise GradTypeError(f"expected torch.Tensor, but got: {typename(vec)}")
    at = 0
    for p in parameters:
        p.data = vec[at : at + p.numel()].view_as(p).data
        at += p.numel()
