"""Means and variances: compositions of sums, variances in two passes over their axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError, GradRuntimeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, tensor

from .axis import SCALAR_NAMES, drop_dims, expand, extent, keep_dims, narrow, select, wide
from .composed import LOSS_SPELLINGS
from .family import axes, camel, reduced_shape
from .margin import MARGIN_SPELLINGS
from .reduce import sample_axes

AXES = {"dims": "ints", "keepdim": "bool"}


def _mean_type(x: TensorType, *, dims: tuple[int, ...], keepdim: bool = False) -> TensorType:
    if not x.dtype.is_float:
        raise DTypeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {SCALAR_NAMES[x.dtype.name]}"
        )
    return tensor(reduced_shape(x.shape, dims, keepdim), x.dtype)


def _mean_call(op: Any, self: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any:
    x = self if dtype is None else self.to(dtype)
    return op(x, dims=axes(dim, x.ndim), keepdim=keepdim, grad_fn="MeanBackward0" if dim is None else "MeanBackward1")


def _mean(b: Any, self: Any, dims: Any, keepdim: Any = False) -> Any:
    total = b.sum(wide(b, self), dims=dims, keepdim=keepdim)
    return narrow(b, total / float(extent(self.shape, dims)), self.dtype)


def _mean_ct(b: Any, ct: Any, self_t: Any, dims: Any, keepdim: Any) -> Any:
    return expand(b, ct / float(extent(self_t.shape, dims)), self_t.shape, dims, keepdim)


def _np_mean(x: Any, dims: Any, keepdim: Any = False) -> Any:
    return np.sum(x, axis=dims, keepdims=keepdim) / x.dtype.type(extent(x.shape, dims))


MEAN = define(
    Op(
        name="grad.mean",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs=AXES,
        infer=_mean_type,
        numpy=_np_mean,
        decompose=_mean,
        adjoint={"self": _mean_ct},
        grad_fn="MeanBackward0",
        saved={"keepdim": "keepdim"},
        torch=(Torch(_mean_call, ("mean",), ("mean",)), *LOSS_SPELLINGS, *MARGIN_SPELLINGS),
        sample=sample_axes,
    )
)


def freedom(shape: tuple[int, ...], dims: tuple[int, ...], correction: float) -> float:
    """What a sum of squares is divided by; never negative, so that too few elements give inf or NaN, as in torch."""
    return max(0.0, extent(shape, dims) - float(correction))


def _var_type(x: TensorType, *, dims: tuple[int, ...], keepdim: bool = False, correction: float = 1) -> TensorType:
    if not x.dtype.is_float:
        raise GradRuntimeError("std and var only support floating point and complex dtypes")
    return tensor(reduced_shape(x.shape, dims, keepdim), x.dtype)


def _np_var(x: Any, dims: Any, keepdim: Any = False, correction: Any = 1) -> Any:
    centred = x - _np_mean(x, dims, True)
    return np.sum(centred * centred, axis=dims, keepdims=keepdim) / x.dtype.type(freedom(x.shape, dims, correction))


def _moments(b: Any, self: Any, dims: Any, keepdim: Any = False, correction: Any = 1) -> Any:
    """Variance and mean, in the compute dtype."""
    x = wide(b, self)
    mean = b.sum(x, dims=dims, keepdim=True) / float(extent(x.shape, dims))
    centred = x - mean
    total = b.sum(centred * centred, dims=dims, keepdim=keepdim)
    return total / freedom(x.shape, dims, correction), drop_dims(b, mean, x.shape, dims, keepdim)


def _var_ct(b: Any, ct: Any, self: Any, dims: Any, keepdim: Any, correction: Any) -> Any:
    x = wide(b, self)
    centred = x - b.sum(x, dims=dims, keepdim=True) / float(extent(x.shape, dims))
    free = extent(x.shape, dims) - (1 if correction is None else correction)
    scale = 2.0 / free if free else float("inf")
    return keep_dims(b, ct, x.shape, dims, keepdim) * scale * centred


def _std_ct(b: Any, ct: Any, self: Any, result: Any, dims: Any, keepdim: Any, correction: Any) -> Any:
    scaled = select(b, result.ne(0), ct / (result * 2), 0)
    return _var_ct(b, scaled, self, dims, keepdim, correction)


def _spread_call(
    op: Any, self: Any, dim: Any = None, unbiased: Any = None, keepdim: Any = False, *, correction: Any = None
) -> Any:
    """torch's overloads: var(x), var(x, False), var(x, dim), var(x, dim, False, keepdim), and `correction` by name."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return op(self, dims=axes(dim, self.ndim), keepdim=keepdim, correction=correction)


def sample_spread(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    return [
        ([x], {"dims": (0, 1, 2), "keepdim": False, "correction": 1}),
        ([x], {"dims": (1,), "keepdim": True, "correction": 0}),
        ([x], {"dims": (0, 2), "keepdim": False, "correction": 2}),
    ]


def spread(name: str, results: tuple[str, ...], **more: Any) -> Op:
    """Define one of var, std, var_mean, std_mean; the first result is the spread, a second the mean."""
    infer = _var_type if len(results) == 1 else lambda x, **attrs: (_var_type(x, **attrs),) * 2
    return define(
        Op(
            name=f"grad.{name}",
            kind=COMPOSITE,
            operands=("self",),
            results=results,
            attrs=AXES | {"correction": "number"},
            infer=infer,
            grad_fn=f"{camel(name)}Backward0",
            saved={"self": "self", "keepdim": "keepdim", "correction": "correction"} | more.pop("saved", {}),
            torch=(Torch(_spread_call, (name,), (name,) if len(results) == 1 else ()),),
            sample=sample_spread,
            **more,
        )
    )


def _joined(first: Any, second: Any) -> Any:
    return first if second is None else second if first is None else first + second


def _var_mean_ct(
    b: Any, ct: Any, ct_mean: Any, self: Any, self_t: Any, dims: Any, keepdim: Any, correction: Any
) -> Any:
    return _joined(
        None if ct is None else _var_ct(b, ct, self, dims, keepdim, correction),
        None if ct_mean is None else _mean_ct(b, ct_mean, self_t, dims, keepdim),
    )


def _std_mean_ct(
    b: Any, ct: Any, ct_mean: Any, self: Any, self_t: Any, std: Any, dims: Any, keepdim: Any, correction: Any
) -> Any:
    return _joined(
        None if ct is None else _std_ct(b, ct, self, std, dims, keepdim, correction),
        None if ct_mean is None else _mean_ct(b, ct_mean, self_t, dims, keepdim),
    )


def _var_mean(b: Any, self: Any, **attrs: Any) -> Any:
    var, mean = _moments(b, self, **attrs)
    return narrow(b, var, self.dtype), narrow(b, mean, self.dtype)


def _std_mean(b: Any, self: Any, **attrs: Any) -> Any:
    var, mean = _moments(b, self, **attrs)
    return narrow(b, b.sqrt(var), self.dtype), narrow(b, mean, self.dtype)


VAR = spread(
    "var",
    ("result",),
    numpy=_np_var,
    decompose=lambda b, self, **attrs: narrow(b, _moments(b, self, **attrs)[0], self.dtype),
    adjoint={"self": _var_ct},
)

STD = spread(
    "std",
    ("result",),
    numpy=lambda x, **attrs: np.sqrt(_np_var(x, **attrs)),
    decompose=lambda b, self, **attrs: narrow(b, b.sqrt(_moments(b, self, **attrs)[0]), self.dtype),
    adjoint={"self": _std_ct},
    saved={"result": "result"},
    doc="Where the deviation is 0 its gradient is 0.",
)

VAR_MEAN = spread(
    "var_mean",
    ("var", "mean"),
    numpy=lambda x, correction=1, **attrs: (_np_var(x, correction=correction, **attrs), _np_mean(x, **attrs)),
    decompose=_var_mean,
    adjoint={"self": _var_mean_ct},
)

STD_MEAN = spread(
    "std_mean",
    ("std", "mean"),
    numpy=lambda x, correction=1, **attrs: (np.sqrt(_np_var(x, correction=correction, **attrs)), _np_mean(x, **attrs)),
    decompose=_std_mean,
    adjoint={"self": _std_mean_ct},
    saved={"result0": "std"},
)
