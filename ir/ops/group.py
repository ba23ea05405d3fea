"""Group norm: layer norm over a group of channels and all positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, tensor

from .axis import narrow, require_float, wide
from .batch import channel, over_channels, sum_channels
from .norm import affine, centre_and_scale, given, input_ct, np_normalised, scale_and_shift


def _grouped(shape: tuple[int, ...], groups: int) -> tuple[int, ...]:
    return (shape[0], groups, shape[1] // groups, *shape[2:])


def _group_type(
    x: TensorType, *params: TensorType, groups: int, eps: float, bias: bool = False
) -> tuple[TensorType, ...]:
    if x.ndim < 2:
        raise GradRuntimeError(f"Expected at least 2 dimensions for input tensor but received {x.ndim}")
    if groups < 1 or x.shape[1] % groups:
        raise GradRuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(x.shape)} and num_groups={groups}"
        )
    require_float("GroupNormKernelImpl", x)
    for p in params:
        if p.shape != (x.shape[1],):
            raise GradRuntimeError(
                "Expected weight to be a vector of size equal to the number of channels in input, but got weight of "
                f"shape {list(p.shape)} and input of shape {list(x.shape)}"
            )
    stat = tensor((x.shape[0], groups), x.dtype.compute)
    return x, stat, stat


def _in_group(x: Any) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


def _group(b: Any, self: Any, *params: Any, groups: Any, eps: Any, bias: Any = False) -> Any:
    x = b.reshape(wide(b, self), shape=_grouped(self.shape, groups))
    y, mean, rstd = centre_and_scale(b, x, _in_group(x), eps)
    y = scale_and_shift(
        b, b.reshape(y, shape=self.shape), params, bias, lambda p: b.reshape(p, shape=channel(self.shape))
    )
    stat = (self.shape[0], groups)
    return narrow(b, y, self.dtype), b.reshape(mean, shape=stat), b.reshape(rstd, shape=stat)


def _np_group(x: Any, *params: Any, groups: Any, eps: Any, bias: Any = False) -> Any:
    split = x.reshape(_grouped(x.shape, groups))
    y, mean, rstd = np_normalised(split, _in_group(split), eps)
    y = scale_and_shift(None, y.reshape(x.shape), params, bias, lambda p: p.reshape(channel(x.shape)))
    return y, mean.reshape(x.shape[0], groups), rstd.reshape(x.shape[0], groups)


def _group_stat(b: Any, v: Any, rank: int) -> Any:
    return None if v is None else b.reshape(v, shape=v.shape + (1,) * (rank - 2))


def _group_ct(
    b: Any, ct: Any, ct_mean: Any, ct_rstd: Any, self: Any, params: Any, mean: Any, rstd: Any, groups: Any, bias: Any
) -> Any:
    shape = _grouped(self.shape, groups)
    weight = over_channels(b, affine(params, bias)[0], self.shape)
    g = ct if ct is None else wide(b, ct) if weight is None else wide(b, ct) * weight
    g = None if g is None else b.reshape(g, shape=shape)
    x = b.reshape(wide(b, self), shape=shape)
    of_mean, of_rstd, mean, rstd = (_group_stat(b, v, x.ndim) for v in (ct_mean, ct_rstd, mean, rstd))
    return b.reshape(input_ct(b, g, of_mean, of_rstd, x, mean, rstd, _in_group(x)), shape=self.shape)


def _group_param_ct(
    b: Any, ct: Any, self: Any, mean: Any, rstd: Any, params_t: Any, index: Any, groups: Any, bias: Any
) -> Any:
    if ct is None:
        return None
    g = wide(b, ct)
    if bias and index == len(params_t) - 1:
        return sum_channels(b, g)
    x = b.reshape(wide(b, self), shape=_grouped(self.shape, groups))
    hat = (x - _group_stat(b, mean, x.ndim)) * _group_stat(b, rstd, x.ndim)
    return sum_channels(b, g * b.reshape(hat, shape=self.shape))


def _group_call(op: Any, input: Any, num_groups: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-05) -> Any:
    return op(input, *given(weight, bias), groups=int(num_groups), eps=float(eps), bias=bias is not None)[0]


def _sample_group(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    x = rng.standard_normal((2, 6, 3)).astype(np.float32)
    w, c = (rng.standard_normal(6).astype(np.float32) for _ in range(2))
    return [([x, w, c], {"groups": 2, "eps": 1e-5, "bias": True}), ([x], {"groups": 3, "eps": 1e-5, "bias": False})]


GROUP_NORM = define(
    Op(
        name="grad.group_norm",
        kind=COMPOSITE,
        operands=("self", "params*"),
        results=("result", "mean", "rstd"),
        attrs={"groups": "int", "eps": "float", "bias": "bool"},
        infer=_group_type,
        numpy=_np_group,
        decompose=_group,
        adjoint={"self": _group_ct, "params": _group_param_ct},
        grad_fn="NativeGroupNormBackward0",
        saved={"input": "self", "group": "groups", "eps": "eps", "result1": "mean", "result2": "rstd"},
        torch=(Torch(_group_call, ("nn.functional.group_norm", "group_norm")),),
        sample=_sample_group,
    )
)
