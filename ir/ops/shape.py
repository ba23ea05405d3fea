"""The structural primitives: what every view, join and slice decomposes to. None of them computes anything; fused, they
become index arithmetic of the kernel that reads them.

A record of kind "view" gives a view of its operand's memory by its NumPy meaning, unless it has the trait "copies".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import product
from gradc.ir.errors import GradRuntimeError, ShapeError
from gradc.ir.op import VIEW, Op, define
from gradc.ir.types import TensorType, tensor

from .axis import SCALAR_NAMES
from .spell import EXPAND_SPELLINGS, FLIP_SPELLINGS, PERMUTE_SPELLINGS, RESHAPE_SPELLINGS


def normal(rng: Any, *shape: int) -> Any:
    """A float32 sample; the empty shape gives a zero-dimensional array."""
    return np.asarray(rng.standard_normal(shape), dtype=np.float32)


def _broadcast_type(x: TensorType, *, shape: tuple[int, ...]) -> TensorType:
    lead = len(shape) - x.ndim
    if lead < 0:
        raise ShapeError(
            f"expand(torch.{SCALAR_NAMES[x.dtype.name]}Tensor{{{list(x.shape)}}}, size={list(shape)}): the number of "
            f"sizes provided ({len(shape)}) must be greater or equal to the number of dimensions in the tensor "
            f"({x.ndim})"
        )
    for i, d in enumerate(x.shape):
        if d not in (1, shape[i + lead]):
            raise ShapeError(
                f"The expanded size of the tensor ({shape[i + lead]}) must match the existing size ({d}) at "
                f"non-singleton dimension {i + lead}.  Target sizes: {list(shape)}.  Tensor sizes: {list(x.shape)}"
            )
    return tensor(shape, x.dtype)


BROADCAST = define(
    Op(
        name="grad.broadcast",
        kind=VIEW,
        operands=("self",),
        results=("result",),
        attrs={"shape": "ints"},
        infer=_broadcast_type,
        numpy=lambda x, shape: np.broadcast_to(x, shape),
        adjoint={"self": lambda b, ct: ct},
        grad_fn="ExpandBackward0",
        flops=0,
        torch=EXPAND_SPELLINGS,
        sample=lambda rng: [
            ((normal(rng, 3, 1),), {"shape": (2, 3, 4)}),
            ((normal(rng),), {"shape": (2, 2)}),
            ((normal(rng, 1),), {"shape": (0,)}),
        ],
        doc="NumPy's broadcast_to.",
    )
)


def _reshape_type(x: TensorType, *, shape: tuple[int, ...]) -> TensorType:
    if product(shape) != x.numel or any(d < 0 for d in shape):
        raise ShapeError(f"shape '{list(shape)}' is invalid for input of size {x.numel}")
    return tensor(shape, x.dtype)


RESHAPE = define(
    Op(
        name="grad.reshape",
        kind=VIEW,
        operands=("self",),
        results=("result",),
        attrs={"shape": "ints"},
        infer=_reshape_type,
        numpy=lambda x, shape: np.reshape(x, shape),
        adjoint={"self": lambda b, ct, self_t: b.reshape(ct, shape=self_t.shape)},
        grad_fn="ViewBackward0",
        flops=0,
        torch=RESHAPE_SPELLINGS,
        sample=lambda rng: [
            ((normal(rng, 4, 6),), {"shape": (2, 12)}),
            ((normal(rng, 1, 1),), {"shape": ()}),
            ((normal(rng, 0, 3),), {"shape": (3, 0)}),
        ],
        doc="The elements in row-major order under another shape.",
    )
)


def _permute_type(x: TensorType, *, dims: tuple[int, ...]) -> TensorType:
    if sorted(dims) != list(range(x.ndim)):
        raise ShapeError(f"permute: dims {list(dims)} are not an order of the dimensions of {x}")
    return tensor(tuple(x.shape[d] for d in dims), x.dtype)


def inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes this one."""
    out = [0] * len(dims)
    for i, d in enumerate(dims):
        out[d] = i
    return tuple(out)


PERMUTE = define(
    Op(
        name="grad.permute",
        kind=VIEW,
        operands=("self",),
        results=("result",),
        attrs={"dims": "ints"},
        infer=_permute_type,
        numpy=lambda x, dims: np.transpose(x, dims),
        adjoint={"self": lambda b, ct, dims: b.permute(ct, dims=inverse(dims))},
        grad_fn="PermuteBackward0",
        saved={"dims": "dims"},
        flops=0,
        torch=PERMUTE_SPELLINGS,
        sample=lambda rng: [
            ((normal(rng, 2, 3, 4),), {"dims": (2, 0, 1)}),
            ((normal(rng),), {"dims": ()}),
            ((normal(rng, 3, 0),), {"dims": (1, 0)}),
        ],
        doc="Result dimension i is operand dimension dims[i].",
    )
)


def _key(start: tuple[int, ...], limit: tuple[int, ...], step: tuple[int, ...]) -> tuple[Any, ...]:
    """NumPy's index for a box; the ellipsis makes it a view of zero-dimensional arrays too."""
    return (*(slice(s, e, t) for s, e, t in zip(start, limit, step, strict=True)), ...)


def sliced_shape(start: tuple[int, ...], limit: tuple[int, ...], step: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(max(0, -(-(e - s) // t)) for s, e, t in zip(start, limit, step, strict=True))


def _check_box(op: str, shape: tuple[int, ...], start: Any, limit: Any, step: Any) -> None:
    if not len(shape) == len(start) == len(limit) == len(step):
        raise ShapeError(f"{op}: start, limit and step need {len(shape)} entries, got {start}, {limit}, {step}")
    for d, s, e, t in zip(shape, start, limit, step, strict=True):
        if not (0 <= s <= d and 0 <= e <= d and t >= 1):
            raise ShapeError(f"{op}: [{s}:{e}:{t}] is outside the shape {list(shape)}")


def _slice_type(x: TensorType, *, start: Any, limit: Any, step: Any) -> TensorType:
    _check_box("slice", x.shape, start, limit, step)
    return tensor(sliced_shape(start, limit, step), x.dtype)


SLICE = define(
    Op(
        name="grad.slice",
        kind=VIEW,
        operands=("self",),
        results=("result",),
        attrs={"start": "ints", "limit": "ints", "step": "ints"},
        infer=_slice_type,
        numpy=lambda x, start, limit, step: x[_key(start, limit, step)],
        adjoint={
            "self": lambda b, ct, self_t, start, limit, step: b.unslice(
                ct, shape=self_t.shape, start=start, limit=limit, step=step
            )
        },
        grad_fn="SliceBackward0",
        flops=0,
        sample=lambda rng: [
            ((normal(rng, 5, 6),), {"start": (1, 0), "limit": (4, 6), "step": (1, 2)}),
            ((normal(rng, 3),), {"start": (2,), "limit": (2,), "step": (1,)}),
            ((normal(rng),), {"start": (), "limit": (), "step": ()}),
        ],
        doc="The elements start, start + step, ... below limit of every dimension.",
    )
)


def _unslice_type(x: TensorType, *, shape: Any, start: Any, limit: Any, step: Any) -> TensorType:
    _check_box("unslice", shape, start, limit, step)
    if sliced_shape(start, limit, step) != x.shape:
        raise ShapeError(f"unslice: {x} does not fill [{start}:{limit}:{step}] of the shape {list(shape)}")
    return tensor(shape, x.dtype)


def _unslice_numpy(x: Any, shape: Any, start: Any, limit: Any, step: Any) -> Any:
    out = np.zeros(shape, x.dtype)
    out[_key(start, limit, step)] = x
    return out


UNSLICE = define(
    Op(
        name="grad.unslice",
        kind=VIEW,
        operands=("self",),
        results=("result",),
        attrs={"shape": "ints", "start": "ints", "limit": "ints", "step": "ints"},
        infer=_unslice_type,
        numpy=_unslice_numpy,
        adjoint={
            "self": lambda b, ct, start, limit, step: b.slice(ct, start=start, limit=limit, step=step),
        },
        grad_fn="SliceBackward0",
        flops=0,
        traits=frozenset({"copies"}),
        sample=lambda rng: [
            ((normal(rng, 3, 3),), {"shape": (5, 6), "start": (1, 0), "limit": (4, 6), "step": (1, 2)}),
            ((normal(rng, 0),), {"shape": (3,), "start": (2,), "limit": (2,), "step": (1,)}),
            ((normal(rng),), {"shape": (), "start": (), "limit": (), "step": ()}),
        ],
        doc="The adjoint of slice: zeros of `shape` with the operand written into the slice.",
    )
)


def _flip_type(x: TensorType, *, dims: tuple[int, ...]) -> TensorType:
    if len(set(dims)) != len(dims):
        twice = next(d for d in dims if dims.count(d) > 1)
        raise GradRuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return x


FLIP = define(
    Op(
        name="grad.flip",
        kind=VIEW,
        operands=("self",),
        results=("result",),
        attrs={"dims": "ints"},
        infer=_flip_type,
        numpy=lambda x, dims: np.flip(x, dims).copy() if dims else x.copy(),
        adjoint={"self": lambda b, ct, dims: b.flip(ct, dims=dims)},
        grad_fn="FlipBackward0",
        saved={"dims": "dims"},
        flops=0,
        traits=frozenset({"copies"}),
        torch=FLIP_SPELLINGS,
        sample=lambda rng: [((normal(rng, 3, 4),), {"dims": (0, 1)}), ((normal(rng, 0, 2),), {"dims": (1,)})],
        doc="The order of elements reversed along each of `dims`; a copy, as in torch.",
    )
)
