"""Parts of one dimension: select (and unbind), torch's slice (and narrow, split and chunk)."""

from __future__ import annotations

from typing import Any

from gradc.ir.dim import normalize_axis
from gradc.ir.errors import GradIndexError, GradRuntimeError, GradValueError
from gradc.ir.op import Torch
from gradc.ir.types import TensorType

from .shape import normal
from .split import SPLIT_SPELLINGS
from .view import view


def _select_shape(shape: tuple[int, ...], *, dim: int, index: int) -> tuple[int, ...]:
    if not shape:
        raise GradIndexError("select() cannot be applied to a 0-dim tensor.")
    if not -shape[dim] <= index < shape[dim]:
        raise GradIndexError(
            f"select(): index {index} out of range for tensor of size {list(shape)} at dimension {dim}"
        )
    return (*shape[:dim], *shape[dim + 1 :])


def box(shape: tuple[int, ...], dim: int, start: int, limit: int, step: int = 1) -> dict[str, tuple[int, ...]]:
    """The attributes of a slice (or of its adjoint) that leaves all dimensions but `dim` whole."""
    n = len(shape)
    return {
        "start": tuple(start if i == dim else 0 for i in range(n)),
        "limit": tuple(limit if i == dim else shape[i] for i in range(n)),
        "step": tuple(step if i == dim else 1 for i in range(n)),
    }


def _select_parts(b: Any, self: Any, dim: int, index: int) -> Any:
    i = index % self.shape[dim]
    row = b.slice(self, **box(self.shape, dim, i, i + 1))
    return b.reshape(row, shape=(*self.shape[:dim], *self.shape[dim + 1 :]))


def _select_adjoint(b: Any, ct: Any, self_t: TensorType, dim: int, index: int) -> Any:
    i = index % self_t.shape[dim]
    return b.unslice(b.unsqueeze(ct, dim=dim), shape=self_t.shape, **box(self_t.shape, dim, i, i + 1))


def _select_call(op: Any, self: Any, dim: int, index: int) -> Any:
    return op(self, dim=normalize_axis(dim, self.ndim), index=int(index))


def _unbind_call(op: Any, self: Any, dim: int = 0) -> Any:
    if self.ndim == 0:
        raise GradIndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    d = normalize_axis(dim, self.ndim)
    return tuple(op(self, dim=d, index=i, grad_fn="UnbindBackward0") for i in range(self.shape[d]))


SELECT = view(
    "select",
    {"dim": "int", "index": "int"},
    _select_shape,
    lambda x, dim, index: x[(*(slice(None),) * dim, index, ...)],
    _select_parts,
    _select_adjoint,
    grad_fn="SelectBackward0",
    saved={"dim": "dim", "index": "index"},
    torch=(Torch(_select_call, ("select",), ("select",)), Torch(_unbind_call, ("unbind",), ("unbind",))),
    sample=lambda rng: [
        ((normal(rng, 3, 4),), {"dim": 1, "index": 2}),
        ((normal(rng, 3),), {"dim": 0, "index": -1}),
    ],
    doc="One index of a dimension, which goes away.",
)


def clip(start: int | None, end: int | None, size: int) -> tuple[int, int]:
    """Python's rule for the ends of a slice with a positive step."""
    s, e, _ = slice(start, end).indices(size)
    return s, max(s, e)


def _slice_axis_shape(shape: tuple[int, ...], *, dim: int, start: int, end: int, step: int) -> tuple[int, ...]:
    if not shape:
        raise GradIndexError("slice() cannot be applied to a 0-dim tensor.")
    if step < 1:
        raise GradValueError("step must be greater than zero")
    s, e = clip(start, end, shape[dim])
    return (*shape[:dim], -(-(e - s) // step), *shape[dim + 1 :])


def _slice_box(shape: tuple[int, ...], dim: int, start: int, end: int, step: int) -> dict[str, tuple[int, ...]]:
    return box(shape, dim, *clip(start, end, shape[dim]), step)


def _narrow_call(op: Any, self: Any, dim: int, start: int, length: int) -> Any:
    if self.ndim == 0:
        raise GradRuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    d = normalize_axis(dim, self.ndim)
    n = self.shape[d]
    if length < 0:
        raise GradRuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise GradIndexError(f"start out of range (expected to be in range of [-{n}, {n}], but got {start})")
    s = start + n if start < 0 else start
    if s + length > n:
        raise GradRuntimeError(f"start ({s}) + length ({length}) exceeds dimension size ({n}).")
    return op(self, dim=d, start=s, end=s + length, step=1)


SLICE_AXIS = view(
    "slice_axis",
    {"dim": "int", "start": "int", "end": "int", "step": "int"},
    _slice_axis_shape,
    lambda x, dim, start, end, step: x[(*(slice(None),) * dim, slice(start, end, step))],
    lambda b, self, dim, start, end, step: b.slice(self, **_slice_box(self.shape, dim, start, end, step)),
    lambda b, ct, self_t, dim, start, end, step: b.unslice(
        ct, shape=self_t.shape, **_slice_box(self_t.shape, dim, start, end, step)
    ),
    grad_fn="SliceBackward0",
    saved={"dim": "dim", "start": "start", "end": "end", "step": "step"},
    torch=(Torch(_narrow_call, ("narrow",), ("narrow",)), *SPLIT_SPELLINGS),
    sample=lambda rng: [
        ((normal(rng, 5, 4),), {"dim": 0, "start": 1, "end": 5, "step": 2}),
        ((normal(rng, 5),), {"dim": 0, "start": -2, "end": 99, "step": 1}),
        ((normal(rng, 3),), {"dim": 0, "start": 2, "end": 1, "step": 1}),
    ],
    doc="Python's slice of one dimension; ends may be negative or out of range, the step is positive.",
)
