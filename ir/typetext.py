"""Types as text, both ways. The readable spelling is `str(type)`; the generic one is what an IRDL-defined dialect of
MLIR can read, parameters being attributes: `!tile.v<"rx", f32>`, `!tile.buffer<4096 : i64, f32, 16 : i64>`.
"""

from __future__ import annotations

import re

from .errors import ShapeError
from .types import DTYPES, BufferType, DType, TensorType, TileType, Type, tensor, tile

DTYPE_NAMES: dict[str, DType] = {d.name: d for d in DTYPES}
MAX_RANK = 64
MAX_EXTENT = 2**63 - 1

_TENSOR = re.compile(r"tensor<((?:\d{1,19}x)*)([a-z]+\d+)>", re.ASCII)
_TILE = re.compile(r'!tile\.v<("?)([a-z]*|_)\1, ([a-z]+\d+)>', re.ASCII)
_BUFFER = re.compile(r"!tile\.buffer<(\d{1,19})(?:x| : i64, )([a-z]+\d+), (?:align )?(\d{1,9})(?: : i64)?>", re.ASCII)


def generic_type(t: Type) -> str:
    """A type as the generic form spells it."""
    if isinstance(t, TileType):
        return f'!tile.v<"{t.space}", {t.dtype.name}>'
    if isinstance(t, BufferType):
        return f"!tile.buffer<{t.numel} : i64, {t.dtype.name}, {t.align} : i64>"
    return str(t)


def read_type(text: str) -> Type | str:
    """The type a token spells, or the reason why it spells none."""
    if text.startswith("tensor<"):
        return _read_tensor(text)
    m = _TILE.fullmatch(text)
    if m is not None:
        space, d = m[2].replace("_", ""), DTYPE_NAMES.get(m[3])
        if d is None:
            return f"unknown element type {m[3]}"
        if "".join(sorted(set(space))) != space:
            return f"the index groups of {text} must be sorted and distinct"
        return tile(space, d)
    m = _BUFFER.fullmatch(text)
    if m is not None:
        d = DTYPE_NAMES.get(m[2])
        if d is None:
            return f"unknown element type {m[2]}"
        return BufferType(int(m[1]), d, int(m[3]))
    return "expected a type: tensor<4x8xf32>, !tile.v<rx, f32> or !tile.buffer<64xf32, align 16>"


def _read_tensor(text: str) -> TensorType | str:
    m = _TENSOR.fullmatch(text)
    if m is None:
        return "expected tensor<dimensions and element type>, as in tensor<4x8xf32>"
    d = DTYPE_NAMES.get(m[2])
    if d is None:
        return f"unknown element type {m[2]}, known are {', '.join(DTYPE_NAMES)}"
    dims = tuple([int(n) for n in m[1].split("x")[:-1]])
    if len(dims) > MAX_RANK:
        return f"a tensor has at most {MAX_RANK} dimensions, got {len(dims)}"
    if dims and max(dims) > MAX_EXTENT:
        return "a dimension must fit in 63 bits"
    try:
        return tensor(dims, d)
    except ShapeError:
        return "a tensor has at most 2^63 - 1 bytes"
