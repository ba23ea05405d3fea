"""Ops of the tile level: about forty scalar ops (one row each in every printer's table) and the structural ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.build import tile_result
from gradc.ir.errors import DTypeError
from gradc.ir.formulas_erf import erf_array
from gradc.ir.op import PLAN, TILE, Op, define
from gradc.ir.types import BufferType, TileType, i1, tile, u32


def _scalar(
    name: str, arity: int, numpy: Callable[..., Any], infer: Callable[..., Any] | None = None, **more: Any
) -> Op:
    def same(*types: TileType) -> TileType:
        first = types[0].dtype
        for t in types[1:]:
            if t.dtype is not first:
                raise DTypeError(f"tile.{name}: operands must have one dtype, got {', '.join(map(str, types))}")
        return tile_result(*types)

    operands = ("a", "b", "c")[:arity]
    return define(
        Op(
            f"tile.{name}",
            TILE,
            operands,
            ("result",),
            infer or same,
            numpy=numpy,
            traits=frozenset({"scalar"}),
            **more,
        )
    )


def _compare(name: str, numpy: Callable[..., Any]) -> Op:
    def infer(a: TileType, b: TileType) -> TileType:
        if a.dtype is not b.dtype:
            raise DTypeError(f"tile.{name}: operands must have one dtype, got {a}, {b}")
        return tile_result(a, b, dtype=i1)

    return _scalar(name, 2, numpy, infer)


def _select_type(c: TileType, a: TileType, b: TileType) -> TileType:
    if c.dtype is not i1 or a.dtype is not b.dtype:
        raise DTypeError(f"tile.select: expected i1 and two of one dtype, got {c}, {a}, {b}")
    return tile_result(c, a, b, dtype=a.dtype)


def c_div(a: Any, b: Any) -> Any:
    """Integer division truncating towards zero; 0 for a zero divisor."""
    safe = np.where(b == 0, np.ones_like(b), b)
    q = np.floor_divide(a, safe)
    q = q + ((q < 0) & (q * safe != a)).astype(q.dtype)
    return np.where(b == 0, np.zeros_like(q), q)


def c_rem(a: Any, b: Any) -> Any:
    """Integer remainder with the sign of the dividend; 0 for a zero divisor."""
    return np.where(b == 0, np.zeros_like(a), a - c_div(a, b) * b)


BINARY: tuple[tuple[str, Any], ...] = (
    ("add", np.add),
    ("sub", np.subtract),
    ("mul", np.multiply),
    ("div", np.divide),
    ("minimum", np.minimum),
    ("maximum", np.maximum),
    ("rem", c_rem),
    ("idiv", c_div),
    ("bitwise_and", np.bitwise_and),
    ("bitwise_or", np.bitwise_or),
    ("bitwise_xor", np.bitwise_xor),
    ("shift_left", np.left_shift),
    ("shift_right", np.right_shift),
)
UNARY: tuple[tuple[str, Any], ...] = (
    ("neg", np.negative),
    ("abs", np.abs),
    ("floor", np.floor),
    ("ceil", np.ceil),
    ("trunc", np.trunc),
    ("rint", np.rint),
    ("sqrt", np.sqrt),
    ("rsqrt", lambda x: np.reciprocal(np.sqrt(x))),
    ("exp", np.exp),
    ("exp2", np.exp2),
    ("log", np.log),
    ("log2", np.log2),
    ("erf", erf_array),
    ("bitwise_not", np.invert),
    ("fresh", lambda x: x),
)
"""`fresh` is its operand, but what is computed from it is computed again: a compiler cannot tell that it has been."""
COMPARISONS: tuple[tuple[str, Any], ...] = (
    ("eq", np.equal),
    ("ne", np.not_equal),
    ("lt", np.less),
    ("le", np.less_equal),
    ("gt", np.greater),
    ("ge", np.greater_equal),
)
for _name, _fn in BINARY:
    _scalar(_name, 2, _fn)
for _name, _fn in UNARY:
    _scalar(_name, 1, _fn)
for _name, _fn in COMPARISONS:
    _compare(_name, _fn)

_scalar("again", 2, lambda a, b: a)
_scalar("fma", 3, lambda a, b, c: a * b + c)
_scalar("select", 3, np.where, _select_type)
_scalar("umulhi", 2, lambda a, b: ((a.astype(np.uint64) * b.astype(np.uint64)) >> np.uint64(32)).astype(np.uint32))
_scalar(
    "convert",
    1,
    lambda a, dtype: np.asarray(a).astype(dtype.numpy),
    lambda a, dtype: tile_result(a, dtype=dtype),
    attrs={"dtype": "dtype"},
)
_scalar(
    "bitcast",
    1,
    lambda a, dtype: np.asarray(a).view(dtype.numpy),
    lambda a, dtype: tile_result(a, dtype=dtype),
    attrs={"dtype": "dtype"},
)

define(
    Op(
        "tile.constant",
        TILE,
        (),
        ("result",),
        lambda value, dtype: tile("", dtype),
        attrs={"value": "number", "dtype": "dtype"},
        numpy=lambda value, dtype: np.asarray(value).astype(dtype.numpy),
    )
)
define(
    Op(
        "tile.index",
        TILE,
        (),
        ("result",),
        lambda group, dim, dtype: tile(group, dtype),
        attrs={"group": "str", "dim": "int", "dtype": "dtype"},
        doc="The index of one dim of an index group.",
    )
)


def _load_type(
    buffer: BufferType,
    *rest: TileType,
    coeffs: Any,
    offset: int,
    space: str,
    masked: bool = False,
    index_coeffs: tuple[int, ...] = (),
    each_step: bool = False,
) -> TileType:
    if masked and (not rest or rest[0].dtype is not i1):
        raise DTypeError("tile.load: a masked load takes an i1 mask after the buffer")
    for t in rest:
        space += t.space
    return tile(space, buffer.dtype)


define(
    Op(
        "tile.load",
        TILE,
        ("buffer", "rest*"),
        ("result",),
        _load_type,
        attrs={
            "coeffs": "any",
            "offset": "int",
            "space": "str",
            "masked": "bool?",
            "index_coeffs": "ints?",
            "each_step": "bool?",
        },
        doc="Reads one element per lane; `space` are the letters of the groups with a non-zero coefficient. Operands "
        "after the buffer: an i1 mask if `masked` (masked-out lanes read 0), then one integer per `index_coeffs`. With "
        "`each_step` it is made in each step of the kernel's loops, though it is the same in all.",
    )
)
define(
    Op(
        "tile.store",
        TILE,
        ("value", "buffer", "rest*"),
        (),
        lambda value, buffer, *rest, **attrs: (),
        attrs={
            "coeffs": "any",
            "offset": "int",
            "program": "ints?",
            "masked": "bool?",
            "index_coeffs": "ints?",
        },
        doc="Writes one element per lane; `program` has one coefficient per group for its program index.",
    )
)


define(
    Op(
        "tile.check",
        TILE,
        ("bad", "flag"),
        (),
        lambda bad, flag, **attrs: (),
        attrs={"code": "int"},
        doc="Sets the flag buffer's element 0 to `code` if any valid lane is bad.",
    )
)


def _part_type(*buffers: BufferType, **attrs: Any) -> tuple[()]:
    return ()


define(
    Op(
        "tile.part",
        TILE,
        ("buffers*",),
        (),
        _part_type,
        traits=frozenset({"region"}),
        doc="Runs its region, a kernel, on these buffers, in programs of its own. A kernel with parts holds nothing "
        "else; its programs are those of the first part, then those of the next, and so on.",
    )
)


def _launch_type(*types: Any, **attrs: Any) -> Any:
    raise TypeError("tile.launch takes its result types from the pass that makes it")


define(
    Op(
        "tile.launch",
        PLAN,
        ("args*",),
        ("results*",),
        _launch_type,
        attrs={"kernel": "str", "slots": "ints?", "in_place": "ints?"},
        doc="Runs a kernel on whole tensors; results are the kernel's written buffers, in order. Once planned, `slots` "
        "holds each result's offset in the arena (-1: a result of the program) and `in_place` the operand it "
        "overwrites or -1.",
    )
)

__all__ = ["c_div", "c_rem", "erf_array", "u32"]
