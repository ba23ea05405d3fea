"""The container of all three levels: nodes in flat lists, operands as integer value ids, regions nested graphs.

    Module  = attributes, graphs by name              (one program at one state)
    Graph   = inputs, nodes in order, outputs         (a function, a kernel, or the region of a node)
    Node    = op record, operand ids, attributes, result ids, regions, location
    value   = an int; `graph.types[value]` is its type, `graph.names[value]` the name the user gave it, if any

A finished graph is never changed: passes build a new one (`rewrite.py`). Nothing here recurses over nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from .op import Op
from .types import Type

Attr: TypeAlias = Any
"""bool | int | float | str | DType | TensorType | Dense | tuple of these | dict[str, Attr]"""

NO_ATTRS: dict[str, Attr] = {}


class Loc(NamedTuple):
    """A line of the user's source; `file` is relative to the working directory, or the module's name."""

    file: str
    line: int
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Dense(NamedTuple):
    """The bytes of a constant tensor, row-major, as an attribute."""

    data: bytes
    shape: tuple[int, ...]
    dtype: Any


class Node:
    """One operation. Compare by identity; treat as immutable once its graph is finished."""

    __slots__ = ("attrs", "loc", "no_grad", "op", "operands", "regions", "results")

    def __init__(
        self,
        op: Op,
        operands: tuple[int, ...],
        attrs: dict[str, Attr],
        results: tuple[int, ...],
        loc: Loc | None = None,
        no_grad: bool = False,
        regions: tuple[Graph, ...] = (),
    ) -> None:
        self.op, self.operands, self.attrs, self.results = op, operands, attrs, results
        self.loc, self.no_grad, self.regions = loc, no_grad, regions

    def __repr__(self) -> str:
        res = ", ".join(f"%{r}" for r in self.results)
        return f"{res} = {self.op.name}({', '.join(f'%{o}' for o in self.operands)}) {self.attrs or ''}"


class Graph:
    """A function (`kind` "func"), a kernel ("kernel"), a program ("program"), or a region ("region").

    `input_attrs` and `output_attrs` hold one dict per input and output, e.g. {"name": "x", "requires_grad": True} and
    {"role": "value"} or {"role": "grad", "of": "x"}. `attrs` belong to the graph (a kernel's index groups, say).
    """

    __slots__ = ("attrs", "input_attrs", "inputs", "kind", "name", "names", "nodes", "output_attrs", "outputs", "types")

    def __init__(self, name: str, kind: str = "func") -> None:
        self.name, self.kind = name, kind
        self.nodes: list[Node] = []
        self.types: list[Type] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self.input_attrs: list[dict[str, Attr]] = []
        self.output_attrs: list[dict[str, Attr]] = []
        self.names: dict[int, str] = {}
        self.attrs: dict[str, Attr] = {}

    def add_input(self, type_: Type, name: str | None = None, **attrs: Attr) -> int:
        v = len(self.types)
        self.types.append(type_)
        self.inputs.append(v)
        if name is not None:
            self.names[v] = name
            attrs = {"name": name, **attrs}
        self.input_attrs.append(attrs)
        return v

    def add_output(self, value: int, **attrs: Attr) -> None:
        self.outputs.append(value)
        self.output_attrs.append(attrs)

    def producers(self) -> list[int]:
        """For each value the index of the node that defines it, -1 for inputs and values nobody defines."""
        out = [-1] * len(self.types)
        for i, node in enumerate(self.nodes):
            for r in node.results:
                out[r] = i
        return out

    def users(self) -> list[list[int]]:
        """For each value the indices of the nodes that read it, in order, once each."""
        out: list[list[int]] = [[] for _ in self.types]
        for i, node in enumerate(self.nodes):
            for o in node.operands:
                if not out[o] or out[o][-1] != i:
                    out[o].append(i)
        return out

    def needed(self) -> bytearray:
        """For each node 1 if an output depends on it, else 0."""
        live = bytearray(len(self.types))
        for o in self.outputs:
            live[o] = 1
        keep = bytearray(len(self.nodes))
        for i in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[i]
            for r in node.results:
                if live[r]:
                    keep[i] = 1
                    for o in node.operands:
                        live[o] = 1
                    break
        return keep

    def walk(self) -> Iterator[tuple[Graph, Node]]:
        """Every node of this graph and of its regions, outer first, without recursion."""
        stack: list[tuple[Graph, int]] = [(self, 0)]
        while stack:
            graph, i = stack.pop()
            while i < len(graph.nodes):
                node = graph.nodes[i]
                yield graph, node
                i += 1
                if node.regions:
                    stack.append((graph, i))
                    stack.extend((r, 0) for r in reversed(node.regions))
                    break

    def __str__(self) -> str:
        from .print import print_graph

        return print_graph(self)


class Module:
    """A program at one state of the pipeline: `state` (see passes/pipeline.py), its entry graph and its kernels.

    `graphs` maps names to graphs in order; `entry` names the function or program that a caller runs.
    """

    __slots__ = ("attrs", "entry", "graphs", "state")

    def __init__(self, state: str, graphs: dict[str, Graph], entry: str, attrs: dict[str, Attr] | None = None) -> None:
        self.state, self.graphs, self.entry = state, graphs, entry
        self.attrs: dict[str, Attr] = dict(attrs or {})

    @property
    def main(self) -> Graph:
        return self.graphs[self.entry]

    def with_main(self, graph: Graph, state: str | None = None) -> Module:
        """The same module with another entry graph (and state)."""
        graphs = {k: (graph if k == self.entry else g) for k, g in self.graphs.items()}
        return Module(state or self.state, graphs, self.entry, self.attrs)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, generic: bool = False, locations: bool = True) -> str:
        """MLIR text: readable by default, MLIR's generic form on demand. Both parse back (`parse`)."""
        from .print import print_module

        return print_module(self, generic=generic, locations=locations)
