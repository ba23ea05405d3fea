"""Dropout layers."""

from __future__ import annotations

from typing import Any

from gradc.ir.errors import GradValueError

from ..tensor import Tensor
from .drop import dropout, feature_dropout
from .module import Module


class _Dropout(Module):
    """A layer that drops in training and does nothing in evaluation."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise GradValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    def forward(self, input: Tensor) -> Any:
        return dropout(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    def forward(self, input: Tensor) -> Any:
        return feature_dropout(input, self.p, self.training, self.inplace)
