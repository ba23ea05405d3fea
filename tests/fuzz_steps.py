"""What a random program may do next: arithmetic, reductions, norms, products, losses, casts."""

from __future__ import annotations

from typing import Any

import numpy as np
from fuzz_values import Grower, smaller

from gradc.ir.types import bf16, f16, f32, f64

UNARY = (
    "neg", "abs", "exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "reciprocal", "tanh", "sigmoid", "silu", "gelu",
    "relu", "softplus", "sin", "cos", "erf", "pow_scalar", "leaky_relu", "clamp", "atan", "exp2", "sinh", "erfc",
    "logsigmoid", "hardtanh", "hardswish", "mish", "floor", "detach", "asinh", "log2", "elu", "celu", "tan", "cosh",
)  # fmt: skip
UNARY_ATTRS: dict[str, dict[str, Any]] = {
    "pow_scalar": {"exponent": 2},
    "leaky_relu": {"negative_slope": 0.1},
    "clamp": {"min": -0.7, "max": 0.9},
    "gelu": {"approximate": "none"},
    "hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "elu": {"alpha": 1.0, "scale": 1.0, "input_scale": 1.0},
    "celu": {"alpha": 1.2},
}
BINARY = (
    "add",
    "add",
    "sub",
    "mul",
    "mul",
    "mul",
    "div",
    "maximum",
    "minimum",
    "atan2",
    "hypot",
    "logaddexp",
    "copysign",
)


def unary(g: Grower) -> None:
    x = g.recent()
    if x is not None:
        name = g.pick(UNARY)
        attrs = UNARY_ATTRS.get(name, {})
        if name == "gelu" and g.chance(0.5):
            attrs = {"approximate": "tanh"}
        if name == "pow_scalar":
            attrs = {"exponent": g.pick((2, 3, 0.5, 1.5, -1, 0))}
            if attrs["exponent"] not in (2, 3, 0) and g.wide[x].size and g.wide[x].min() < 0.1:
                return
        g.add(name, (x,), **attrs)


def binary(g: Grower) -> None:
    x = g.recent()
    if x is not None:
        y = g.partner(g.t(x).shape)
        pair = (x, y) if g.chance(0.5) else (y, x)
        g.add(g.pick(BINARY), pair)


def guarded_div(g: Grower) -> None:
    """x / (1 + y*y)"""
    x = g.recent()
    if x is None:
        return
    y = g.partner(g.t(x).shape)
    square = g.add("mul", (y, y))
    if square is not None:
        low = g.add("add", (square, g.number(1.0, g.t(square).dtype)))
        if low is not None:
            g.add("div", (x, low))


def select(g: Grower) -> None:
    x = g.recent()
    if x is None:
        return
    shape = g.t(x).shape
    y = g.partner(shape)
    if g.chance(0.5):
        c = g.add(g.pick(("lt", "gt", "ge", "le")), (x, g.partner(shape)))
    else:
        c = g.input(np.asarray(g.rng.random(smaller(g, shape)) < 0.5))
    if c is None:
        return
    if g.chance(0.7):
        g.add("where", (c, x, y))
    else:
        g.add("masked_fill", (x, c), value=0.5)


def dims_of(g: Grower, rank: int) -> tuple[int, ...]:
    if g.chance(0.25):
        return tuple(range(rank))
    return tuple(d for d in range(rank) if g.chance(0.5))


def reduction(g: Grower) -> None:
    x = g.recent()
    if x is None:
        return
    t = g.t(x)
    name = g.pick(("sum", "sum", "mean", "mean", "amax", "amin", "prod", "var", "std", "logsumexp", "vector_norm"))
    dims, keep = dims_of(g, t.ndim), g.chance(0.5)
    n = int(np.prod([t.shape[d] for d in dims]))
    if name in ("var", "std"):
        if n < 3:
            return
        g.add(name, (x,), dims=dims, keepdim=keep, correction=1)
    elif name == "vector_norm":
        g.add(name, (x,), p=g.pick((1.0, 2.0)), dims=dims, keepdim=keep)
    elif name == "prod":
        if n <= 40:
            g.add(name, (x,), dims=dims, keepdim=keep)
    elif dims or name in ("sum", "amax", "amin"):
        g.add(name, (x,), dims=dims, keepdim=keep)


def centred(g: Grower) -> None:
    """x minus a reduction of it, broadcast back."""
    x = g.recent(lambda t: t.ndim > 0)
    if x is None:
        return
    dims = dims_of(g, g.t(x).ndim) or (0,)
    r = g.add(g.pick(("sum", "mean", "amax")), (x,), dims=dims, keepdim=True)
    if r is not None:
        g.add(g.pick(("sub", "mul", "add")), (x, r))


def softmax(g: Grower) -> None:
    x = g.recent(lambda t: t.ndim > 0)
    if x is not None:
        g.add(g.pick(("softmax", "log_softmax")), (x,), dim=int(g.rng.integers(g.t(x).ndim)))


def norm(g: Grower) -> None:
    x = g.recent(lambda t: t.ndim > 0)
    if x is None:
        return
    t = g.t(x)
    name = g.pick(("layer_norm", "rms_norm", "batch_norm", "group_norm"))
    if name in ("layer_norm", "rms_norm"):
        shape = t.shape[-int(g.rng.integers(1, t.ndim + 1)) :]
        if np.prod(shape) < 3:
            return
        count = int(g.rng.integers(0, 3 if name == "layer_norm" else 2))
        params = tuple(g.input(g.reals(shape, t.dtype), active=True) for _ in range(count))
        bias = {"bias": count == 2} if name == "layer_norm" else {}
        g.add(name, (x, *params), normalized_shape=shape, eps=1e-2, **bias)
        return
    if t.ndim < 2 or t.shape[0] * int(np.prod(t.shape[2:])) < 3:
        return
    params = tuple(g.input(g.reals((t.shape[1],), t.dtype), active=True) for _ in range(2 if g.chance(0.6) else 0))
    if name == "group_norm":
        groups = g.pick([k for k in range(1, t.shape[1] + 1) if t.shape[1] % k == 0] or [1])
        if t.numel // max(t.shape[0], 1) // groups < 3:
            return
        g.add(name, (x, *params), groups=groups, eps=1e-2, bias=bool(params))
    else:
        g.add(name, (x, *params), eps=1e-2, bias=bool(params))


def matmul(g: Grower) -> None:
    x = g.recent(lambda t: t.ndim >= 1)
    if x is None:
        return
    t = g.t(x)
    k = t.shape[-1]
    if g.chance(0.4):
        n = g.pick((1, 2, 5, 15, 16, 17, 33))
        w = g.input(g.reals((n, k), t.dtype) / t.dtype.numpy.type(np.sqrt(k) + 1), active=g.chance(0.8))
        bias = (g.input(g.reals((n,), t.dtype), active=True),) if g.chance(0.5) else ()
        g.add("linear", (x, w, *bias))
        return
    same = [v for v in g.floats() if g.t(v).dtype is t.dtype and g.t(v).ndim >= 2 and g.t(v).shape[-2] == k]
    if same and g.chance(0.5):
        y = g.pick(same)
    else:
        lead = t.shape[:-2] if t.ndim > 2 and g.chance(0.6) else ()
        y = g.input(
            g.reals((*lead, k, g.pick((1, 3, 15, 16, 17, 40))), t.dtype) / t.dtype.numpy.type(np.sqrt(k) + 1),
            active=True,
        )
    if g.chance(0.3) and t.ndim == 2:
        x2 = g.add("transpose", (x,), dim0=0, dim1=1)
        if x2 is not None:
            g.add("matmul", (x2, x))
        return
    g.add("matmul", (x, y))


def loss(g: Grower) -> None:
    x = g.recent(lambda t: t.ndim > 0)
    if x is None:
        return
    t = g.t(x)
    kind = g.pick(
        ("mse_loss", "huber_loss", "binary_cross_entropy_with_logits", "nll_loss", "soft_margin_loss", "cross_entropy")
    )
    reduction = g.pick(("mean", "sum", "none"))
    if kind in ("nll_loss", "cross_entropy"):
        if t.ndim != 2 or 0 in t.shape:
            return
        if kind == "cross_entropy":
            x = g.add("log_softmax", (x,), dim=1)
            if x is None:
                return
        target = g.rng.integers(0, t.shape[1], t.shape[0])
        g.add(
            "nll_loss",
            (x, g.input(target)),
            reduction=reduction,
            ignore_index=g.pick((-100, 1 if len(set(target)) > 1 else -100)),
        )
        return
    target = g.reals(t.shape, t.dtype)
    if kind == "binary_cross_entropy_with_logits":
        target = np.asarray(g.rng.random(t.shape)).astype(t.dtype.numpy)
        g.add(kind, (x, g.input(target)), reduction=reduction, positive=False)
    elif kind == "soft_margin_loss":
        g.add(kind, (x, g.input(np.sign(target))), reduction=reduction)
    elif kind == "huber_loss":
        g.add(kind, (x, g.input(target)), reduction=reduction, knee=0.75)
    else:
        g.add(kind, (x, g.input(target)), reduction=reduction)


def cast(g: Grower) -> None:
    x = g.recent()
    if x is not None:
        g.add("convert", (x,), dtype=g.pick((f32, f32, f64, bf16, f16)))


def integers(g: Grower) -> None:
    """Arithmetic on integers or masks, back to floats."""
    x = g.recent()
    if x is None:
        return
    shape = g.t(x).shape
    if g.chance(0.5):
        a = g.input(np.asarray(g.rng.integers(-9, 10, smaller(g, shape))).astype(g.pick((np.int64, np.int32))))
        c = g.add(g.pick(("add", "mul", "sub", "maximum", "bitwise_and")), (a, g.number(3, g.t(a).dtype)))
        v = g.add("convert", (c,), dtype=g.t(x).dtype) if c is not None else None
    else:
        c = g.input(np.asarray(g.rng.random(smaller(g, shape)) < 0.5))
        if g.t(c).ndim and g.chance(0.5):
            c2 = g.add(g.pick(("any", "all", "sum")), (c,), dims=dims_of(g, g.t(c).ndim), keepdim=True)
            c = c if c2 is None else c2
        v = g.add("convert", (c,), dtype=g.t(x).dtype)
    if v is not None:
        g.add(g.pick(("mul", "add")), (x, v))
