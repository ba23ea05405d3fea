"""The laws of one node (4 to 8 of `laws.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn, TypeAlias

from .attributes import MAX_DEPTH
from .errors import GradcError
from .graph import Attr, Dense, Graph, Node
from .lexer import shorten
from .op import TILE, Op
from .print import RESERVED
from .types import BufferType, DType, TensorType, TileType, Type
from .typetext import MAX_EXTENT, MAX_RANK

Fail: TypeAlias = Callable[..., NoReturn]
Spell: TypeAlias = Callable[[Graph, int], str]
BUFFERS = frozenset({"buffer", "buffers", "flag"})
"""Names of operands of tile ops that are memory; all others are values."""
BROKEN_RULE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a type rule raises, beside its own errors, when operands or attributes make no sense to it."""


class Shape(NamedTuple):
    """What a record asks of a node, in the form the verifier checks it."""

    least: int
    most: float
    results: int
    required: frozenset[str]
    kinds: dict[str, str]
    infers: bool
    level: tuple[type, ...]


@lru_cache(maxsize=1024)
def shape_of(op: Op) -> Shape:
    n = len(op.operands)
    any_results = bool(op.results) and op.results[-1].endswith("*")
    return Shape(
        n - 1 if op.variadic else n,
        float("inf") if op.variadic else n,
        -1 if any_results else len(op.results),
        frozenset(k for k, v in op.attrs.items() if not v.endswith("?")),
        {k: v.rstrip("?") for k, v in op.attrs.items()},
        not any_results and "region" not in op.traits,
        (TileType, BufferType) if op.kind == TILE else (TensorType,),
    )


def check_arity(graph: Graph, node: Node, s: Shape, fail: Fail, spell: Spell) -> None:
    """Laws 4 and 7."""
    n = len(node.operands)
    if not s.least <= n <= s.most:
        fail(4, f"expected operands ({', '.join(node.op.operands)}), got {n}", graph, node)
    if s.results >= 0 and len(node.results) != s.results:
        fail(4, f"expected results ({', '.join(node.op.results)}), got {len(node.results)}", graph, node)
    types = graph.types
    for v in (*node.operands, *node.results):
        t = types[v]
        if not isinstance(t, s.level):
            fail(7, f"{spell(graph, v)} is a {t}, which is not of this op's level", graph, node)
    if node.op.kind == TILE:
        for k, v in enumerate(node.operands):
            memory = node.op.operand_name(k) in BUFFERS
            if memory != isinstance(types[v], BufferType):
                want = "buffer" if memory else "value"
                fail(7, f"{spell(graph, v)} is a {types[v]}, expected a {want}", graph, node)
    for r in node.results:
        check_type(graph, node, types[r], fail)


def check_type(graph: Graph, node: Node | None, t: Type, fail: Fail) -> None:
    """Law 7 for one type."""
    if isinstance(t, TensorType):
        if len(t.shape) > MAX_RANK or any(not 0 <= d <= MAX_EXTENT for d in t.shape):
            fail(7, f"{t} has a negative extent, one beyond 63 bits, or more than {MAX_RANK} dimensions", graph, node)
    elif isinstance(t, BufferType) and (t.numel < 0 or t.align < 1 or t.align & (t.align - 1)):
        fail(7, f"{t} has a negative size or an alignment that is no power of two", graph, node)


def check_attrs(graph: Graph, node: Node, s: Shape, fail: Fail) -> None:
    """Law 5."""
    attrs, kinds = node.attrs, s.kinds
    for k, v in attrs.items():
        kind = kinds.get(k)
        if kind is None:
            if k in RESERVED:
                fail(5, f"attribute {k!r} is the text's own", graph, node)
            known = ", ".join(kinds) or "none"
            fail(5, f"unknown attribute {shorten(str(k))!r}, known are {known}", graph, node)
        if not KIND_CHECKS[kind](v):
            fail(5, f"attribute {k!r} takes {kind}, got {shorten(repr(v))}", graph, node)
    for k in s.required:
        if k not in attrs:
            fail(5, f"attribute {min(s.required - attrs.keys())!r} is missing", graph, node)


def check_rule(graph: Graph, node: Node, fail: Fail, spell: Spell) -> None:
    """Law 6."""
    types = graph.types
    ins = [types[o] for o in node.operands]
    try:
        out = node.op.infer(*ins, **node.attrs)
    except GradcError as e:
        fail(6, e.bare, graph, node)
    except BROKEN_RULE as e:
        why = f"{type(e).__name__}: {shorten(str(e), 80)}"
        fail(6, f"the type rule does not take these operands and attributes ({why})", graph, node)
    outs: Sequence[Type] = out if isinstance(out, tuple) else (out,)
    for r, want in zip(node.results, outs, strict=False):
        have = types[r]
        if have is not want and have != want:
            fail(6, f"{spell(graph, r)} is a {have}, the type rule gives {want}", graph, node)
    ranks = [len(t.shape) for t in (*ins, *outs) if isinstance(t, TensorType)]
    for name in ("dim", "dims") if ranks else ():
        axes, rank = node.attrs.get(name, ()), max(ranks)
        for d in axes if isinstance(axes, tuple) else (axes,):
            if isinstance(d, int) and not -max(rank, 1) <= d < max(rank, 1):
                fail(6, f"{name} names axis {d}, its tensors have {rank} dimensions", graph, node)


def check_region(graph: Graph, node: Node, fail: Fail) -> None:
    """Law 8 for an op that has one."""
    if len(node.regions) != 1:
        fail(8, f"expected one region, got {len(node.regions)}", graph, node)
    inner = node.regions[0]
    for what, outer, own in (("input", node.operands, inner.inputs), ("output", node.results, inner.outputs)):
        have = [graph.types[v] for v in outer]
        want = [inner.types[v] if 0 <= v < len(inner.types) else None for v in own]
        if have != want:
            stated, got = (shorten(", ".join(map(str, ts)), 120) for ts in (want, have))
            fail(8, f"the region's {what}s are ({stated}), the node has ({got})", graph, node)


def is_attr(v: Attr, depth: int = 0) -> bool:
    """Whether this can be an attribute, and so survive the text."""
    t = type(v)
    if t is bool or t is float or t is str or t is DType or t is TensorType or t is TileType or t is BufferType:
        return True
    if t is int:
        return bool(-(2**63) <= v < 2**64)
    if depth >= MAX_DEPTH:
        return False
    if t is tuple:
        return all(is_attr(x, depth + 1) for x in v)
    if t is dict:
        return all(type(k) is str and k and is_attr(x, depth + 1) for k, x in v.items())
    return t is Dense and isinstance(v.dtype, DType)


def _is_int(v: Any) -> bool:
    return type(v) is int and -(2**63) <= v < 2**64


KIND_CHECKS: dict[str, Callable[[Any], bool]] = {
    "int": _is_int,
    "float": lambda v: type(v) is float or _is_int(v),
    "number": lambda v: type(v) is float or type(v) is bool or _is_int(v),
    "bool": lambda v: type(v) is bool,
    "str": lambda v: type(v) is str,
    "ints": lambda v: type(v) is tuple and all(_is_int(x) for x in v),
    "dtype": lambda v: type(v) is DType,
    "dense": lambda v: type(v) is Dense and isinstance(v.dtype, DType),
    "any": is_attr,
}
"""What each attribute kind of a record takes."""
