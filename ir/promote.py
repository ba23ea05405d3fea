"""In which dtype an elementwise op meets its operands: one rule for the NumPy meaning, the formula and `decompose`."""

from __future__ import annotations

from collections.abc import Sequence

from .op import Op
from .types import DType, TensorType, f32, promote


def operand_dtypes(op: Op, types: Sequence[TensorType], result: DType) -> tuple[DType, ...]:
    """The dtype each operand has when `op.numpy` or `op.formula` sees it.

    Operands of an op that "promotes" arrive in their common dtype, half types as float32, and integers as float32 if
    the result is a float. Operands that the op "keeps" (a mask) and those of other ops arrive as they are, half types
    as float32.
    """
    if "promotes" not in op.traits:
        return tuple(t.dtype.compute for t in types)
    kept = [f"keeps:{op.operand_name(i)}" in op.traits for i in range(len(types))]
    common = promote(*[t for t, k in zip(types, kept, strict=True) if not k]).compute
    if result.is_float and not common.is_float:
        common = f32
    return tuple(t.dtype if k else common for t, k in zip(types, kept, strict=True))
