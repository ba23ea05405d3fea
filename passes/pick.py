"""One element of a row, where a kernel sums a row that is zero everywhere else.

A sum over `r` of `select(index(r) == t, v, 0)` is `v` at `t`, or 0 if `t` is no index: as a scalar, `v` is computed
again from loads at `t`. That is exact, holds nothing as long as the row, and does not wait for the rest of the row (the
logit of the target, in a cross entropy).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gradc.ir.build import Var
from gradc.ir.graph import Graph, Node
from gradc.ir.rewrite import Rewriter
from gradc.ir.tile import Group, groups, split_load
from gradc.ir.types import TileType, i32, i64

from .sweep import sweep

LANES = 512
"""Shorter rows are summed: they cost few registers, and no further access to memory."""


class Pick(NamedTuple):
    """`value` at index `at` of the group in this position."""

    group: int
    at: int
    value: int


def pick(kernel: Graph) -> Graph:
    """The kernel with such sums over long rows as scalars."""
    gs = groups(kernel)
    long = [i for i, g in enumerate(gs) if g.tile > LANES and g.grid == g.loop == 1 and len(g.dims) == 1]
    if not long:
        return kernel
    sums = [(i, n) for i, n in enumerate(kernel.nodes) if n.op.name == "tile.reduce" and n.attrs["monoid"] == "sum"]
    producer = kernel.producers() if sums else []
    found: dict[int, Pick] = {}
    for i, node in sums:
        for p in long:
            chosen = _one_of(kernel, producer, node, p, gs[p]) if gs[p].letter in node.attrs["over"] else None
            if chosen is not None:
                found[i] = chosen
    if not found:
        return kernel
    r = Rewriter(kernel, "tile")
    for i, node in enumerate(kernel.nodes):
        if i not in found:
            r.copy(node)
            continue
        value = _element(r, producer, found[i], gs[found[i].group])
        over = node.attrs["over"].replace(gs[found[i].group].letter, "")
        r.replace(node, [r.b.reduce(value, monoid="sum", over=over) if over else value])
    return sweep(r.finish())


def _one_of(kernel: Graph, producer: list[int], node: Node, p: int, g: Group) -> Pick | None:
    """What this sum picks, if it is one."""
    select = _made_by(kernel, producer, node.operands[0], "tile.select")
    if select is None:
        return None
    condition, value, other = select.operands
    zero = _made_by(kernel, producer, other, "tile.constant")
    equal = _made_by(kernel, producer, condition, "tile.eq")
    if zero is None or zero.attrs["value"] != 0 or equal is None:
        return None
    for index, at in (equal.operands, equal.operands[::-1]):
        made = _made_by(kernel, producer, index, "tile.index")
        if made is not None and made.attrs["group"] == g.letter and g.letter not in _space(kernel, at):
            slice_ = _row_slice(kernel, producer, value, g.letter)
            known = all(n.op.name in ("tile.load", "tile.index") or "scalar" in n.op.traits for n in slice_)
            return Pick(p, at, value) if known else None
    return None


def _element(r: Rewriter, producer: list[int], picked: Pick, g: Group) -> Var:
    """The picked value on the new graph."""
    kernel, letter = r.source, g.letter
    at = Var(r.b, r.map[picked.at])
    place: dict[int, Var] = {}

    def now(v: int) -> Var:
        return place[v] if v in place else Var(r.b, r.map[v])

    inside = (at >= 0) & (at < g.extent)
    for node in _row_slice(kernel, producer, picked.value, letter):
        b = r.at(node)
        result = node.results[0]
        if node.op.name == "tile.index":
            d = node.attrs["dtype"]
            place[result] = at if at.dtype is d else b.convert(at, dtype=d)
        elif node.op.name == "tile.load":
            place[result] = _load_at(r, node, now, at, inside, picked.group)
        else:
            place[result] = b.apply(node.op, [now(o) for o in node.operands], node.attrs)
    value = now(picked.value)
    return r.b.select(inside, value, r.b.scalar(0, value.dtype))  # type: ignore[no-any-return]


def _load_at(r: Rewriter, node: Node, now: Any, at: Var, inside: Var, p: int) -> Var:
    """The load with the row's index replaced by `at`; outside the row nothing is read."""
    buffer, mask, index = split_load(node)
    coeffs = node.attrs["coeffs"]
    step = coeffs[p][0]
    masks = inside if mask is None else inside & now(mask)
    places = [now(v) for v in index]
    steps = tuple(node.attrs.get("index_coeffs") or ())
    if step:
        places.append(at if at.dtype in (i32, i64) else r.b.convert(at, dtype=i64))
        steps = (*steps, step)
    attrs = dict(node.attrs)
    attrs["coeffs"] = (*coeffs[:p], (0,), *coeffs[p + 1 :])
    attrs["space"] = node.attrs["space"].replace(groups(r.source)[p].letter, "")
    attrs |= {"masked": True, "index_coeffs": steps or None}
    return r.b.apply(node.op, [Var(r.b, r.map[buffer]), masks, *places], attrs)  # type: ignore[no-any-return]


def _row_slice(kernel: Graph, producer: list[int], value: int, letter: str) -> list[Node]:
    """The nodes behind a value that vary along the row, in order."""
    wanted, stack = set(), [value]
    while stack:
        i = producer[stack.pop()]
        if i >= 0 and i not in wanted and letter in _space(kernel, kernel.nodes[i].results[0]):
            wanted.add(i)
            stack.extend(kernel.nodes[i].operands)
    return [kernel.nodes[i] for i in sorted(wanted)]


def _made_by(kernel: Graph, producer: list[int], v: int, name: str) -> Node | None:
    i = producer[v]
    return kernel.nodes[i] if i >= 0 and kernel.nodes[i].op.name == name else None


def _space(kernel: Graph, v: int) -> str:
    t = kernel.types[v]
    return t.space if isinstance(t, TileType) else ""
