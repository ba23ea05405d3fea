"""Functions under gradc that are no ops of the table: predicates and thin spellings of tensor methods."""

from __future__ import annotations

from typing import Any

from gradc.ir.errors import GradTypeError
from gradc.ir.types import DType, dtype, promote_dtypes

from .tensor import Tensor, is_tensor


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def is_floating_point(input: Tensor) -> bool:
    """True for float dtypes."""
    return input.is_floating_point()


def promote_types(type1: Any, type2: Any) -> DType:
    """The smallest dtype that holds both."""
    return promote_dtypes(dtype(type1), dtype(type2))


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype of an elementwise op on these."""
    from gradc.ir.op import REGISTRY
    from gradc.ir.types import promote

    from .eager import lift

    operands = (tensor1, tensor2)
    if not any(isinstance(t, Tensor) for t in operands):
        raise GradTypeError("result_type(): one of the arguments must be a Tensor")
    return promote(*[t._type for t in lift(REGISTRY["grad.mul"], operands)])


FUNCTIONS = {
    "numel": numel,
    "is_tensor": is_tensor,
    "is_floating_point": is_floating_point,
    "promote_types": promote_types,
    "result_type": result_type,
}
