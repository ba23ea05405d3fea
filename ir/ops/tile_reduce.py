"""Ops of the tile level that combine the lanes and loop steps of index groups."""

from __future__ import annotations

from gradc.ir.op import TILE, Op, define
from gradc.ir.types import DType, TileType, tile


def _reduce_type(value: TileType, *, monoid: str, over: str) -> TileType:
    return tile("".join(c for c in value.space if c not in over), value.dtype)


define(
    Op(
        "tile.reduce",
        TILE,
        ("value",),
        ("result",),
        _reduce_type,
        attrs={"monoid": "str", "over": "str"},
        doc="Combines all lanes and loop steps of the groups in `over` that one program holds.",
    )
)


def _two(value: TileType, *, over: str) -> tuple[TileType, TileType]:
    kept = tile("".join(c for c in value.space if c not in over), value.dtype)
    return kept, kept


define(
    Op(
        "tile.exp_sum",
        TILE,
        ("value",),
        ("top", "total"),
        _two,
        attrs={"over": "str"},
        doc="The greatest of the lanes and loop steps in `over` that one program holds, and the sum of exp(value - "
        "greatest), in one walk: a step that finds a greater one scales the sum so far (Milakov and Gimelshein 2018).",
    )
)


define(
    Op(
        "tile.moments",
        TILE,
        ("value",),
        ("total", "squares"),
        _two,
        attrs={"over": "str"},
        doc="The sum of the lanes and loop steps in `over` that one program holds, and the sum of their squared "
        "distances from their mean, in one walk (Welford 1962, lanes put together by Chan, Golub and LeVeque 1979).",
    )
)


def _dot_type(a: TileType, b: TileType, *, over: str, dtype: DType) -> TileType:
    return tile("".join(c for c in a.space + b.space if c not in over), dtype)


define(
    Op(
        "tile.dot",
        TILE,
        ("a", "b"),
        ("result",),
        _dot_type,
        attrs={"over": "str", "dtype": "dtype"},
        doc="Sum over the groups in `over` of a * b, accumulated in `dtype`.",
    )
)
