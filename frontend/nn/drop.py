"""Dropout as functions.

The mask is not kept: a seed is drawn from gradc's generator, and forward, backward and compiled code make the same mask
of it.
"""

from __future__ import annotations

from typing import Any

from gradc.ir.errors import GradValueError
from gradc.ir.op import REGISTRY
from gradc.ir.types import i64

from ..creation import ones, zeros
from ..dispatch import apply
from ..inplace import apply_inplace
from ..sampling import randint
from ..tensor import Tensor

SEEDS = 2**63 - 1


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Elements zeroed with probability `p` and the others divided by `1 - p`; `input` itself outside of training."""
    _check(p)
    if not training or p == 0:
        return input

    def run() -> Tensor:
        seed = randint(0, SEEDS, ())
        out: Tensor = apply(REGISTRY["grad.dropout"], (input, seed, zeros((), dtype=i64)), {"p": float(p)})
        return out

    return apply_inplace(input, run) if inplace else run()


def feature_dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Whole channels (dimension 1) zeroed with probability `p`."""
    _check(p)
    if not training or p == 0:
        return input
    mask = dropout(ones((*input.shape[:2], *(1,) * (input.ndim - 2)), dtype=input.dtype), p)
    return input.mul_(mask) if inplace else input * mask


def _check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise GradValueError(f"dropout probability has to be between 0 and 1, but got {p}")
