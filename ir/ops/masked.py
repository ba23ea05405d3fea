"""Sums over the elements that a condition selects."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, i1, i64, tensor

from .axis import keep_dims, require_float, select
from .family import axes, reduced_shape

_NANSUM_SAMPLE = np.asarray([[1.0, np.nan, 3.0], [np.nan, np.nan, 2.0]], np.float32)


def _nansum_call(op: Any, self: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any:
    x = self if dtype is None else self.to(dtype)
    return op(x, dims=axes(dim, x.ndim), keepdim=keepdim) if x.dtype.is_float else x.sum(dim, keepdim)


def _nanmean_call(op: Any, self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    x = self if dtype is None else self.to(dtype)
    there = (x == x).sum(dim, keepdim)
    return op(x, dims=axes(dim, x.ndim), keepdim=keepdim) / there


def _nansum_type(x: TensorType, *, dims: tuple[int, ...], keepdim: bool = False) -> TensorType:
    require_float("nansum_cpu", x)
    return tensor(reduced_shape(x.shape, dims, keepdim), x.dtype)


NANSUM = define(
    Op(
        name="grad.nansum",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs={"dims": "ints", "keepdim": "bool?"},
        infer=_nansum_type,
        numpy=lambda x, dims, keepdim=False: np.nansum(x, axis=dims, keepdims=keepdim),
        decompose=lambda b, self, dims, keepdim=False: b.sum(
            select(b, self.eq(self), self, 0), dims=dims, keepdim=keepdim
        ),
        adjoint={
            "self": lambda b, ct, self, dims, keepdim: select(
                b, self.eq(self), keep_dims(b, ct, self.shape, dims, keepdim), 0
            )
        },
        grad_fn="NansumBackward0",
        saved={"self": "self", "keepdim": "keepdim"},
        torch=(
            Torch(_nansum_call, ("nansum",), ("nansum",)),
            Torch(_nanmean_call, ("nanmean",), ("nanmean",)),
        ),
        sample=lambda rng: [([_NANSUM_SAMPLE], {"dims": (1,), "keepdim": False}), ([_NANSUM_SAMPLE], {"dims": (0, 1)})],
    )
)


def _count(b: Any, self: Any, dims: Any) -> Any:
    return b.sum(self if self.dtype is i1 else self.ne(0), dims=dims, keepdim=False)


COUNT_NONZERO = define(
    Op(
        name="grad.count_nonzero",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs={"dims": "ints"},
        infer=lambda x, dims: tensor(reduced_shape(x.shape, dims, False), i64),
        numpy=lambda x, dims: np.count_nonzero(x, axis=dims),
        decompose=_count,
        torch=(
            Torch(
                lambda op, self, dim=None: op(self, dims=axes(dim, self.ndim)), ("count_nonzero",), ("count_nonzero",)
            ),
        ),
        sample=lambda rng: [([rng.integers(0, 3, (3, 4)).astype(np.float32)], {"dims": (1,)})],
    )
)
