"""Tensors made from nothing: coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.op import SOURCE, Op, define
from gradc.ir.types import DType, TensorType, f32, i1, i64, tensor


def _iota_type(*, shape: tuple[int, ...], dim: int, dtype: DType = i64) -> TensorType:
    return tensor(shape, dtype)


def _iota_numpy(*, shape: tuple[int, ...], dim: int, dtype: DType = i64) -> Any:
    column = [1] * len(shape)
    column[dim] = shape[dim]
    return np.broadcast_to(np.arange(shape[dim]).astype(dtype.numpy).reshape(column), shape)


IOTA = define(
    Op(
        name="grad.iota",
        kind=SOURCE,
        operands=(),
        results=("result",),
        attrs={"shape": "ints", "dim": "int", "dtype": "dtype"},
        infer=_iota_type,
        numpy=_iota_numpy,
        flops=0,
        sample=lambda rng: [
            ((), {"shape": (3, 4), "dim": 1, "dtype": i64}),
            ((), {"shape": (5,), "dim": 0, "dtype": f32}),
            ((), {"shape": (0, 2), "dim": 0, "dtype": i64}),
        ],
        doc="Each element's coordinate along `dim`.",
        traits=frozenset({"dup"}),
    )
)

EYE = define(
    Op(
        name="grad.eye",
        kind=SOURCE,
        operands=(),
        results=("result",),
        attrs={"n": "int", "m": "int", "dtype": "dtype"},
        infer=lambda *, n, m, dtype: tensor((n, m), dtype),
        numpy=lambda *, n, m, dtype: np.eye(n, m, dtype=dtype.numpy),
        decompose=lambda b, *, n, m, dtype: b.convert(
            b.iota(shape=(n, m), dim=0, dtype=i64).eq(b.iota(shape=(n, m), dim=1, dtype=i64)), dtype=dtype
        ),
        flops=0,
        sample=lambda rng: [((), {"n": 3, "m": 4, "dtype": f32}), ((), {"n": 2, "m": 2, "dtype": i1})],
        doc="Ones where row and column agree.",
    )
)
