"""Formulas as templates: an op's formula is run once per (attributes, operand dtypes) and then stamped into kernels.

Stamping also shares equal nodes within a kernel: two formulas that need the same exponential compute it once.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from gradc.ir.build import GraphBuilder, Var
from gradc.ir.graph import Graph, Node
from gradc.ir.op import Op
from gradc.ir.types import DType, TileType, tile

from .cse import frozen


class Template(NamedTuple):
    """`steps` are (op, operand positions, attributes, result dtype, key); positions below `arity` are the operands,
    others earlier steps. A constant's step has no operands. `result` is a position."""

    arity: int
    steps: tuple[tuple[Op, tuple[int, ...], dict[str, Any], DType, Any], ...]
    result: int
    size: int
    """Scalar operations, constants not counted; at least 1."""
    lines: frozenset[int]
    """A number for each operation; one that two templates share does the same in both, given the same operands."""


def make(
    op: Op, attrs: dict[str, Any], dtypes: tuple[DType, ...], result: DType, numbers: dict[Any, int]
) -> Template:
    """Run the formula on operands of these dtypes; the last step has dtype `result`. `numbers` is where operations get
    theirs."""
    assert op.formula is not None, f"{op.name} has no formula"
    graph = Graph(op.short, "kernel")
    b = GraphBuilder(graph, "tile")
    args = [Var(b, graph.add_input(tile("", d))) for d in dtypes]
    out = op.formula(b, *args, **attrs)
    if out.dtype is not result:
        out = b.convert(out, dtype=result)
    live = {out.v}
    for node in reversed(graph.nodes):
        if node.results[0] in live:
            live.update(node.operands)
    position = {v: i for i, v in enumerate(graph.inputs)}
    steps: list[Any] = []
    for node in graph.nodes:
        if node.results[0] not in live:
            continue
        position[node.results[0]] = len(dtypes) + len(steps)
        t = graph.types[node.results[0]]
        assert isinstance(t, TileType)
        key = frozen(node.attrs) if node.attrs else None
        steps.append((node.op, tuple(position[o] for o in node.operands), node.attrs, t.dtype, key))
    env = [numbers.setdefault(("operand", i, d.name), len(numbers)) for i, d in enumerate(dtypes)]
    for step, refs, _, d, attr in steps:
        env.append(numbers.setdefault((step.name, d.name, attr, tuple([env[r] for r in refs])), len(numbers)))
    lines = frozenset([env[len(dtypes) + i] for i, s in enumerate(steps) if s[1]])
    return Template(len(dtypes), tuple(steps), position[out.v], max(len(lines), 1), lines)


class Templates:
    """Templates made so far."""

    def __init__(self) -> None:
        self._made: dict[Any, Template] = {}
        self._numbers: dict[Any, int] = {}

    def of(self, op: Op, attrs: dict[str, Any], dtypes: tuple[DType, ...], result: DType) -> Template:
        """The template of an op on operands of these dtypes, made on first use."""
        key = (op.name, tuple([d.name for d in dtypes]), frozen(attrs) if attrs else None, result.name)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = make(op, attrs, dtypes, result, self._numbers)
        return found

    def of_node(self, node: Node, types: Any) -> Template | None:
        """The template of an elementwise node in a graph with these types."""
        if node.op.formula is None:
            return None
        dtypes = tuple([types[o].dtype for o in node.operands])
        return self.of(node.op, node.attrs, dtypes, types[node.results[0]].dtype)


class Stamper:
    """Stamps templates into one kernel."""

    def __init__(self, b: GraphBuilder, templates: Templates) -> None:
        self.b, self.templates = b, templates
        self.seen: dict[Any, int] = {}

    def apply(self, op: Op, attrs: dict[str, Any], args: list[Var], result: DType) -> Var:
        types: list[Any] = self.b.graph.types
        dtypes = tuple([types[a.v].dtype for a in args])
        return Var(self.b, self.stamp(self.templates.of(op, attrs, dtypes, result), [a.v for a in args]))

    def stamp(self, template: Template, env: list[int]) -> int:
        b, seen = self.b, self.seen
        graph = b.graph
        types: list[Any] = graph.types
        nodes, loc = graph.nodes, b.loc
        for op, refs, attrs, d, key in template.steps:
            if not refs:
                constant = seen.get((d.name, key))
                if constant is None:
                    constant = seen[(d.name, key)] = b.scalar(attrs["value"], d).v
                env.append(constant)
                continue
            ids = (env[refs[0]],) if len(refs) == 1 else tuple([env[r] for r in refs])
            found = seen.get((op.name, ids, key))
            if found is None:
                space = types[ids[0]].space
                for i in ids[1:]:
                    other = types[i].space
                    if other != space:
                        space = union(space, other)
                found = len(types)
                types.append(tile(space, d))
                nodes.append(Node(op, ids, attrs, (found,), loc))
                seen[(op.name, ids, key)] = found
            env.append(found)
        return env[template.result]


@cache
def union(a: str, b: str) -> str:
    return "".join(sorted(set(a) | set(b)))
