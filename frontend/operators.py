"""The types of Tensor's operators, for type checkers: the operators themselves are generated from the op table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tensor import Tensor


class Operators:
    """What every Tensor can do with Python's operators."""

    __add__: Callable[..., Tensor]
    __radd__: Callable[..., Tensor]
    __sub__: Callable[..., Tensor]
    __rsub__: Callable[..., Tensor]
    __mul__: Callable[..., Tensor]
    __rmul__: Callable[..., Tensor]
    __truediv__: Callable[..., Tensor]
    __rtruediv__: Callable[..., Tensor]
    __floordiv__: Callable[..., Tensor]
    __rfloordiv__: Callable[..., Tensor]
    __mod__: Callable[..., Tensor]
    __rmod__: Callable[..., Tensor]
    __pow__: Callable[..., Tensor]
    __rpow__: Callable[..., Tensor]
    __matmul__: Callable[..., Tensor]
    __rmatmul__: Callable[..., Tensor]
    __and__: Callable[..., Tensor]
    __rand__: Callable[..., Tensor]
    __or__: Callable[..., Tensor]
    __ror__: Callable[..., Tensor]
    __xor__: Callable[..., Tensor]
    __rxor__: Callable[..., Tensor]
    __lshift__: Callable[..., Tensor]
    __rlshift__: Callable[..., Tensor]
    __rshift__: Callable[..., Tensor]
    __rrshift__: Callable[..., Tensor]
    __iadd__: Callable[..., Tensor]
    __isub__: Callable[..., Tensor]
    __imul__: Callable[..., Tensor]
    __itruediv__: Callable[..., Tensor]
    __ifloordiv__: Callable[..., Tensor]
    __imod__: Callable[..., Tensor]
    __ipow__: Callable[..., Tensor]
    __iand__: Callable[..., Tensor]
    __ior__: Callable[..., Tensor]
    __ixor__: Callable[..., Tensor]
    __lt__: Callable[..., Tensor]
    __le__: Callable[..., Tensor]
    __gt__: Callable[..., Tensor]
    __ge__: Callable[..., Tensor]
    __neg__: Callable[..., Tensor]
    __pos__: Callable[..., Tensor]
    __abs__: Callable[..., Tensor]
    __invert__: Callable[..., Tensor]
    __getitem__: Callable[..., Tensor]
    __setitem__: Callable[..., None]
    __bool__: Callable[..., bool]
    __float__: Callable[..., float]
    __int__: Callable[..., int]
    __index__: Callable[..., int]
