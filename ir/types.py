"""Element types, tensor types (grad level), tile value types (tile level) and buffer types (tile and plan level).

Types are immutable and interned: two equal types are nearly always the same object, and `==` is exact in any case.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, TypeAlias

import numpy as np

from .dim import Shape, broadcast, product, row_major
from .errors import GradAttributeError, GradTypeError, ShapeError


class DType:
    """An element type. `name` is MLIR's spelling, `torch_name` torch's; `itemsize` is in bytes."""

    __slots__ = ("bits", "is_float", "is_half", "itemsize", "kind", "name", "numpy", "rank", "torch_name")
    numpy: np.dtype[Any]

    def __init__(self, name: str, torch_name: str, numpy: Any, kind: str, bits: int, rank: int) -> None:
        self.name, self.torch_name = name, torch_name
        self.kind, self.bits, self.itemsize = kind, bits, max(bits // 8, 1)
        self.is_float = kind == "float"
        self.is_half = self.is_float and bits == 16
        self.rank = rank
        if numpy is not None:
            self.numpy = np.dtype(numpy)

    def __getattr__(self, name: str) -> Any:
        # bfloat16's package takes a tenth of NumPy's time to import: only programs that meet the type wait for it.
        if name == "numpy":
            import ml_dtypes

            self.numpy = np.dtype(ml_dtypes.bfloat16)
            _BY_NUMPY[self.numpy] = self
            return self.numpy
        raise GradAttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def compute(self) -> DType:
        """The type arithmetic is done in: float32 for half types, itself otherwise."""
        return f32 if self.is_half else self

    def __repr__(self) -> str:
        # Programs that print a tensor's dtype print what torch prints; the IR's text uses `name`.
        return f"torch.{self.torch_name}"

    def __reduce__(self) -> Any:
        return (dtype, (self.name,))

    def __deepcopy__(self, memo: Any) -> DType:
        return self


f64 = DType("f64", "float64", np.float64, "float", 64, 9)
f32 = DType("f32", "float32", np.float32, "float", 32, 8)
f16 = DType("f16", "float16", np.float16, "float", 16, 6)
bf16 = DType("bf16", "bfloat16", None, "float", 16, 7)
i64 = DType("i64", "int64", np.int64, "int", 64, 5)
i32 = DType("i32", "int32", np.int32, "int", 32, 4)
i16 = DType("i16", "int16", np.int16, "int", 16, 3)
i8 = DType("i8", "int8", np.int8, "int", 8, 2)
u8 = DType("ui8", "uint8", np.uint8, "int", 8, 1)
u32 = DType("ui32", "uint32", np.uint32, "int", 32, 4)
u64 = DType("ui64", "uint64", np.uint64, "int", 64, 5)
i1 = DType("i1", "bool", np.bool_, "bool", 1, 0)

DTYPES: tuple[DType, ...] = (f64, f32, f16, bf16, i64, i32, i16, i8, u8, u32, u64, i1)
_BY_NAME: dict[str, DType] = {n: d for d in DTYPES for n in (d.name, d.torch_name)} | {
    "float": f32,
    "double": f64,
    "half": f16,
    "long": i64,
    "int": i32,
    "short": i16,
}
_BY_NUMPY: dict[np.dtype[Any], DType] = {d.numpy: d for d in DTYPES if d is not bf16}


def dtype(name: Any) -> DType:
    """The DType for an MLIR or torch name, a NumPy dtype or a DType; raises GradTypeError."""
    if isinstance(name, DType):
        return name
    if isinstance(name, str) and name.removeprefix("torch.") in _BY_NAME:
        return _BY_NAME[name.removeprefix("torch.")]
    try:
        key = np.dtype(name)
        return _BY_NUMPY.get(key) or _BY_NUMPY[bf16.numpy if key.name == "bfloat16" else key]
    except (TypeError, KeyError):
        known = ", ".join(d.torch_name for d in DTYPES)
        raise GradTypeError(f"unknown dtype {name!r}", hint=f"one of {known}") from None


@cache
def promote_dtypes(a: DType, b: DType) -> DType:
    """torch's promotion of two element types."""
    if a is b:
        return a
    if a.kind != b.kind:
        order = ("bool", "int", "float")
        return a if order.index(a.kind) > order.index(b.kind) else b
    if a.kind == "float":
        if a.is_half and b.is_half:
            return f32
        return a if a.bits > b.bits else b
    unsigned = [d for d in (a, b) if d.name.startswith("ui")]
    if len(unsigned) == 1 and unsigned[0].bits >= (a if unsigned[0] is b else b).bits:
        return {8: i16, 32: i64, 64: i64}[unsigned[0].bits]
    return a if a.bits > b.bits else b


class TensorType:
    """`tensor<4x8xf32>`: shape (a tuple of Dim) and element type."""

    __slots__ = ("_hash", "dtype", "shape")

    def __init__(self, shape: Shape, dtype: DType) -> None:
        self.shape, self.dtype = shape, dtype
        self._hash = hash((shape, dtype.name))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def numel(self) -> int:
        return product(self.shape)

    @property
    def nbytes(self) -> int:
        return product(self.shape) * self.dtype.itemsize

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, TensorType) and self.shape == other.shape and self.dtype is other.dtype
        )

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return f"tensor<{''.join(f'{d}x' for d in self.shape)}{self.dtype.name}>"

    __repr__ = __str__


BYTES = 2**63 - 1


@lru_cache(maxsize=65536)
def tensor(shape: Shape, dtype: DType) -> TensorType:
    type_ = TensorType(shape, dtype)
    if type_.nbytes > BYTES:
        raise ShapeError(
            f"Storage size calculation overflowed with sizes={list(shape)}", hint="a tensor has at most 2^63 - 1 bytes"
        )
    return type_


class TileType:
    """`!tile.v<rx, f32>`: a value inside a kernel; `space` is the sorted letters of the index groups it varies over
    (the empty space prints as `_`: one value per program)."""

    __slots__ = ("_hash", "dtype", "space")

    def __init__(self, space: str, dtype: DType) -> None:
        self.space, self.dtype = space, dtype
        self._hash = hash((space, dtype.name))

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, TileType) and self.space == other.space and self.dtype is other.dtype
        )

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return f"!tile.v<{self.space or '_'}, {self.dtype.name}>"

    __repr__ = __str__


@cache
def tile(space: str, dtype: DType) -> TileType:
    return TileType("".join(sorted(set(space))), dtype)


class BufferType:
    """`!tile.buffer<4096xf32, align 16>`: a run of `numel` elements in memory, its base `align` bytes aligned."""

    __slots__ = ("align", "dtype", "numel")

    def __init__(self, numel: int, dtype: DType, align: int = 16) -> None:
        self.numel, self.dtype, self.align = numel, dtype, align

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BufferType)
            and self.numel == other.numel
            and self.dtype is other.dtype
            and self.align == other.align
        )

    def __hash__(self) -> int:
        return hash((self.numel, self.dtype.name, self.align))

    def __str__(self) -> str:
        return f"!tile.buffer<{self.numel}x{self.dtype.name}, align {self.align}>"

    __repr__ = __str__


Type: TypeAlias = TensorType | TileType | BufferType


def promote(*types: TensorType) -> DType:
    """torch's result dtype of operands: tensors with dimensions decide, zero-dimensional ones only by their kind."""
    first = types[0].dtype
    for t in types:
        if t.dtype is not first:
            break
    else:
        return first
    order = ("bool", "int", "float")
    best: dict[bool, DType] = {}
    for t in types:
        key = bool(t.shape)
        best[key] = promote_dtypes(best[key], t.dtype) if key in best else t.dtype
    if len(best) == 1:
        return next(iter(best.values()))
    high, low = best[True], best[False]
    return low if order.index(low.kind) > order.index(high.kind) else high


def broadcast_types(*types: TensorType) -> Shape:
    shape = types[0].shape
    for t in types[1:]:
        shape = broadcast(shape, t.shape)
    return shape


__all__ = [
    "DTYPES",
    "BufferType",
    "DType",
    "TensorType",
    "TileType",
    "Type",
    "bf16",
    "broadcast_types",
    "dtype",
    "f16",
    "f32",
    "f64",
    "i1",
    "i8",
    "i16",
    "i32",
    "i64",
    "promote",
    "promote_dtypes",
    "row_major",
    "tensor",
    "tile",
    "u8",
    "u32",
    "u64",
]
