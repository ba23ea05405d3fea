"""A cluster's iteration space: which axes form which index group, in which order, and how it is cut into programs.

Accesses are linear in the axes: `{axis: coefficient}` plus an offset. Neighbouring axes of a group that every access
walks as one are merged, so a contiguous tensor of any rank is one flat dim.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from gradc.ir.dim import ceil_div, next_pow2, product
from gradc.ir.tile import Group, persistent, resident, spread

from .cluster import Cluster, Labels
from .pitch import LONG, odd_rows, programs, shared_row
from .views import View

Affine: TypeAlias = dict[int, int]

LETTERS = "xrqstuvwyz"
MAP_TILE = 1024
ROW_TILE = 4096
"""Lanes of a row tile (rows x padded row) aimed at."""
PROGRAMS = 132
"""Persistent programs: one per multiprocessor of the reference target."""
MAX_PARTIALS = 4096
"""Scalar partials from which on programs take several tiles."""
LONG_ROW = 16384
"""Padded row from which on a program takes one tile: what a loop over rows keeps besides the row costs registers."""


class Space(NamedTuple):
    """`groups` in order; `parts[letter]` lists, per merged dim of the group, the axes merged in it (outermost
    first)."""

    groups: tuple[Group, ...]
    parts: dict[str, tuple[tuple[int, ...], ...]]
    letter: dict[int, str]

    def coeffs(self, affine: Affine) -> tuple[tuple[int, ...], ...]:
        """An access as coefficients per group and merged dim: that of the innermost axis merged there."""
        return tuple(tuple(affine.get(part[-1], 0) for part in self.parts[g.letter]) for g in self.groups)

    def letters(self, axes: Iterable[int]) -> str:
        """The groups that these axes belong to."""
        return "".join(sorted({self.letter[a] for a in axes if a in self.letter}))

    def over(self, axes: Iterable[int]) -> str:
        return self.letters(axes)


def affine_of(view: View, labels: Labels, axes: dict[int, int]) -> Affine:
    """The address of a view over a labelled domain, per axis."""
    out: Affine = {}
    for label, stride in zip(labels, view.strides, strict=True):
        inner = stride
        for a in reversed(label):
            if inner:
                out[a] = out.get(a, 0) + inner
            inner *= axes[a]
    return out


def order(axes: Iterable[int], extents: dict[int, int], accesses: list[Affine]) -> list[int]:
    """Axes from outermost to innermost, as the largest access lays them out in memory."""
    live = [a for a in axes if extents[a] != 1]
    votes: Affine = {}
    for affine in sorted(accesses, key=lambda f: -product(extents[a] for a in f)):
        for a, c in affine.items():
            if a not in votes:
                votes[a] = abs(c)
    return sorted(live, key=lambda a: -votes.get(a, 1 << 62))


def merge(
    ordered: list[int], extents: dict[int, int], accesses: list[Affine], together: Sequence[frozenset[int]] = ()
) -> list[list[int]]:
    """Runs of axes that all accesses walk as one dim, and that each set of `together` holds or misses as a whole."""
    parts: list[list[int]] = []
    for a in ordered:
        apart = parts and any((a in t) != (parts[-1][-1] in t) for t in together)
        if parts and not apart and all(f.get(parts[-1][-1], 0) == f.get(a, 0) * extents[a] for f in accesses):
            parts[-1].append(a)
        else:
            parts.append([a])
    return parts


Pairs: TypeAlias = list[tuple[Group, tuple[tuple[int, ...], ...]]]
"""Groups with their parts."""


def extra_groups(c: Cluster, accesses: list[Affine], letters: str) -> Pairs:
    """Groups of the axes over which every program repeats a reduction for itself: each lies whole in its tile."""
    parts = merge(order(c.extra, c.axes, accesses), c.axes, accesses, tuple(frozenset([a]) for a in c.extra))
    return [(resident(letter, (c.axes[p[0]],)), (tuple(p),)) for letter, p in zip(letters, parts, strict=False)]


def plan_space(c: Cluster, accesses: list[Affine], rows_to_columns: bool, scalars: bool, vector: int) -> Space:
    """Choose groups and tiles. `rows_to_columns`: some reduction keeps only the inner axes (a carry across rows);
    `scalars`: some reduction leaves one partial per program; `vector`: elements in 16 bytes of the narrowest tensor."""
    extents = c.axes

    def dims(axes: Iterable[int]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        parts = merge(order(axes, extents, accesses), extents, accesses)
        return tuple(product(extents[a] for a in p) for p in parts), tuple(tuple(p) for p in parts)

    if c.one_program:
        parts = merge(order(c.kept, extents, accesses), extents, accesses, c.overs)
        made = [
            (resident(letter, (product(extents[a] for a in p),)), (tuple(p),))
            for letter, p in zip(LETTERS, parts, strict=False)
        ]
        return make_space(made + extra_groups(c, accesses, LETTERS[len(made) :]))
    x_dims, x_parts = dims(c.kept)
    n = product(x_dims)
    if c.kind == "MAP":
        last = x_parts[-1][-1] if len(x_parts) > 1 else None
        if last is not None and not scalars and not c.extra and next_pow2(x_dims[-1]) >= LONG:
            rows = [a for part in x_parts[:-1] for a in part]
            if odd_rows(accesses, rows, last, vector) and shared_row(accesses, rows, last):
                r = spread("r", x_dims[-1:], MAP_TILE)
                x = persistent("x", x_dims[:-1], 1, programs(8 * PROGRAMS // r.grid, True, vector))
                return make_space([(x, x_parts[:-1]), (r, x_parts[-1:])])
        extra = extra_groups(c, accesses, LETTERS[2:])
        lanes = max([MAP_TILE, *(min(g.tile // 2, ROW_TILE) for g, _ in extra)])  # the warps of a large group have work
        tiles = ceil_div(max(n, 1), lanes)
        many = (scalars and tiles > MAX_PARTIALS) or (bool(c.extra) and tiles > 8 * PROGRAMS)
        x = persistent("x", x_dims, lanes, 8 * PROGRAMS) if many else spread("x", x_dims, lanes)
        return make_space([(x, x_parts), *extra])
    r_dims, r_parts = dims(c.inner)
    if c.kind == "ROW":
        r = resident("r", r_dims)
        wide = max(1, ROW_TILE // r.tile)
        contiguous = _unit_stride(c.inner, accesses)
        lanes = min(wide if contiguous else max(wide, 32), next_pow2(max(n, 1)), 1024)
        if not contiguous:
            while lanes * r.tile > 4 * ROW_TILE and lanes > 1:
                lanes //= 2
        last = r_parts[-1][-1] if len(r_parts) == 1 else None
        odd = last is not None and r.tile >= LONG and odd_rows(accesses, c.kept, last, vector)
        if odd:
            lanes = 1
        shared = odd and last is not None and shared_row(accesses, c.kept, last)
        tiles = ceil_div(max(n, 1), lanes)
        if rows_to_columns or (scalars and tiles > MAX_PARTIALS and r.tile < LONG_ROW):
            x = persistent("x", x_dims, lanes, programs(PROGRAMS, odd, vector))
        elif (c.extra or shared) and tiles > 4 * PROGRAMS and r.tile < LONG_ROW:
            x = persistent("x", x_dims, lanes, programs(4 * PROGRAMS, odd, vector))
        else:
            x = spread("x", x_dims, lanes)
        return make_space([(x, x_parts), (r, r_parts), *extra_groups(c, accesses, LETTERS[2:])])
    contiguous = _unit_stride(c.inner, accesses)
    depth = product(r_dims)
    whole = scalars and n <= ROW_TILE * 2
    columns = not contiguous and len(x_parts) == 1 and next_pow2(max(n, 1)) >= LONG and (whole or not scalars)
    if columns and odd_rows(accesses, c.inner, x_parts[0][-1], vector):
        x = resident("x", x_dims) if whole else spread("x", x_dims, MAP_TILE)
        r = persistent("r", r_dims, 1, programs(PROGRAMS if whole else 2 * PROGRAMS // x.grid, True, vector))
        return make_space([(x, x_parts), (r, r_parts), *extra_groups(c, accesses, LETTERS[2:])])
    lanes = 1 if contiguous else min(128, next_pow2(max(n, 1)))
    step = min(next_pow2(max(depth, 1)), ROW_TILE if contiguous else 32)
    x = spread("x", x_dims, lanes)
    splits = max(1, min(ceil_div(4 * PROGRAMS, x.grid), ceil_div(max(depth, 1), step), 128))
    steps = ceil_div(max(depth, 1), step)
    r = Group(
        "r",
        r_dims,
        grid=ceil_div(steps, ceil_div(steps, splits)),
        loop=ceil_div(steps, splits),
        tile=step,
        strided=False,
    )
    return make_space([(x, x_parts), (r, r_parts), *extra_groups(c, accesses, LETTERS[2:])])


def _unit_stride(inner: set[int], accesses: list[Affine]) -> bool:
    """Whether memory is contiguous along the reduced axes (of most accesses that move along them)."""
    mine = sum(1 for f in accesses if any(a in inner and abs(c) == 1 for a, c in f.items()))
    other = sum(1 for f in accesses if any(a not in inner and abs(c) == 1 for a, c in f.items()) and set(f) & inner)
    return mine >= other


def make_space(pairs: list[tuple[Group, tuple[tuple[int, ...], ...]]]) -> Space:
    letter = {a: g.letter for g, parts in pairs for p in parts for a in p}
    return Space(tuple(g for g, _ in pairs), {g.letter: parts for g, parts in pairs}, letter)
