"""Vector norms over axes, under torch's three spellings, and what is composed of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError, GradRuntimeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, tensor

from .axis import SCALAR_NAMES, keep_dims, narrow, select, sign, wide
from .family import axes, reduced_shape


def _type(x: TensorType, *, p: float, dims: tuple[int, ...], keepdim: bool = False) -> TensorType:
    if not x.dtype.is_float:
        raise DTypeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. "
            f"Got {SCALAR_NAMES[x.dtype.name]}"
        )
    if (math.isinf(p) or p < 0) and any(x.shape[d] == 0 for d in dims):
        where = "an empty tensor because"
        if len(dims) != x.ndim:
            where = f"the dimension {dims[0]} because this dimension is empty and"
        raise GradRuntimeError(
            f"linalg.vector_norm cannot compute the {p:g} norm on {where} the operation does not have an identity"
        )
    return tensor(reduced_shape(x.shape, dims, keepdim), x.dtype)


def _norm(b: Any, self: Any, p: Any, dims: Any, keepdim: Any = False) -> Any:
    x = wide(b, self)
    if p == 0:
        out = b.sum(b.convert(x.ne(0), dtype=x.dtype), dims=dims, keepdim=keepdim)
    elif p == 1:
        out = b.sum(b.abs(x), dims=dims, keepdim=keepdim)
    elif p == 2:
        out = b.sqrt(b.sum(x * x, dims=dims, keepdim=keepdim))
    elif math.isinf(p):
        out = (b.amax if p > 0 else b.amin)(b.abs(x), dims=dims, keepdim=keepdim)
    else:
        out = b.pow(b.sum(b.pow(b.abs(x), float(p)), dims=dims, keepdim=keepdim), 1.0 / p)
    return narrow(b, out, self.dtype)


def _np_norm(x: Any, p: Any, dims: Any, keepdim: Any = False) -> Any:
    a = np.abs(x)
    if math.isinf(p):
        return (np.max if p > 0 else np.min)(a, axis=dims, keepdims=keepdim)
    if p == 0:
        return np.sum(x != 0, axis=dims, keepdims=keepdim)
    return np.sum(a ** x.dtype.type(p), axis=dims, keepdims=keepdim) ** x.dtype.type(1.0 / p)


def _norm_ct(b: Any, ct: Any, self: Any, result: Any, p: Any, dims: Any, keepdim: Any) -> Any:
    x = wide(b, self)
    norm = keep_dims(b, wide(b, result), x.shape, dims, keepdim)
    g = keep_dims(b, wide(b, ct), x.shape, dims, keepdim)
    if p == 0:
        return None
    if p == 1:
        return b.sign(x) * g
    if p == 2:
        return x * select(b, norm.ne(0), g / norm, 0)
    if math.isinf(p):
        hit = b.convert(b.abs(x).eq(norm), dtype=x.dtype)
        return sign(b, x) * hit * (g / b.sum(hit, dims=dims, keepdim=True))
    if p < 1:
        scaled = select(b, x.ne(0), sign(b, x) * b.pow(b.abs(x), float(p - 1)), 0)
        return scaled * g * b.pow(norm, float(1 - p))
    steep = sign(b, x) * b.pow(b.abs(x), float(p - 1)) if p < 2 else x * b.pow(b.abs(x), float(p - 2))
    return steep * select(b, norm.ne(0), g / b.pow(norm, float(p - 1)), 0)


def _vector_norm(op: Any, x: Any, ord: Any = 2, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any:
    x = x if dtype is None else x.to(dtype)
    return op(x, p=float(ord), dims=axes(dim, x.ndim), keepdim=keepdim)


def _torch_norm(op: Any, self: Any, p: Any = "fro", dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any:
    if p == "nuc" or (isinstance(p, str) and p != "fro"):
        raise GradRuntimeError(f"norm: only vector norms and 'fro' are supported, got p={p!r}")
    return _vector_norm(op, self, 2 if p in (None, "fro") else p, dim, keepdim, dtype=dtype)


def _linalg_norm(op: Any, A: Any, ord: Any = None, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any:
    matrix = (A.ndim == 2 and dim is None) or (isinstance(dim, (tuple, list)) and len(dim) == 2)
    if ord is not None and matrix and ord != "fro":
        raise GradRuntimeError(f"linalg.norm: of the matrix norms only 'fro' is supported, got ord={ord!r}")
    return _vector_norm(op, A, 2 if ord in (None, "fro") else ord, dim, keepdim, dtype=dtype)


def _normalize(op: Any, input: Any, p: Any = 2.0, dim: Any = 1, eps: Any = 1e-12) -> Any:
    return input / input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)


def _cosine_similarity(op: Any, x1: Any, x2: Any, dim: Any = 1, eps: Any = 1e-08) -> Any:
    def unit(x: Any) -> Any:
        return x / op(x, p=2.0, dims=axes(dim, x.ndim), keepdim=True).clamp_min(eps)

    return (unit(x1) * unit(x2)).sum(dim)


def _pairwise_distance(op: Any, x1: Any, x2: Any, p: Any = 2.0, eps: Any = 1e-06, keepdim: Any = False) -> Any:
    return (x1 - x2 + eps).norm(p, -1, keepdim)


def _sample(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    return [([x], {"p": p, "dims": (0, 2), "keepdim": False}) for p in (1.0, 2.0, math.inf, -math.inf, 3.0, 1.5, 0.5)]


VECTOR_NORM = define(
    Op(
        name="grad.vector_norm",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs={"p": "float", "dims": "ints", "keepdim": "bool"},
        infer=_type,
        numpy=_np_norm,
        decompose=_norm,
        adjoint={"self": _norm_ct},
        grad_fn="LinalgVectorNormBackward0",
        saved={"self": "self", "result": "result", "ord": "p", "keepdim": "keepdim"},
        torch=(
            Torch(_vector_norm, ("linalg.vector_norm",)),
            Torch(_linalg_norm, ("linalg.norm",)),
            Torch(_torch_norm, ("norm",), ("norm",)),
            Torch(_normalize, ("nn.functional.normalize",)),
            Torch(_cosine_similarity, ("nn.functional.cosine_similarity", "cosine_similarity")),
            Torch(_pairwise_distance, ("nn.functional.pairwise_distance", "pairwise_distance")),
        ),
        sample=_sample,
        doc="The gradient at a zero vector is 0, one of the subgradients, as in torch.",
    )
)
