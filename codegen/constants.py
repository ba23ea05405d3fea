"""Constants of a kernel: folded with the ops' own NumPy meaning, so that printed text holds literals only."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np

from gradc.ir.graph import Graph, Node
from gradc.ir.op import lookup
from gradc.ir.types import DType, TileType

Number: TypeAlias = bool | int | float


def as_stored(value: Number, dtype: DType) -> Number:
    """The Python number that this dtype's rounding makes of a number."""
    with np.errstate(all="ignore"):
        rounded: Number = np.asarray(value).astype(dtype.numpy).item()
    return rounded


def fold(kernel: Graph, node: Node, constants: dict[int, Number]) -> None:
    """Record the node's result in `constants` if its operands are all there."""
    if node.op.name == "tile.constant":
        constants[node.results[0]] = as_stored(node.attrs["value"], node.attrs["dtype"])
        return
    if "scalar" not in node.op.traits or any([o not in constants for o in node.operands]):
        return
    dtypes = []
    for v in (*node.operands, node.results[0]):
        t = kernel.types[v]
        assert isinstance(t, TileType)
        dtypes.append(t.dtype)
    values = tuple(repr(constants[o]) for o in node.operands)
    constants[node.results[0]] = _applied(node.op.name, values, tuple(dtypes), node.attrs.get("dtype"))


@lru_cache(maxsize=8192)
def _applied(name: str, values: tuple[str, ...], dtypes: tuple[DType, ...], dtype: DType | None) -> Number:
    """An op on numbers, given as text because 0.0 and -0.0 are one key but two numbers."""
    op = lookup(name)
    assert op.numpy is not None
    arrays = [np.asarray([_number(v, d)], d.numpy) for v, d in zip(values, dtypes, strict=False)]
    with np.errstate(all="ignore"):
        out = np.asarray(op.numpy(*arrays, **({} if dtype is None else {"dtype": dtype})))
        result: Number = out.astype(dtypes[-1].numpy, copy=False).reshape(-1)[0].item()
    return result


def _number(text: str, dtype: DType) -> Number:
    if dtype.is_float:
        return float(text)
    return text == "True" if dtype.kind == "bool" else int(text)


def float_text(value: float, dtype: DType) -> str:
    """The shortest decimal that this dtype reads back as the value; `inf`, `-inf` and `nan` for what has none."""
    if value != value:
        return "nan"
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    if dtype.bits == 64 or (abs(value) < 2**24 and value == int(value)):
        return repr(float(value))
    text = repr(float(str(np.float32(value))))
    return text if np.float32(float(text)) == np.float32(value) else repr(float(value))
