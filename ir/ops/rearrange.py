"""Repetition and rotation."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis, product
from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, tensor

from .shape import normal
from .spell import sizes


def _repeat_type(x: TensorType, *, repeats: tuple[int, ...]) -> TensorType:
    if len(repeats) < x.ndim:
        raise GradRuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor"
        )
    shape = tuple(r * d for r, d in zip(repeats, _led(x.shape, len(repeats)), strict=True))
    for r, d in zip(repeats, shape, strict=True):
        if r < 0:
            raise GradRuntimeError(f"Trying to create tensor with negative dimension {d}: {list(shape)}")
    return tensor(shape, x.dtype)


def _led(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(shape)) + tuple(shape)


def _repeat_parts(b: Any, self: Any, repeats: tuple[int, ...]) -> Any:
    inner = _led(self.shape, len(repeats))
    apart = tuple(v for d in inner for v in (1, d))
    spread = tuple(v for r, d in zip(repeats, inner, strict=True) for v in (r, d))
    full = b.broadcast(b.reshape(self, shape=apart), shape=spread)
    return b.reshape(full, shape=tuple(r * d for r, d in zip(repeats, inner, strict=True)))


def _repeat_adjoint(b: Any, ct: Any, self_t: TensorType, repeats: tuple[int, ...]) -> Any:
    inner = _led(self_t.shape, len(repeats))
    spread = tuple(v for r, d in zip(repeats, inner, strict=True) for v in (r, d))
    copies = b.reshape(ct, shape=spread)
    return b.reshape(b.sum(copies, dims=tuple(range(0, len(spread), 2)), keepdim=False), shape=self_t.shape)


def _tile_call(op: Any, self: Any, *dims: Any) -> Any:
    return op(self, repeats=_led(sizes(dims), self.ndim))


REPEAT = define(
    Op(
        name="grad.repeat",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs={"repeats": "ints"},
        infer=_repeat_type,
        numpy=lambda x, repeats: np.tile(x, repeats) if repeats else x.copy(),
        decompose=_repeat_parts,
        adjoint={"self": _repeat_adjoint},
        grad_fn="RepeatBackward0",
        saved={"repeats": "repeats"},
        flops=0,
        torch=(
            Torch(lambda op, self, *repeats: op(self, repeats=sizes(repeats)), (), ("repeat",)),
            Torch(_tile_call, ("tile",), ("tile",)),
        ),
        sample=lambda rng: [
            ((normal(rng, 2, 3),), {"repeats": (2, 1, 3)}),
            ((normal(rng),), {"repeats": (2,)}),
            ((normal(rng, 3),), {"repeats": (0,)}),
        ],
        doc="The operand laid out `repeats` times along each dimension.",
    )
)


def _rotate(b: Any, x: Any, shift: int, dim: int) -> Any:
    n = x.shape[dim]
    k = shift % n if n else 0
    if k == 0:
        return x
    tail = b.slice_axis(x, dim=dim, start=n - k, end=n, step=1)
    return b.cat(tail, b.slice_axis(x, dim=dim, start=0, end=n - k, step=1), dim=dim)


def _roll_parts(b: Any, self: Any, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    if not dims:
        flat = b.reshape(self, shape=(product(self.shape),))
        return b.reshape(_rotate(b, flat, shifts[0], 0), shape=self.shape)
    x = self
    for s, d in zip(shifts, dims, strict=True):
        x = _rotate(b, x, s, d)
    return x


def _roll_type(x: TensorType, *, shifts: tuple[int, ...], dims: tuple[int, ...]) -> TensorType:
    if not shifts:
        raise GradRuntimeError("`shifts` required")
    if len(shifts) != len(dims) and not (len(shifts) == 1 and not dims):
        raise GradRuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    return x


def _ints(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else () if value is None else tuple(value)


ROLL = define(
    Op(
        name="grad.roll",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs={"shifts": "ints", "dims": "ints"},
        infer=_roll_type,
        numpy=lambda x, shifts, dims: np.roll(x, shifts if dims else shifts[0], dims or None),
        decompose=_roll_parts,
        adjoint={"self": lambda b, ct, shifts, dims: b.roll(ct, shifts=tuple(-s for s in shifts), dims=dims)},
        grad_fn="RollBackward0",
        saved={"shifts": "shifts", "dims": "dims"},
        flops=0,
        torch=(
            Torch(
                lambda op, self, shifts, dims=None: op(
                    self, shifts=_ints(shifts), dims=tuple(normalize_axis(d, self.ndim) for d in _ints(dims))
                ),
                ("roll",),
                ("roll",),
            ),
        ),
        sample=lambda rng: [
            ((normal(rng, 2, 3),), {"shifts": (4,), "dims": ()}),
            ((normal(rng, 2, 3),), {"shifts": (1, -1), "dims": (0, 1)}),
            ((normal(rng, 0),), {"shifts": (1,), "dims": (0,)}),
        ],
        doc="Elements moved along dimensions (or along the flattened whole), the last ones coming first.",
    )
)
