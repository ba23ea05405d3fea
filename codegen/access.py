"""Addresses: a load or store as a sum of few terms, each one an integer times a run of adjacent dims of a group."""

from __future__ import annotations

from typing import NamedTuple

from gradc.ir.graph import Graph, Node
from gradc.ir.tile import Group, address_space, split_load, split_store
from gradc.ir.types import BufferType, TileType

INT32_MAX = 2**31 - 1


class Term(NamedTuple):
    """`coeff * (flat index of the group // divisor % modulus)`; a modulus of None says that it would change nothing."""

    group: int
    divisor: int
    modulus: int | None
    coeff: int


class Access(NamedTuple):
    """What one `tile.load` or `tile.store` addresses: element `offset + sum of terms + sum coeff * program number +
    sum coeff * value of an index`. `letters` are the groups whose padding lanes it must not touch, `space` those that
    the address varies over, `wide` says that 32-bit offsets could overflow."""

    buffer: int
    offset: int
    terms: tuple[Term, ...]
    program: tuple[tuple[int, int], ...]
    indices: tuple[tuple[int, int], ...]
    mask: int | None
    letters: str
    space: str
    wide: bool


def runs(g: Group, position: int, coeffs: tuple[int, ...]) -> list[Term]:
    """The terms of one group: adjacent dims that step like one longer dim are one term; dims of extent 1 are none."""
    found: list[list[int]] = []
    for d in range(len(g.dims) - 1, -1, -1):
        if g.dims[d] == 1:
            continue
        if found and coeffs[d] == found[-1][2] * found[-1][1]:
            found[-1][1] *= g.dims[d]
        else:
            found.append([g.strides[d], g.dims[d], coeffs[d]])
    out = []
    for divisor, extent, coeff in reversed(found):
        if coeff:
            out.append(Term(position, divisor, extent if divisor * extent < g.extent else None, coeff))
    return out


def flat_limit(g: Group) -> int:
    """One past the largest flat index that a lane, padding included, can have."""
    return g.grid * g.loop * g.tile


def access_of(kernel: Graph, node: Node, gs: tuple[Group, ...]) -> Access | None:
    """The access that a node makes; None for other ops."""
    if node.op.name == "tile.load":
        buffer, mask, index = split_load(node)
        varying = kernel.types[node.results[0]]
        assert isinstance(varying, TileType)
        letters = varying.space
    elif node.op.name == "tile.store":
        value, buffer, mask, index = split_store(node)
        varying = kernel.types[value]
        assert isinstance(varying, TileType)
        letters = address_space(node.attrs["coeffs"], gs) + varying.space
    else:
        return None
    terms = [t for i, (g, cs) in enumerate(zip(gs, node.attrs["coeffs"], strict=True)) for t in runs(g, i, cs)]
    program = tuple((i, c) for i, c in enumerate(node.attrs.get("program") or ()) if c and gs[i].grid > 1)
    spaces = "".join(t.space for t in (kernel.types[v] for v in index) if isinstance(t, TileType))
    letters = "".join(g.letter for g in gs if g.letter in letters + spaces)
    own = {gs[t.group].letter for t in terms}
    space = "".join(g.letter for g in gs if g.letter in own or g.letter in spaces)
    buffer_type = kernel.types[buffer]
    assert isinstance(buffer_type, BufferType)
    return Access(
        buffer,
        node.attrs["offset"],
        tuple(terms),
        program,
        tuple(zip(index, node.attrs.get("index_coeffs") or (), strict=True)),
        mask,
        letters,
        space,
        _reach(node.attrs["offset"], terms, program, gs) > INT32_MAX or buffer_type.numel > INT32_MAX,
    )


def _reach(offset: int, terms: list[Term], program: tuple[tuple[int, int], ...], gs: tuple[Group, ...]) -> int:
    """The largest magnitude that a partial sum of the address can take."""
    reach = abs(offset)
    for t in terms:
        largest = (t.modulus or -(-flat_limit(gs[t.group]) // t.divisor)) - 1
        reach += abs(t.coeff) * max(largest, 0)
    for i, c in program:
        reach += abs(c) * (gs[i].grid - 1)
    return reach
