"""torch's old name for tensors that take part in the tape."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor


class _Tensors(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_Tensors):
    """`Variable(tensor, requires_grad=True)` is a tensor on the same memory; every tensor is an instance."""

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Any:
        return data.detach().requires_grad_(requires_grad)
