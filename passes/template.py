"""Formulas as templates: an op's formula is run once per (attributes, operand dtypes) and then stamped into kernels.

Stamping also shares equal nodes within a kernel: two formulas that need the same exponential compute it once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from gradc.ir.build import GraphBuilder, Var
from gradc.ir.graph import Graph, Node
from gradc.ir.op import Op
from gradc.ir.types import DType, TileType, tile

from .cse import frozen

Step: TypeAlias = tuple[Op, tuple[int, ...], Callable[[list[int]], Any], dict[str, Any], int]


class Template(NamedTuple):
    """`steps` are (op, operand positions, what takes those operands from a list, attributes, a number for all but the
    operands); positions below `arity` are the operands, others earlier steps. A constant's step has no operands.
    `result` is a position."""

    arity: int
    steps: tuple[Step, ...]
    dtypes: tuple[DType, ...]
    """Of the steps."""
    result: int
    size: int
    """Scalar operations, constants not counted; at least 1."""
    lines: frozenset[int]
    """A number for each operation; one that two templates share does the same in both, given the same operands."""
    known: dict[tuple[str, ...], list[TileType]]
    """What `typed` gave so far."""

    def typed(self, spaces: tuple[str, ...]) -> list[TileType]:
        """The steps' types for operands that vary over these spaces."""
        found = self.known.get(spaces)
        if found is None:
            env = [*spaces]
            for _, refs, *_ in self.steps:
                env.append("".join(sorted(set().union(*[env[r] for r in refs]))))
            found = self.known[spaces] = [tile(s, d) for s, d in zip(env[self.arity :], self.dtypes, strict=True)]
        return found


def make(op: Op, attrs: dict[str, Any], dtypes: tuple[DType, ...], result: DType, numbers: dict[Any, int]) -> Template:
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
    steps: list[Step] = []
    step_dtypes: list[DType] = []
    env = [numbers.setdefault(("operand", i, d.name), len(numbers)) for i, d in enumerate(dtypes)]
    for node in graph.nodes:
        if node.results[0] not in live:
            continue
        refs = tuple([position[o] for o in node.operands])
        position[node.results[0]] = len(dtypes) + len(steps)
        t = graph.types[node.results[0]]
        assert isinstance(t, TileType)
        key = (node.op.name, t.dtype.name, frozen(node.attrs))
        code = numbers.setdefault(key, len(numbers))
        steps.append((node.op, refs, itemgetter(*refs or (0,)), node.attrs, code))
        step_dtypes.append(t.dtype)
        env.append(numbers.setdefault((code, tuple([env[r] for r in refs])), len(numbers)))
    lines = frozenset([env[len(dtypes) + i] for i, s in enumerate(steps) if s[1]])
    return Template(len(dtypes), tuple(steps), tuple(step_dtypes), position[out.v], max(len(lines), 1), lines, {})


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
        self.seen: defaultdict[int, dict[tuple[int, ...], int]] = defaultdict(dict)
        """A step's number -> its operands in the kernel -> its value."""

    def apply(self, op: Op, attrs: dict[str, Any], args: list[Var], result: DType) -> Var:
        types: list[Any] = self.b.graph.types
        dtypes = tuple([types[a.v].dtype for a in args])
        return Var(self.b, self.stamp(self.templates.of(op, attrs, dtypes, result), [a.v for a in args]))

    def stamp(self, template: Template, env: list[int]) -> int:
        b, seen = self.b, self.seen
        types: list[Any] = b.graph.types
        nodes, loc = b.graph.nodes, b.loc
        step_types = template.typed(tuple([types[v].space for v in env]))
        for (op, refs, pick, attrs, code), t in zip(template.steps, step_types, strict=True):
            if not refs:
                same = seen[code]
                if not same:
                    same[()] = b.scalar(attrs["value"], t.dtype).v
                env.append(same[()])
                continue
            ids = pick(env) if len(refs) > 1 else (pick(env),)
            v = len(types)
            found = seen[code].setdefault(ids, v)
            if found == v:
                types.append(t)
                nodes.append(Node(op, ids, attrs, (v,), loc))
            env.append(found)
        return env[template.result]
