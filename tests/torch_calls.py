"""torch's calls for records whose attributes are not torch's parameters: operands, then the record's attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import philox


def _torch() -> Any:
    import torch

    return torch


def _functional() -> Any:
    import torch.nn.functional

    return torch.nn.functional


def _dtype(d: Any) -> Any:
    return getattr(_torch(), d.torch_name)


def _slices(start: Any, limit: Any, step: Any) -> tuple[slice, ...]:
    return tuple(slice(s, e, t) for s, e, t in zip(start, limit, step, strict=True))


def _unslice(x: Any, shape: Any, start: Any, limit: Any, step: Any) -> Any:
    out = _torch().zeros(shape, dtype=x.dtype)
    out[_slices(start, limit, step)] = x
    return out


def _dims_all(x: Any, name: str, dims: Any, keepdim: bool = False) -> Any:
    """all and any of torch take several dims, and none as all of them."""
    f = getattr(_torch(), name)
    return f(x, dim=dims, keepdim=keepdim) if dims else x.bool()


def _prod(x: Any, dims: Any, keepdim: bool = False) -> Any:
    x = x if x.dtype.is_floating_point else x.long()
    for d in sorted(dims, reverse=True):
        x = x.prod(dim=d, keepdim=keepdim)
    return x


def _iota(shape: Any, dim: int, dtype: Any) -> Any:
    n = shape[dim]
    view = [n if i == dim else 1 for i in range(len(shape))]
    return _torch().arange(n, dtype=_dtype(dtype)).view(view).expand(shape)


def _reduced(name: str) -> Callable[..., Any]:
    """A reduction by dims; no dims at all leave the tensor as it is."""

    def call(x: Any, dims: Any, **attrs: Any) -> Any:
        if not dims:
            x, dims = x.unsqueeze(0), (0,)
            attrs["keepdim"] = False
        return getattr(_torch(), name)(x, dim=dims, **attrs)

    return call



def _scan(name: str) -> Callable[..., Any]:
    def call(x: Any, dim: int, reverse: bool = False) -> Any:
        f = getattr(_torch(), name)
        return f(x.flip(dim), dim).flip(dim) if reverse and x.ndim else f(x, dim)

    return call


def _params(params: tuple[Any, ...], bias: bool) -> tuple[Any, Any]:
    """Weight and bias of a normalisation; a lone operand is the bias if there is one."""
    return (params[0] if len(params) > bias else None), (params[-1] if bias else None)


def _layer_norm(x: Any, *params: Any, normalized_shape: Any, eps: float, bias: bool = True) -> Any:
    weight, b = _params(params, bias)
    if weight is None and b is not None:
        # torch's own has no second derivative with a bias alone.
        return _functional().layer_norm(x, normalized_shape, eps=eps) + b
    return _functional().layer_norm(x, normalized_shape, weight, b, eps)


def _rms_norm(x: Any, *params: Any, normalized_shape: Any, eps: float) -> Any:
    return _functional().rms_norm(x, normalized_shape, *params, eps=eps)


def _group_norm(x: Any, *params: Any, groups: int, eps: float, bias: bool = True) -> Any:
    return _functional().group_norm(x, groups, *_params(params, bias), eps)


def _batch_norm(x: Any, *params: Any, eps: float, bias: bool = True) -> Any:
    weight, b = _params(params, bias)
    return _functional().batch_norm(x, None, None, weight, b, training=True, eps=eps)


def _batch_norm_eval(x: Any, mean: Any, var: Any, *params: Any, eps: float, bias: bool = True) -> Any:
    weight, b = _params(params, bias)
    return _functional().batch_norm(x, mean, var, weight, b, training=False, eps=eps)


def _bce(x: Any, target: Any, *weight: Any, reduction: str) -> Any:
    return _functional().binary_cross_entropy(x, target, *weight, reduction=reduction)


def _bce_logits(x: Any, target: Any, *weights: Any, reduction: str, positive: bool = False) -> Any:
    pos = weights[-1] if positive else None
    rest = weights[:-1] if positive else weights
    return _functional().binary_cross_entropy_with_logits(
        x, target, rest[0] if rest else None, reduction=reduction, pos_weight=pos
    )


def _nll_loss(x: Any, target: Any, *weight: Any, **attrs: Any) -> Any:
    return _functional().nll_loss(x, target.long(), *weight, **attrs)


def _contract(x: Any, y: Any, lhs_batch: Any, rhs_batch: Any, lhs_contract: Any, rhs_contract: Any) -> Any:
    left, right = [""] * x.ndim, [""] * y.ndim
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    batch = ""
    for i, j in zip(lhs_batch, rhs_batch, strict=True):
        left[i] = right[j] = next(letters)
        batch += left[i]
    for i, j in zip(lhs_contract, rhs_contract, strict=True):
        left[i] = right[j] = next(letters)
    rows = "".join(c for c in (_fill(left, i, letters) for i in range(x.ndim)) if c)
    columns = "".join(c for c in (_fill(right, i, letters) for i in range(y.ndim)) if c)
    return _torch().einsum(f"{''.join(left)},{''.join(right)}->{batch}{rows}{columns}", x, y)


def _fill(side: list[str], i: int, letters: Any) -> str:
    """A free dimension's new letter; nothing where the dimension has one."""
    if side[i]:
        return ""
    side[i] = next(letters)
    return side[i]


def _at(dims: Any, indices: Any, rank: int) -> tuple[Any, ...]:
    """The index expression with these tensors on these dims."""
    given = dict(zip(dims, indices, strict=True))
    return tuple(given.get(i, slice(None)) for i in range(rank))


def _put(x: Any, value: Any, *indices: Any, dims: Any, accumulate: bool) -> Any:
    at = _at(dims, indices, x.ndim)
    return x.index_put(tuple(_full(x, at)), value.expand(x[at].shape), accumulate)


def _full(x: Any, at: tuple[Any, ...]) -> list[Any]:
    """An index expression with slices, as index tensors of the shape of what it selects."""
    flat = _torch().arange(x.numel()).view(x.shape)[at]
    out = []
    for n in reversed(x.shape):
        out.append(flat % n)
        flat = flat // n
    return out[::-1]


def _cut(src: Any, index: Any) -> Any:
    """The part of src that is read; torch has no gradient for a larger one."""
    return src[tuple(slice(n) for n in index.shape)]


def _take(x: Any, index: Any, dim: int) -> Any:
    return x[(slice(None),) * dim + (index,)]


def _take_add(ct: Any, index: Any, dim: int, size: int) -> Any:
    lead = ct.shape[:dim]
    flat = ct.reshape(*lead, index.numel(), *ct.shape[dim + index.ndim :])
    out = _torch().zeros(*lead, size, *flat.shape[dim + 1 :], dtype=ct.dtype)
    return out.index_add(dim, index.reshape(-1), flat)


def _words(seed: Any, offset: Any, index: Any, stream: int = 0) -> Any:
    return _torch().from_numpy(philox.words(seed, offset, index.numpy(), stream))


def _philox(seed: Any, offset: Any, shape: Any, stream: int = 0) -> Any:
    n = int(_torch().Size(shape).numel())
    return _words(seed, offset, _torch().arange(n).view(shape), stream)


def _uniform(seed: Any, offset: Any, shape: Any, dtype: Any) -> Any:
    return _torch().from_numpy(philox.uniform(seed, offset, shape, dtype.name == "f64"))


def _dropout(x: Any, seed: Any, offset: Any, p: float) -> Any:
    kept = _torch().from_numpy(philox.uniform(seed, offset, tuple(x.shape)) >= np.float32(p))
    return x * (kept.to(x.dtype) * (1 / (1 - p) if p < 1 else 0.0))


CALLS: dict[str, Callable[..., Any]] = {
    "alias": lambda x: x.view(x.shape),
    "all": lambda x, **attrs: _dims_all(x, "all", **attrs),
    "any": lambda x, **attrs: _dims_all(x, "any", **attrs),
    "amax": _reduced("amax"),
    "amin": _reduced("amin"),
    "batch_norm": _batch_norm,
    "batch_norm_eval": _batch_norm_eval,
    "binary_cross_entropy": _bce,
    "binary_cross_entropy_with_logits": _bce_logits,
    "broadcast": lambda x, shape: x.expand(shape),
    "contract": _contract,
    "convert": lambda x, dtype: x.to(_dtype(dtype)),
    "count_nonzero": lambda x, dims: x.count_nonzero(dim=dims),
    "cumprod": _scan("cumprod"),
    "cumsum": _scan("cumsum"),
    "dropout": _dropout,
    "einsum": lambda *xs, equation: _torch().einsum(equation, *xs),
    "embedding": lambda weight, indices, padding_idx=None: _functional().embedding(indices, weight, padding_idx),
    "eye": lambda n, m, dtype: _torch().eye(n, m, dtype=_dtype(dtype)),
    "flip": lambda x, dims: x.flip(dims),
    "full": lambda shape, value, dtype: _torch().full(shape, value, dtype=_dtype(dtype)),
    "gather": lambda x, index, dim: x.gather(dim, index),
    "gather_add": lambda ct, index, dim, shape: _torch().zeros(shape, dtype=ct.dtype).scatter_add(dim, index, ct),
    "group_norm": _group_norm,
    "huber_loss": lambda x, t, reduction, knee: _functional().huber_loss(x, t, reduction=reduction, delta=knee),
    "index": lambda x, *indices, dims: x[_at(dims, indices, x.ndim)],
    "index_add": lambda x, index, source, dim, alpha=1: x.index_add(dim, index, source, alpha=alpha),
    "index_put": _put,
    "index_select": lambda x, index, dim: x.index_select(dim, index),
    "iota": _iota,
    "layer_norm": _layer_norm,
    "logsumexp": _reduced("logsumexp"),
    "max_all": lambda x: x.max(),
    "mean": _reduced("mean"),
    "median_all": lambda x: x.median(),
    "min_all": lambda x: x.min(),
    "nansum": lambda x, dims, keepdim=False: x.nansum(dim=dims, keepdim=keepdim),
    "nll_loss": _nll_loss,
    "permute": lambda x, dims: x.permute(dims),
    "philox": _philox,
    "philox_word": _words,
    "prod": _prod,
    "repeat": lambda x, repeats: x.repeat(repeats),
    "rms_norm": _rms_norm,
    "roll": lambda x, shifts, dims: x.roll(shifts, dims),
    "scatter": lambda x, index, src, dim: x.scatter(dim, index, _cut(src, index)),
    "scatter_add": lambda x, index, src, dim: x.scatter_add(dim, index, _cut(src, index)),
    "slice": lambda x, start, limit, step: x[_slices(start, limit, step)],
    "slice_axis": lambda x, dim, start, end, step: x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)],
    "smooth_l1_loss": lambda x, t, reduction, knee: _functional().smooth_l1_loss(x, t, reduction=reduction, beta=knee),
    "std": _reduced("std"),
    "std_mean": _reduced("std_mean"),
    "sum": _reduced("sum"),
    "take": _take,
    "take_add": _take_add,
    "uniform": _uniform,
    "unit_float": lambda x, bits, dtype: ((x.long() >> 32 - bits).double() / 2**bits).to(_dtype(dtype)),
    "unslice": _unslice,
    "var": _reduced("var"),
    "var_mean": _reduced("var_mean"),
    "vector_norm": lambda x, p, dims, keepdim=False: _torch().linalg.vector_norm(x, p, dims, keepdim),
}
