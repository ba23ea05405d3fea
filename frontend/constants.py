"""What is not computed in a trace: Python numbers beside tensors, arrays made while tracing, random draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradc.ir.build import GraphBuilder, type_of_array
from gradc.ir.errors import GradTypeError
from gradc.ir.graph import Dense
from gradc.ir.op import REGISTRY, Op
from gradc.ir.types import DType, promote_dtypes

from . import eager
from .tensor import Tensor


def number(b: GraphBuilder, x: Any, operands: Sequence[Any], op: Op) -> int:
    """A Python number beside tensors: a constant of the dtype that eager tensors give it."""
    if isinstance(x, np.generic):
        x = x.item()
    if not isinstance(x, (bool, int, float)):
        i = next(i for i, o in enumerate(operands) if o is x)
        raise GradTypeError(
            f"{op.short}(): argument '{op.operand_name(i)}' (position {i + 1}) must be Tensor, not {type(x).__name__}",
            loc=b.loc,
        )
    like: DType | None = None
    for o in operands:
        if isinstance(o, Tensor):
            d = o._type.dtype
            like = d if like is None or d is like else promote_dtypes(like, d)
    scalar: int = b.scalar(x, eager.dtype_beside(x, eager.opmath(op, like, operands))).v
    return scalar


def full(b: GraphBuilder, shape: tuple[int, ...], value: Any, like: DType) -> int:
    """One value everywhere."""
    v: int
    if not shape:
        v = b.scalar(value, like).v
    else:
        v = b.run(REGISTRY["grad.full"], (), {"shape": shape, "value": value, "dtype": like})
    return v


def constant(b: GraphBuilder, array: np.ndarray[Any, Any]) -> int:
    """An array as an attribute of the graph: one number where all elements are the same, else its bytes."""
    t = type_of_array(array)
    if array.size:
        first = array.flat[0]
        if (array == first).all() and (first != 0 or not np.signbit(array).any()):
            return full(b, t.shape, first.item(), t.dtype)
    data = Dense(np.ascontiguousarray(array).tobytes(), t.shape, t.dtype)
    v: int = b.run(REGISTRY["grad.dense"], (), {"value": data})
    return v


DRAWS = {"uniform": "grad.uniform", "normal": "grad.normal", "integer": "grad.randint"}


def drawing(kind: str, shape: tuple[int, ...], params: dict[str, Any]) -> Op | None:
    """The op that draws numbers of this kind inside a kernel, if there is one."""
    if not shape or params.get("high", 0) - params.get("low", 0) > 2**32:
        return None
    return REGISTRY.get(DRAWS.get(kind, ""))


def drawn(kind: str, shape: tuple[int, ...], d: DType, params: dict[str, Any]) -> Tensor:
    """Random numbers from the default generator, as an eager call draws them."""
    from .random import rng_of
    from .sampling import draw

    rng = rng_of(None)
    array = rng.permutation(shape[0]) if kind == "permutation" else draw(kind, shape, rng, **params)
    return Tensor._of(np.asarray(array).astype(d.numpy))
