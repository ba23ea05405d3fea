"""The verifier. Each law has a number, and every error names it, the op, the value and the line.

Structure (any level)
   1  A value is defined before its use, in the same graph: regions see nothing of what is around them.
   2  A value, an input and a graph are defined once, and every value has a type.
   3  A node's op is a record of the table.
   4  The record's operands and results are there, no more and no fewer.
   5  The record's attributes are there and of their kind, and no others; an attribute is a bool, int of 64 bits, float,
      str, DType, type, Dense, or a tuple or dictionary of these, at most 64 levels deep.
   6  Result types are those of the op's type rule.
   7  Operands belong to the op's level: tensors for grad and plan, values and buffers for tile. A tensor has at most 64
      dimensions, none negative; an alignment is a power of two.
   8  Only ops that declare it have regions; a region's inputs and outputs are its node's operands and results.
   9  A node may stand in the module's state: composite ops only before `decompose`, kernels only after `schedule`.
Graphs and modules
  10  Outputs are values of the graph; inputs and outputs have one dictionary of attributes each; an input's name is its
      value's; only floating-point inputs require a gradient; a gradient output says whose it is and has its type.
  11  A module has a known state and an entry among its graphs, and each graph goes by its own name.
Kernels (`laws_tile.py`)
  20  Index groups: distinct letters, positive grid, loop and tile, tile a power of two, all of the extent covered.
  21  Every letter in a type or attribute is a group of the kernel.
  22  An address has one coefficient per dim of each group, one per index operand, and states the space it moves in.
  23  An access without mask or index stays inside its buffer.
  24  Loads read "in" buffers, stores write "out" buffers, and a kernel has no other inputs and no outputs.
  25  A reduction over a group that is split over programs is a partial: it may only be stored, at an address that tells
      the programs apart. Monoids are those of the table.
  26  No two lanes or programs write the same element.
  27  Every element of an "out" buffer is written, unless by a masked or indexed store.
  28  A launch names a kernel; its operands and results have the sizes and element types of the kernel's buffers.
  30  A kernel with parts holds nothing else. Each part is a kernel without parts, on buffers of its modes; what one
      part writes no other touches, all that is to be written is, and the programs are those of the parts.
Plans (`laws_plan.py`)
  29  Every temporary has a slot in the arena, aligned and inside it, and slots in use at one launch do not overlap, but
      for an in-place result and the operand whose last reader it is.
"""

from __future__ import annotations

from typing import NoReturn

from .errors import VerifyError
from .graph import Attr, Graph, Module, Node
from .laws_node import check_arity, check_attrs, check_region, check_rule, check_type, is_attr, shape_of
from .lexer import closest, shorten
from .naming import value_names
from .op import COMPOSITE, PLAN, REGISTRY, TILE
from .print import GRAPH_OPS
from .types import TensorType

STATES: dict[str, frozenset[str]] = {
    "traced": frozenset({TILE, PLAN}),
    "joint": frozenset({TILE, PLAN}),
    "decomposed": frozenset({TILE, PLAN, COMPOSITE}),
    "simplified": frozenset({TILE, PLAN, COMPOSITE}),
    "scheduled": frozenset({TILE, COMPOSITE}),
    "planned": frozenset({TILE, COMPOSITE}),
}
"""The kinds of op that may not stand in the functions and programs of a module at each state."""

KERNEL_STATES = ("scheduled", "planned")


def verify(what: Module | Graph, state: str | None = None) -> None:
    """Raise VerifyError for the first law broken; `state` overrides a module's own and gives a graph one."""
    if isinstance(what, Graph):
        _Laws(state, None).top(what)
        return
    state = state or what.state
    if state not in STATES:
        hint = closest(state, STATES) if isinstance(state, str) else None
        raise VerifyError(
            f"law 11: module: state {state!r} is none of {', '.join(STATES)}", law=11, subject=what, hint=hint
        )
    if what.entry not in what.graphs:
        raise VerifyError(f"law 11: module: no graph is named {what.entry!r}, the entry", law=11, subject=what)
    for name, graph in what.graphs.items():
        if graph.name != name:
            raise VerifyError(f"law 11: graph {graph.name!r} goes by the name {name!r}", law=11, subject=graph)
        _Laws(state, what).top(graph)
    if not is_attr(what.attrs):
        raise VerifyError("law 5: module: its attrs hold something that is no attribute", law=5, subject=what)


class _Laws:
    """One top-level graph under the verifier."""

    def __init__(self, state: str | None, module: Module | None) -> None:
        self.state, self.module = state, module
        self.forbidden = STATES.get(state or "", frozenset())

    def top(self, graph: Graph) -> None:
        self.outer = graph
        if self.module is not None and graph.kind == "kernel" and self.state not in KERNEL_STATES:
            self.fail(9, f"a kernel cannot stand in a module at state {self.state!r}", graph)
        todo = [graph]
        while todo:
            inner = todo.pop()
            self.graph(inner)
            todo.extend(r for node in inner.nodes if node.regions for r in node.regions)
        if graph.kind == "kernel":
            from .laws_tile import check_kernel  # here and below: `import gradc` does without the tile level

            check_kernel(graph, self.fail)
        if self.state == "planned" and self.module is not None and graph is self.module.main:
            from .laws_plan import check_plan

            check_plan(graph, self.fail)

    def fail(self, law: int, message: str, graph: Graph, node: Node | None = None) -> NoReturn:
        where = node.op.name if node is not None else f"graph {graph.name!r}"
        subject: object = graph if node is None else node
        loc = node.loc if node is not None else None
        raise VerifyError(f"law {law}: {where}: {message}", law=law, subject=subject, loc=loc)

    def spell(self, graph: Graph, value: int) -> str:
        return value_names(self.outer).get(id(graph), {}).get(value, f"%?{value}")

    def graph(self, graph: Graph) -> None:
        defined = bytearray(len(graph.types))
        self.inputs(graph, defined)
        kernel = graph.kind == "kernel"
        for node in graph.nodes:
            op = node.op
            if REGISTRY.get(op.name) is not op:
                self.fail(3, "this op is not in the table", graph, node)
            self.uses(graph, node, defined)
            s = shape_of(op)
            if kernel != (op.kind == TILE):
                self.fail(9, f"this op cannot stand in a graph of kind {graph.kind!r}", graph, node)
            if op.kind in self.forbidden and not kernel:
                self.fail(9, f"this {op.kind} op cannot stand in a module at state {self.state!r}", graph, node)
            check_arity(graph, node, s, self.fail, self.spell)
            if node.attrs or s.required:
                check_attrs(graph, node, s, self.fail)
            if s.infers:
                if node.regions:
                    self.fail(8, "this op has no regions", graph, node)
                check_rule(graph, node, self.fail, self.spell)
            elif op.kind == PLAN:
                from .laws_tile import check_launch

                check_launch(self.module, graph, node, self.fail)
            else:
                check_region(graph, node, self.fail)
        self.outputs(graph, defined)

    def inputs(self, graph: Graph, defined: bytearray) -> None:
        if graph.kind not in GRAPH_OPS:
            self.fail(10, f"kind {graph.kind!r} is none of {', '.join(GRAPH_OPS)}", graph)
        n = len(graph.inputs)
        if len(graph.input_attrs) != n:
            self.fail(10, f"{n} inputs have {len(graph.input_attrs)} dictionaries of attributes", graph)
        for v, attrs in zip(graph.inputs, graph.input_attrs, strict=True):
            if not 0 <= v < len(defined):
                self.fail(2, f"input %?{v} has no type", graph)
            if defined[v]:
                self.fail(2, f"input {self.spell(graph, v)} is defined twice", graph)
            defined[v] = 1
            t = graph.types[v]
            check_type(graph, None, t, self.fail)
            self.dictionary(graph, attrs)
            given, name = attrs.get("name"), graph.names.get(v)
            if given != name or name == "":
                self.fail(10, f"input {self.spell(graph, v)} is named {name!r}, its attribute says {given!r}", graph)
            asks = attrs.get("requires_grad", False)
            if type(asks) is not bool or (asks and not (isinstance(t, TensorType) and t.dtype.is_float)):
                self.fail(10, f"input {self.spell(graph, v)} of type {t} cannot require a gradient", graph)
        self.dictionary(graph, graph.attrs)

    def outputs(self, graph: Graph, defined: bytearray) -> None:
        n = len(graph.outputs)
        if len(graph.output_attrs) != n:
            self.fail(10, f"{n} outputs have {len(graph.output_attrs)} dictionaries of attributes", graph)
        for v, attrs in zip(graph.outputs, graph.output_attrs, strict=True):
            if not 0 <= v < len(defined) or not defined[v]:
                self.fail(10, f"output {self.spell(graph, v)} is no value of this graph", graph)
            self.dictionary(graph, attrs)
            # In the backward half of a split program `of` counts the inputs of the whole program.
            if attrs.get("role") == "grad" and "handed" not in graph.attrs:
                of = attrs.get("of")
                if type(of) is not int or not 0 <= of < len(graph.inputs):
                    self.fail(10, f"gradient {self.spell(graph, v)} is of {of!r}, which is no input's index", graph)
                want = graph.types[graph.inputs[of]]
                if want != graph.types[v]:
                    self.fail(10, f"gradient {self.spell(graph, v)} is a {graph.types[v]}, its input a {want}", graph)

    def uses(self, graph: Graph, node: Node, defined: bytearray) -> None:
        """Laws 1 and 2."""
        n = len(defined)
        for o in node.operands:
            if not 0 <= o < n or not defined[o]:
                self.fail(1, f"operand {self.spell(graph, o)} is not defined before this use", graph, node)
        for r in node.results:
            if not 0 <= r < n:
                self.fail(2, f"result %?{r} has no type", graph, node)
            if defined[r]:
                self.fail(2, f"result {self.spell(graph, r)} is defined twice", graph, node)
            defined[r] = 1

    def dictionary(self, graph: Graph, attrs: dict[str, Attr]) -> None:
        if type(attrs) is not dict or not is_attr(attrs):
            self.fail(5, f"{shorten(repr(attrs), 80)} holds something that is no attribute", graph)
