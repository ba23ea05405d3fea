"""A value that is to be computed with once more."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError
from gradc.ir.op import ELEMENTWISE, Op, define
from gradc.ir.types import TensorType


def _again_type(x: TensorType, after: TensorType) -> TensorType:
    if x is not after or not x.dtype.is_float:
        raise DTypeError(f"grad.again: expected two floating-point tensors of one type, got {x} and {after}")
    return x


def _again_formula(b: Any, self: Any, after: Any) -> Any:
    d = self.dtype
    if not d.is_half:
        return b.again(self, after)
    return b.convert(b.again(b.convert(self, dtype=d.compute), b.convert(after, dtype=d.compute)), dtype=d)


AGAIN = define(
    Op(
        name="grad.again",
        kind=ELEMENTWISE,
        operands=("self", "after"),
        results=("result",),
        infer=_again_type,
        numpy=lambda self, after: self,
        formula=_again_formula,
        adjoint={"self": lambda b, ct: ct},
        sample=lambda rng: [
            ([rng.standard_normal((3, 4), d), rng.standard_normal((3, 4), d)], {}, lambda x, y: x.clone())
            for d in (np.float32, np.float64)
        ],
        flops=0,
        doc="The value `self`, which no pass and no compiler takes for the same value: what is computed from it is "
        "computed once more, and not before `after`.",
        traits=frozenset({"again"}),
    )
)
