"""What ops over axes share: axes put back, half types widened, torch's sentences for dtypes and empty axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradc.ir.dim import Shape, product
from gradc.ir.errors import GradIndexError, GradRuntimeError, UnsupportedError
from gradc.ir.types import DType, TensorType

from .family import reduced_shape

SCALAR_NAMES = {
    "f64": "Double",
    "f32": "Float",
    "f16": "Half",
    "bf16": "BFloat16",
    "i64": "Long",
    "i32": "Int",
    "i16": "Short",
    "i8": "Char",
    "ui8": "Byte",
    "ui32": "UInt32",
    "ui64": "UInt64",
    "i1": "Bool",
}
"""The names torch's error sentences use for element types."""


def wide(b: Any, x: Any) -> Any:
    """The value in its compute dtype: half types are widened once, where a chain of ops begins."""
    d = x.dtype
    return b.convert(x, dtype=d.compute) if d.is_half else x


def narrow(b: Any, x: Any, dtype: DType) -> Any:
    """The value in this dtype: half results are rounded once, where a chain of ops ends."""
    return x if x.dtype is dtype else b.convert(x, dtype=dtype)


def keep_dims(b: Any, x: Any, shape: Shape, dims: Sequence[int], keepdim: bool | None) -> Any:
    """A value reduced from `shape`, with its axes put back as extent 1, ready to broadcast."""
    return x if keepdim else b.reshape(x, shape=reduced_shape(shape, dims, True))


def expand(b: Any, x: Any, shape: Shape, dims: Sequence[int], keepdim: bool | None) -> Any:
    """A value reduced from `shape`, repeated along the reduced axes."""
    return b.broadcast(keep_dims(b, x, shape, dims, keepdim), shape=shape)


def drop_dims(b: Any, x: Any, shape: Shape, dims: Sequence[int], keepdim: bool | None) -> Any:
    """A value whose reduced axes have extent 1, with these axes gone unless they are to be kept."""
    return x if keepdim else b.reshape(x, shape=reduced_shape(shape, dims, False))


def select(b: Any, cond: Any, x: Any, other: float | Any) -> Any:
    """`where(cond, x, other)`; a number takes the dtype of `x`."""
    return b.where(cond, x, other if hasattr(other, "type") else b.scalar(other, x.dtype))


def sign(b: Any, x: Any) -> Any:
    """-1, 0 or 1 in the dtype of `x`; 0 for NaN."""
    return b.convert(x > 0, dtype=x.dtype) - b.convert(x < 0, dtype=x.dtype)


def extent(shape: Shape, dims: Sequence[int]) -> int:
    """The number of elements that one reduced element comes from."""
    return product(shape[d] for d in dims)


def last_axes(b: Any, x: Any, dims: Sequence[int]) -> tuple[Any, tuple[int, ...]]:
    """The value with these axes moved to the end as one, and the permutation that was applied."""
    order = tuple(i for i in range(x.ndim) if i not in set(dims)) + tuple(dims)
    shape = tuple(x.shape[i] for i in order)
    cut = len(order) - len(dims)
    moved = x if order == tuple(range(x.ndim)) else b.permute(x, dims=order)
    return b.reshape(moved, shape=(*shape[:cut], product(shape[cut:]))), order


def unlast_axes(b: Any, x: Any, shape: Shape, order: Sequence[int]) -> Any:
    """The inverse of `last_axes` for a value of the original `shape`."""
    out = b.reshape(x, shape=tuple(shape[i] for i in order))
    if tuple(order) == tuple(range(len(order))):
        return out
    return b.permute(out, dims=tuple(order.index(i) for i in range(len(order))))


def position(b: Any, shape: Shape, dim: int, dtype: DType) -> Any:
    """The index along `dim`, of extent 1 on the other axes."""
    return b.iota(shape=tuple(d if i == dim else 1 for i, d in enumerate(shape)), dim=dim, dtype=dtype)


def require_float(kernel: str, *types: TensorType) -> None:
    """torch's sentence for a kernel that exists for floating-point types only."""
    for t in types:
        if not t.dtype.is_float:
            raise UnsupportedError(f"\"{kernel}\" not implemented for '{SCALAR_NAMES[t.dtype.name]}'")


def require_extent(name: str, x: TensorType, dims: Sequence[int]) -> None:
    """torch's sentence for a reduction without an identity over an axis of extent 0."""
    for d in dims:
        if x.ndim and x.shape[d] == 0:
            raise GradIndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def require_elements(name: str, x: Any, error: type[GradRuntimeError | GradIndexError] = GradRuntimeError) -> None:
    """torch's sentence for a reduction without an identity over all axes of an empty tensor."""
    if 0 in x.shape:
        raise error(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
            "Specify the reduction dim with the 'dim' argument."
        )
