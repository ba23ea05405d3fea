"""Parameters: tensors that a module finds and an optimiser changes."""

from __future__ import annotations

from typing import Any

from gradc.ir.errors import GradAttributeError, GradRuntimeError, TraceError

from ..creation import empty
from ..tensor import Tensor


class Parameter(Tensor):
    """A tensor that registers itself when it is assigned to an attribute of a module. Shares the memory of `data`."""

    _prefix = "tensor"

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise GradAttributeError(
                f"'{type(data).__name__}' object has no attribute 'detach'",
                hint="a Parameter is made from a tensor: Parameter(gradc.tensor(...))",
            )
        if data._traced is not None:
            raise TraceError(
                "a Parameter cannot be made while tracing", hint="make modules outside of the compiled function"
            )
        if requires_grad and not data._type.dtype.is_float:
            raise GradRuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        made = cls._make(data._type, data._array, data._storage)
        made._requires_grad = bool(requires_grad)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        out = memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return out

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


