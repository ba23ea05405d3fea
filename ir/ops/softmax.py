"""softmax, log_softmax and logsumexp along axes, by the greatest element of each row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import DType, TensorType, f32, tensor

from .axis import keep_dims, narrow, require_float, select, wide
from .extreme import sample_dim
from .family import axes, reduced_shape
from .reduce import sample_axes


def along(self_t: Any, dim: int) -> tuple[int, ...]:
    """The axis of a row op; a scalar has none."""
    return (dim,) if self_t.ndim else ()


def _row_type(name: str) -> Callable[..., TensorType]:
    def infer(x: TensorType, *, dim: int) -> TensorType:
        last = dim == max(x.ndim - 1, 0)
        require_float(f"{name}_lastdim_kernel_impl" if last else f"{name}_kernel_impl", x)
        return x

    return infer


def _exponentials(b: Any, self: Any, dim: int) -> tuple[Any, Any, Any]:
    """Rows less their greatest element, the exponentials of that, and their sum."""
    x = wide(b, self)
    dims = along(self, dim)
    shifted = x - b.amax(x, dims=dims, keepdim=True) if 0 not in x.shape else x
    e = b.exp(shifted)
    return shifted, e, b.sum(e, dims=dims, keepdim=True)


def _softmax(b: Any, self: Any, dim: Any) -> Any:
    _, e, total = _exponentials(b, self, dim)
    return narrow(b, e / total, self.dtype)


def _log_softmax(b: Any, self: Any, dim: Any) -> Any:
    shifted, _, total = _exponentials(b, self, dim)
    return narrow(b, shifted - b.log(total), self.dtype)


def _np_shift(x: Any, dim: int) -> tuple[Any, Any]:
    axis = along(x, dim)
    shifted = x - np.max(x, axis=axis, keepdims=True) if x.size else x
    return shifted, np.sum(np.exp(shifted), axis=axis, keepdims=True)


def _np_softmax(x: Any, dim: Any) -> Any:
    shifted, total = _np_shift(x, dim)
    return np.exp(shifted) / total


def _np_log_softmax(x: Any, dim: Any) -> Any:
    shifted, total = _np_shift(x, dim)
    return shifted - np.log(total)


def _softmax_ct(b: Any, ct: Any, result: Any, dim: Any) -> Any:
    g, p = wide(b, ct), wide(b, result)
    return (g - b.sum(g * p, dims=along(result, dim), keepdim=True)) * p


def _log_softmax_ct(b: Any, ct: Any, result: Any, dim: Any) -> Any:
    g, p = wide(b, ct), wide(b, result)
    return g - b.exp(p) * b.sum(g, dims=along(result, dim), keepdim=True)


def default_dim(rank: int) -> int:
    """The axis that torch's functional spellings choose when none is given."""
    return 0 if rank in (0, 1, 3) else 1


def _row_call(op: Any, self: Any, dim: Any, dtype: Any = None) -> Any:
    x = self if dtype is None else self.to(dtype)
    return op(x, dim=normalize_axis(dim, x.ndim))


def _functional_call(op: Any, input: Any, dim: Any = None, _stacklevel: Any = 3, dtype: Any = None) -> Any:
    return _row_call(op, input, default_dim(input.ndim) if dim is None else dim, dtype)


def _softmin_call(op: Any, input: Any, dim: Any = None, _stacklevel: Any = 3, dtype: Any = None) -> Any:
    return _functional_call(op, -input, dim, _stacklevel, dtype)


SOFTMAX = define(
    Op(
        name="grad.softmax",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs={"dim": "int"},
        infer=_row_type("softmax"),
        numpy=_np_softmax,
        decompose=_softmax,
        adjoint={"self": _softmax_ct},
        grad_fn="SoftmaxBackward0",
        saved={"result": "result", "dim": "dim"},
        torch=(
            Torch(_row_call, ("softmax", "special.softmax"), ("softmax",)),
            Torch(_functional_call, ("nn.functional.softmax",)),
            Torch(_softmin_call, ("nn.functional.softmin",)),
        ),
        sample=lambda rng: [(a, {"dim": attrs["dim"]}) for a, attrs in sample_dim(rng)],
        doc="A row of -inf gives NaN, as in torch.",
    )
)

LOG_SOFTMAX = define(
    Op(
        name="grad.log_softmax",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs={"dim": "int"},
        infer=_row_type("log_softmax"),
        numpy=_np_log_softmax,
        decompose=_log_softmax,
        adjoint={"self": _log_softmax_ct},
        grad_fn="LogSoftmaxBackward0",
        saved={"result": "result", "dim": "dim"},
        torch=(
            Torch(_row_call, ("log_softmax", "special.log_softmax"), ("log_softmax",)),
            Torch(_functional_call, ("nn.functional.log_softmax",)),
        ),
        sample=lambda rng: [(a, {"dim": attrs["dim"]}) for a, attrs in sample_dim(rng)],
    )
)


def _logsumexp_type(x: TensorType, *, dims: tuple[int, ...], keepdim: bool = False) -> TensorType:
    d: DType = x.dtype if x.dtype.is_float else f32
    return tensor(reduced_shape(x.shape, dims, keepdim), d)


def _logsumexp(b: Any, self: Any, dims: Any, keepdim: Any = False) -> Any:
    out = self.dtype if self.dtype.is_float else f32
    x = wide(b, self) if self.dtype.is_float else b.convert(self, dtype=f32)
    if 0 in x.shape:
        return narrow(b, b.log(b.sum(b.exp(x), dims=dims, keepdim=keepdim)), out)
    top = b.amax(x, dims=dims, keepdim=True)
    top = select(b, b.abs(top).eq(float("inf")), b.scalar(0, top.dtype), top)
    log = b.log(b.sum(b.exp(x - top), dims=dims, keepdim=keepdim))
    return narrow(b, log + (top if keepdim else b.reshape(top, shape=log.shape)), out)


def _np_logsumexp(x: Any, dims: Any, keepdim: Any = False) -> Any:
    x = x if x.dtype.kind == "f" else x.astype(np.float32)
    top = np.max(x, axis=dims, keepdims=True) if x.size else x.dtype.type(0)
    top = np.where(np.isinf(top), x.dtype.type(0), top)
    log = np.log(np.sum(np.exp(x - top), axis=dims, keepdims=keepdim))
    return log + (top if keepdim or not x.size else top.reshape(log.shape))


def _logsumexp_ct(b: Any, ct: Any, self: Any, result: Any, dims: Any, keepdim: Any) -> Any:
    x, total = wide(b, self), wide(b, keep_dims(b, result, self.shape, dims, keepdim))
    return keep_dims(b, ct, self.shape, dims, keepdim) * b.exp(x - total)


LOGSUMEXP = define(
    Op(
        name="grad.logsumexp",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs={"dims": "ints", "keepdim": "bool"},
        infer=_logsumexp_type,
        numpy=_np_logsumexp,
        decompose=_logsumexp,
        adjoint={"self": _logsumexp_ct},
        grad_fn="LogsumexpBackward0",
        saved={"self": "self", "result": "result", "keepdim": "keepdim"},
        torch=(
            Torch(
                lambda op, self, dim, keepdim=False: op(self, dims=axes(dim, self.ndim), keepdim=keepdim),
                ("logsumexp", "special.logsumexp"),
                ("logsumexp",),
            ),
        ),
        sample=sample_axes,
    )
)
