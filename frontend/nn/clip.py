"""Gradients kept within bounds."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from types import GeneratorType
from typing import Any

from gradc.ir.errors import GradRuntimeError

from ..autograd.grad_mode import no_grad
from ..from_data import tensor
from ..tensor import Tensor


def _listed(given: Tensor | Iterable[Tensor]) -> list[Any]:
    return [given] if isinstance(given, Tensor) else list(given)


def _vector_norm(t: Any, p: float) -> Any:
    """The p-norm of the elements, taken as one vector."""
    size = t.abs()
    if p == float("inf"):
        return size.max()
    if p == float("-inf"):
        return size.min()
    if p == 0:
        return (size != 0).sum().to(t.dtype)
    return (size * size).sum().sqrt() if p == 2 else size.sum() if p == 1 else (size**p).sum() ** (1.0 / p)


@no_grad()
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:
    """The norm of all elements of some tensors."""
    from .. import stack

    order = float(norm_type)
    norms = [_vector_norm(t, order) for t in _listed(tensors)]
    if not norms:
        return tensor(0.0)
    total = _vector_norm(stack(norms), order)
    if error_if_nonfinite and not bool(total.isfinite()):
        raise GradRuntimeError(
            f"The total norm of order {order} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return total


@no_grad()
def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Any, foreach: bool | None = None
) -> None:
    """Scale gradients whose norm is known down to `max_norm`."""
    factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
    for p in _listed(parameters):
        if p.grad is not None:
            p.grad.mul_(factor)


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:
    """Scale gradients down so that their norm, as one vector, is at most `max_norm`; returns the norm they had."""
    params = _listed(parameters)
    if isinstance(parameters, GeneratorType) and not params:
        warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=3)
    total = get_total_norm([p.grad for p in params if p.grad is not None], norm_type, error_if_nonfinite)
    clip_grads_with_norm_(params, max_norm, total)
    return total


@no_grad()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Bring every element of the gradients into [-clip_value, clip_value]."""
    bound = float(clip_value)
    for p in _listed(parameters):
        if p.grad is not None:
            p.grad.clamp_(min=-bound, max=bound)
