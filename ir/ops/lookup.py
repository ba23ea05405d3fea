"""torch's table look-ups: index_select, embedding, one_hot."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis
from gradc.ir.errors import DTypeError, GradIndexError, GradRuntimeError, GradValueError, ShapeError, UnsupportedError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, i64, tensor

from .axis import SCALAR_NAMES
from .shape import normal
from .take import INDEX_DTYPES, outside, whole


def _select_type(self: TensorType, index: TensorType, *, dim: int) -> TensorType:
    if index.ndim > 1:
        raise GradIndexError("index_select(): Index is supposed to be a vector")
    if index.dtype not in INDEX_DTYPES:
        raise DTypeError("index_select(): Expected dtype int32 or int64 for index")
    if not self.shape:
        if index.numel != 1:
            raise GradIndexError("index_select(): Index to scalar can have only 1 value, got 0 value(s)")
        return self
    return tensor((*self.shape[:dim], index.numel, *self.shape[dim + 1 :]), self.dtype)


def _in_self(index: Any, size: int) -> Any:
    return ((outside(index, 0, size), "index", "index out of range in self"),)


def _select_parts(b: Any, self: Any, index: Any, dim: int) -> Any:
    vector = index if index.ndim else b.reshape(index, shape=(1,))
    if self.ndim:
        return b.take(self, vector, dim=dim)
    return b.reshape(b.take(b.reshape(self, shape=(1,)), vector, dim=0), shape=())


def _select_adjoint(b: Any, ct: Any, self_t: TensorType, index: Any, dim: int) -> Any:
    vector = index if index.ndim else b.reshape(index, shape=(1,))
    if self_t.shape:
        return b.take_add(ct, vector, dim=dim, size=self_t.shape[dim])
    return b.reshape(b.take_add(b.reshape(ct, shape=(1,)), vector, dim=0, size=1), shape=())


INDEX_SELECT = define(
    Op(
        name="grad.index_select",
        kind=COMPOSITE,
        operands=("self", "index"),
        results=("result",),
        attrs={"dim": "int"},
        infer=_select_type,
        decompose=_select_parts,
        check=lambda b, self, index, dim: _in_self(index, self.shape[dim] if self.ndim else 1),
        adjoint={"self": _select_adjoint},
        grad_fn="IndexSelectBackward0",
        saved={"dim": "dim", "index": "index"},
        flops=0,
        torch=(
            Torch(
                lambda op, self, dim, index: op(self, index, dim=normalize_axis(dim, self.ndim)),
                ("index_select",),
                ("index_select",),
            ),
        ),
        sample=lambda rng: [
            ((normal(rng, 2, 5), whole(rng, 5, 3)), {"dim": 1}),
            ((normal(rng, 3), whole(rng, 3)), {"dim": 0}),
        ],
        doc="The slices of `dim` that an index vector names.",
    )
)


def _embedding_type(weight: TensorType, indices: TensorType, *, padding_idx: int | None = None) -> TensorType:
    if weight.ndim != 2:
        raise ShapeError("'weight' must be 2-D")
    if indices.dtype not in INDEX_DTYPES:
        got = SCALAR_NAMES[indices.dtype.name]
        raise DTypeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"torch.{got}Tensor instead (while checking arguments for embedding)"
        )
    return tensor((*indices.shape, weight.shape[1]), weight.dtype)


def _embedding_adjoint(b: Any, ct: Any, weight_t: TensorType, indices: Any, padding_idx: int | None) -> Any:
    if padding_idx is not None:
        padding = b.unsqueeze(indices.eq(padding_idx), dim=indices.ndim)
        ct = b.where(padding, b.scalar(0, ct.dtype), ct)
    return b.take_add(ct, indices, dim=0, size=weight_t.shape[0])


def _embedding_call(
    op: Any,
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    for name, given in (("max_norm", max_norm), ("scale_grad_by_freq", scale_grad_by_freq), ("sparse", sparse)):
        if given:
            raise UnsupportedError(f"embedding: {name} is not covered")
    n = weight.shape[0]
    if padding_idx is not None:
        if not -n <= padding_idx < n:
            raise GradValueError("Padding_idx must be within num_embeddings")
        padding_idx %= n
    return op(weight, input, padding_idx=padding_idx)


EMBEDDING = define(
    Op(
        name="grad.embedding",
        kind=COMPOSITE,
        operands=("weight", "indices"),
        results=("result",),
        attrs={"padding_idx": "int?"},
        infer=_embedding_type,
        decompose=lambda b, weight, indices, padding_idx=None: b.take(weight, indices, dim=0),
        adjoint={"weight": _embedding_adjoint},
        check=lambda b, weight, indices, padding_idx=None: _in_self(indices, weight.shape[0]),
        grad_fn="EmbeddingBackward0",
        saved={"indices": "indices", "padding_idx": "padding_idx"},
        flops=0,
        torch=(Torch(_embedding_call, ("nn.functional.embedding",)),),
        sample=lambda rng: [
            ((normal(rng, 5, 3), whole(rng, 5, 2, 2)), {}),
            ((normal(rng, 5, 3), whole(rng, 5, 4)), {"padding_idx": 1}),
        ],
        doc="Rows of a table; the row `padding_idx` gets no gradient.",
    )
)


NEGATIVE = "Class values must be non-negative."
TOO_LARGE = "Class values must be smaller than num_classes."


def _one_hot_type(self: TensorType, *, num_classes: int) -> TensorType:
    if self.dtype is not i64:
        raise DTypeError("one_hot is only applicable to index tensor of type LongTensor.")
    return tensor((*self.shape, num_classes), i64)


def _one_hot_numpy(x: Any, num_classes: int) -> Any:
    if (x < 0).any():
        raise GradRuntimeError(NEGATIVE)
    if (x >= num_classes).any():
        raise GradRuntimeError(TOO_LARGE)
    return (x[..., None] == np.arange(num_classes)).astype(np.int64)


def _one_hot_parts(b: Any, self: Any, num_classes: int) -> Any:
    classes = b.iota(shape=(num_classes,), dim=0, dtype=i64)
    return b.convert(b.unsqueeze(self, dim=self.ndim).eq(classes), dtype=i64)


def _one_hot_call(op: Any, tensor: Any, num_classes: int = -1) -> Any:
    if num_classes == -1:
        num_classes = int(tensor.max().item()) + 1
    return op(tensor, num_classes=num_classes)


ONE_HOT = define(
    Op(
        name="grad.one_hot",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs={"num_classes": "int"},
        infer=_one_hot_type,
        numpy=_one_hot_numpy,
        decompose=_one_hot_parts,
        check=lambda b, self, num_classes: (
            (self < 0, "runtime", NEGATIVE),
            (self >= num_classes, "runtime", TOO_LARGE),
        ),
        flops=0,
        torch=(Torch(_one_hot_call, ("nn.functional.one_hot",)),),
        sample=lambda rng: [((whole(rng, 4, 2, 3),), {"num_classes": 4}), ((whole(rng, 4),), {"num_classes": 5})],
        doc="1 at the class, 0 elsewhere, along a new last dimension.",
    )
)
