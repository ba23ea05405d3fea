"""Rules of `simplify`: arithmetic on slices, computed over the whole shape under a mask.

`unslice(f(x[1:], x[:-1]))` becomes `where(inside, f(x, unslice(x[:-1])), 0)`: the adjoint of a slice of short
arithmetic on inputs. An unslice can only read memory, so without this `f` would be stored and read again; an unslice
of an input is a load at an offset. A sum of such arithmetic becomes a sum over the whole shape too, so that it fuses
with its gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gradc.ir.build import Var
from gradc.ir.dim import Shape
from gradc.ir.graph import Node
from gradc.ir.op import ELEMENTWISE
from gradc.ir.types import TensorType, i32, i64

from .repeat import OP_LIMIT
from .simplify_context import Context
from .views import STRIDED, View, identity

LOADS = 3
"""Values of the operand's size that the arithmetic may load."""
GROWTH = 1.5
"""Elements that a sum may visit for each one that it adds up."""


class Box(NamedTuple):
    """The elements `[start:limit:step]` of a shape."""

    shape: Shape
    start: Shape
    limit: Shape
    step: Shape


def _box_of(node: Node, shape: Shape) -> Box:
    a = node.attrs
    return Box(shape, a["start"], a["limit"], a["step"])


def slices(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | None:
    """A slice of a slice is one slice."""
    inner = c.defined_by(operands[0], "grad.slice")
    if inner is None or out.numel == 0:
        return None
    a = inner.attrs
    start = tuple(s + k * t for s, t, k in zip(a["start"], a["step"], node.attrs["start"], strict=True))
    step = tuple(t * u for t, u in zip(a["step"], node.attrs["step"], strict=True))
    limit = tuple(s + (n - 1) * t + 1 for s, t, n in zip(start, step, out.shape, strict=True))
    return c.b.slice(Var(c.b, inner.operands[0]), start=start, limit=limit, step=step)  # type: ignore[no-any-return]


def widen(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | None:
    """The value of an unslice without memory for its operand; None where it is best left as it is."""
    (x,) = operands
    t = c.type(x)
    put = c.defined_by(x, "grad.unslice")
    if put is not None and c.type(put.operands[0]).numel:
        return _embed(c, Var(c.b, put.operands[0]), _box_of(put, t.shape), _box_of(node, out.shape))
    if 0 in out.shape or t.numel == 0 or (t.numel != 1 and _is_leaf(c, x)) or _leaves(c, x) is None:
        return None
    value = _under_mask(c, x, _box_of(node, out.shape))
    return value if value.shape == out.shape else c.b.broadcast(value, shape=out.shape)


def widen_sum(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | None:
    """The sum of all elements of arithmetic on slices; None where it is best left as it is."""
    (x,) = operands
    t = c.type(x)
    if out.shape or not t.dtype.is_float or t.numel <= 1:
        return None
    for leaf in _leaves(c, x) or ():
        cut = c.defined_by(leaf, "grad.slice")
        if cut is None or c.type(leaf).shape != t.shape or any(s != 1 for s in cut.attrs["step"]):
            continue
        whole = c.type(cut.operands[0])
        if whole.numel <= GROWTH * t.numel:
            value = _under_mask(c, x, _box_of(cut, whole.shape))
            return c.b.sum(value, dims=node.attrs["dims"], keepdim=False)  # type: ignore[no-any-return]
    return None


def _is_leaf(c: Context, v: int) -> bool:
    """Whether the value is a single number, a coordinate, a program input, a strided view of one, or its unslice."""
    if c.type(v).numel == 1 or c.defined_by(v, "grad.iota") is not None:
        return True
    put = c.defined_by(v, "grad.unslice")
    if put is not None:
        return _is_leaf(c, put.operands[0])
    chain = []
    node = c.definition(v)
    while node is not None:
        if node.op.name not in STRIDED:
            return False
        chain.append(node)
        v = node.operands[0]
        node = c.definition(v)
    view: View | None = identity(v, c.type(v).shape)
    for node in reversed(chain):
        if view is not None:
            view = STRIDED[node.op.name](view, node)
    return view is not None


def _computed_from(c: Context, v: int) -> tuple[int, ...] | None:
    """What a value is computed from, element for element; None for a leaf and for what is not computed so."""
    node = None if _is_leaf(c, v) else c.definition(v)
    return node.operands if node is not None and (node.op.kind == ELEMENTWISE or _spreads(c, v)) else None


def _spreads(c: Context, v: int) -> bool:
    return c.defined_by(v, "grad.broadcast") is not None


def _leaves(c: Context, root: int) -> list[int] | None:
    """What a value is computed from in short arithmetic; None if it is not."""
    cost, loads, stack = 0, 0, [root]
    seen, leaves = {root}, []
    n = c.type(root).numel
    while stack:
        v = stack.pop()
        operands = _computed_from(c, v)
        if operands is None:
            if not _is_leaf(c, v):
                return None
            leaves.append(v)
            loads += 2 * c.type(v).numel > n and c.defined_by(v, "grad.iota") is None
        else:
            node = c.definition(v)
            assert node is not None
            if not _spreads(c, v):
                template = c.templates.of_node(node, c.b.graph.types)
                cost += 1 if template is None else template.size
            stack.extend([o for o in operands if o not in seen])
            seen.update(operands)
        if cost > OP_LIMIT or loads > LOADS:
            return None
    return leaves


def _under_mask(c: Context, x: int, box: Box) -> Var:
    """The value where the whole shape's elements are those of the box, 0 elsewhere."""
    inside = _inside(c, box)
    value = _spread(c, x, box)
    return value if inside is None else c.b.where(inside, value, c.b.scalar(0, value.dtype))


def _inside(c: Context, box: Box) -> Var | None:
    b = c.b
    mask: Any = None
    rank = len(box.shape)
    for d, (n, start, limit, step) in enumerate(zip(*box, strict=True)):
        kind = i32 if n < 1 << 31 else i64
        i = b.iota(shape=(n,) + (1,) * (rank - 1 - d), dim=0, dtype=kind)
        tests = [i >= start] if start else []
        tests += [i < limit] if limit < n else []
        tests += [b.remainder(i - start, b.scalar(step, kind)).eq(0)] if step > 1 else []
        for test in tests:
            mask = test if mask is None else mask & test
    return mask  # type: ignore[no-any-return]


def _spread(c: Context, root: int, box: Box) -> Var:
    """The value over the whole shape; what it is outside of the box does not matter."""
    made: dict[int, Var] = {}
    stack = [root]
    while stack:
        v = stack[-1]
        operands = _computed_from(c, v)
        missing = [o for o in operands or () if o not in made]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        maker = c.definition(v)
        if operands is None or maker is None:
            made[v] = _placed(c, v, box)
        elif _spreads(c, v):
            made[v] = made[operands[0]]
        else:
            made[v] = c.b.apply(maker.op, tuple([made[o] for o in operands]), dict(maker.attrs))
    return made[root]


def _placed(c: Context, v: int, box: Box) -> Var:
    """A leaf at its place in the whole: what it is the same slice of, or its own unslice; dims of extent 1 stay."""
    own = c.type(v).shape
    rows = zip(own, *(part[len(box.shape) - len(own) :] for part in box), strict=True)
    here = [(1, 0, 1, 1) if mine == 1 else (n, start, limit, step) for mine, n, start, limit, step in rows]
    if not here or all(n == mine for mine, (n, *_) in zip(own, here, strict=True)):
        return Var(c.b, v)
    whole = Box(*zip(*here, strict=True))
    counts = c.defined_by(v, "grad.iota")
    if counts is not None:
        d = counts.attrs["dim"]
        i = c.b.iota(shape=whole.shape, dim=d, dtype=counts.attrs["dtype"]) - whole.start[d]
        return i if whole.step[d] == 1 else c.b.floor_divide(i, c.b.scalar(whole.step[d], i.dtype))  # type: ignore[no-any-return]
    put = c.defined_by(v, "grad.unslice")
    if put is not None:
        return _embed(c, Var(c.b, put.operands[0]), _box_of(put, put.attrs["shape"]), whole)
    cut = c.defined_by(v, "grad.slice")
    if cut is not None and _box_of(cut, c.type(cut.operands[0]).shape) == whole:
        return Var(c.b, cut.operands[0])
    return _unslice(c, Var(c.b, v), whole)


def _unslice(c: Context, x: Var, box: Box) -> Var:
    out: Var = c.b.unslice(x, shape=box.shape, start=box.start, limit=box.limit, step=box.step)
    return out


def _embed(c: Context, x: Var, inner: Box, outer: Box) -> Var:
    """An unslice of an unslice is one."""
    start = tuple(s + k * t for s, t, k in zip(outer.start, outer.step, inner.start, strict=True))
    step = tuple(s * t for s, t in zip(outer.step, inner.step, strict=True))
    limit = tuple(s + (n - 1) * t + 1 for s, t, n in zip(start, step, x.shape, strict=True))
    return _unslice(c, x, Box(outer.shape, start, limit, step))
