"""Index expressions: `x[...]` as a plan of views and one advanced index (advanced.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from gradc.ir.errors import GradIndexError, GradValueError, UnsupportedError
from gradc.ir.types import dtype, u8

from .take import INDEX_DTYPES

Step: TypeAlias = tuple[str, dict[str, Any], tuple[Any, ...]]
LAST = 2**63 - 1
"""torch's end of a slice without one."""


def plan_index(shape: Sequence[int], key: Any, nonzero: Callable[[Any], Sequence[Any]] | None = None) -> list[Step]:
    """The ops that make `x[key]` of an x of this shape, in torch's order: (short name, attributes, further operands).

    Further operands are the key's own tensors, or NumPy arrays made of its lists. `nonzero` gives the index vectors of
    a boolean mask; without it (while tracing) a mask is refused, because the result's shape depends on its values.
    """
    single = not isinstance(key, tuple)
    items = [_item(k) for k in ((key,) if single else key)]
    rank = len(shape)
    taken = sum(_consumed(k) for k in items)
    if single and rank == 0 and isinstance(items[0], int | slice) and not isinstance(items[0], bool):
        raise GradIndexError(
            "slice() cannot be applied to a 0-dim tensor."
            if isinstance(items[0], slice)
            else "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to "
            "convert a 0-dim tensor to a number"
        )
    if taken > rank:
        raise GradIndexError(f"too many indices for tensor of dimension {rank}")
    steps: list[Step] = []
    tensors: list[tuple[int, Any]] = []
    dim = source = 0
    for k in items:
        if k is Ellipsis:
            dim, source = dim + rank - taken, source + rank - taken
        elif k is None:
            steps.append(("unsqueeze", {"dim": dim}, ()))
            dim += 1
        elif isinstance(k, bool):
            steps.append(("unsqueeze", {"dim": dim}, ()))
            tensors.append((dim, np.zeros(int(k), np.int64)))
            dim += 1
        elif isinstance(k, int):
            n = shape[source]
            if not -n <= k < n:
                raise GradIndexError(f"index {k} is out of bounds for dimension {source} with size {n}")
            steps.append(("select", {"dim": dim, "index": k}, ()))
            source += 1
        elif isinstance(k, slice):
            step = _slice(k, dim, shape[source], single)
            steps.extend([step] if step else [])
            dim, source = dim + 1, source + 1
        elif _is_mask(k):
            if tuple(k.shape) != tuple(shape[source : source + k.ndim]):
                raise GradIndexError(
                    f"The shape of the mask {list(k.shape)} at index {next(_differences(k.shape, shape[source:]))} "
                    f"does not match the shape of the indexed tensor {list(shape)} at index {source}"
                )
            if nonzero is None:
                raise UnsupportedError(
                    "indexing with a boolean mask: the result's shape depends on the mask's values",
                    hint="where(mask, x, y) keeps the shape",
                )
            tensors.extend((dim + i, t) for i, t in enumerate(nonzero(k)))
            dim, source = dim + k.ndim, source + k.ndim
        else:
            tensors.append((dim, k))
            dim, source = dim + 1, source + 1
    if tensors:
        steps.append(("index", {"dims": tuple(d for d, _ in tensors)}, tuple(t for _, t in tensors)))
    return steps or [("alias", {}, ())]


def _differences(mask: Sequence[int], shape: Sequence[int]) -> Any:
    return (i for i, (a, b) in enumerate(zip(mask, shape, strict=False)) if a != b)


def _item(k: Any) -> Any:
    """One entry of a key as None, Ellipsis, bool, int, slice or tensor."""
    if k is None or k is Ellipsis or isinstance(k, bool | slice):
        return k
    if isinstance(k, np.bool_):
        return bool(k)
    if isinstance(k, list | tuple | range):
        a = np.asarray(k)
        k = a.astype(np.int64) if a.size == 0 else a
    if hasattr(k, "dtype") and hasattr(k, "shape"):
        d = dtype(k.dtype)
        if isinstance(k, np.ndarray | np.generic) and not k.shape and d.kind == "int":
            return int(k)
        if d.kind != "bool" and d not in (*INDEX_DTYPES, u8):
            raise GradIndexError("tensors used as indices must be long, int, byte or bool tensors")
        return k
    if hasattr(k, "__index__"):
        return int(k.__index__())
    raise GradIndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
        f"(got {type(k).__name__})"
    )


def _is_mask(k: Any) -> bool:
    return dtype(k.dtype).kind == "bool" or dtype(k.dtype) is u8


def _consumed(k: Any) -> int:
    if k is None or k is Ellipsis or isinstance(k, bool):
        return 0
    if isinstance(k, int | slice):
        return 1
    return int(k.ndim) if _is_mask(k) else 1


def _slice(k: slice, dim: int, size: int, single: bool) -> Step | None:
    """The step of a slice; torch leaves out one that takes everything, unless it is the whole key."""
    start, stop, step = (
        default if v is None else int(v.__index__()) for v, default in ((k.start, 0), (k.stop, LAST), (k.step, 1))
    )
    if step == 0:
        raise GradValueError("slice step cannot be zero")
    if step < 0:
        raise GradValueError("step must be greater than zero")
    if not single and start == 0 and stop >= size and step == 1:
        return None
    return "slice_axis", {"dim": dim, "start": start, "end": stop, "step": step}, ()
