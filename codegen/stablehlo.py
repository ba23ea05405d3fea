"""StableHLO text of a grad-level module, for other compilers and as a second opinion on values.

The module must be past `decompose`: its ops are primitives and their casts stand in the graph. An elementwise op with a
counterpart in StableHLO becomes that (`DIRECT` in stablehlo_ops.py); others become their record's formula, each tile
scalar op of it by the table `SCALAR`, which has them all. An op with neither is refused by name. Flags of checks are
results of the function, as in the module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradc.ir.build import GraphBuilder, Var
from gradc.ir.errors import GradValueError, UnsupportedError
from gradc.ir.graph import Graph, Module, Node
from gradc.ir.naming import Naming
from gradc.ir.op import ELEMENTWISE, REDUCTION
from gradc.ir.print import symbol
from gradc.ir.types import DType, TensorType, TileType, tensor, tile

from .stablehlo_ops import DIRECT, SCALAR, constant, reduction
from .stablehlo_shape import STRUCTURE

STATES = ("decomposed", "simplified")


def stablehlo_text(module: Module) -> str:
    """The module's main graph as `func.func @main` in a module of its name."""
    if module.state not in STATES:
        raise GradValueError(f"stablehlo takes a module at {' or '.join(STATES)}, got one at {module.state!r}")
    main = module.main
    out = Writer(main)
    for node in main.nodes:
        out.node(node)
    arguments = ", ".join(f"{out.names[v]}: {main.types[v]}" for v in main.inputs)
    types = ", ".join(str(main.types[v]) for v in main.outputs)
    results = ", ".join(out.names[v] for v in main.outputs)
    returned = f"return {results} : {types}" if main.outputs else "return"
    head = f"module {symbol(module.entry)} {{\n  func.func public @main({arguments}) -> ({types}) {{\n"
    return head + "".join(f"    {line}\n" for line in [*out.lines, returned]) + "  }\n}\n"


class Writer:
    """Lines so far, and the name of every value."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.naming = Naming()
        self.lines: list[str] = []
        self.names = self.naming.inputs(graph)
        self.steps = 0
        self.hint: str | None = None

    def node(self, node: Node) -> None:
        """The lines of one node."""
        operands = [(self.names[o], self.type(o)) for o in node.operands]
        result = self.type(node.results[0]) if node.results else tensor((), operands[0][1].dtype)
        self.hint = self.graph.names.get(node.results[0]) if node.results else None
        build = STRUCTURE.get(node.op.short)
        if build is not None:
            name = build(self, operands, result, node.attrs)
        elif node.op.kind == REDUCTION:
            name = reduction(self, operands[0], result, node)
        elif node.op.kind == ELEMENTWISE:
            name = self.elementwise(node, operands, result)
        else:
            raise refused(node)
        self.names[node.results[0]] = name

    def type(self, v: int) -> TensorType:
        t = self.graph.types[v]
        if not isinstance(t, TensorType):
            raise GradValueError(f"stablehlo: value {v} is no tensor but {t}")
        return t

    def emit(self, text: str) -> str:
        """One line that defines one value; its name."""
        spelt = self.naming.unique(self.hint) if self.hint else f"%{self.steps}"
        self.steps += not self.hint
        self.hint = None
        self.lines.append(f"{spelt} = {text}")
        return spelt

    def helper(self, text: str) -> str:
        """A line on the way to a value that has a name of its own."""
        hint, self.hint = self.hint, None
        name = self.emit(text)
        self.hint = hint
        return name

    def broadcast(self, name: str, t: TensorType, shape: tuple[int, ...]) -> str:
        """NumPy's broadcasting, which StableHLO wants written out."""
        if t.shape == shape:
            return name
        to = tensor(shape, t.dtype)
        dims = list(range(len(shape) - t.ndim, len(shape)))
        return self.helper(f"stablehlo.broadcast_in_dim {name}, dims = {dims} : ({t}) -> {to}")

    def elementwise(self, node: Node, operands: list[tuple[str, TensorType]], result: TensorType) -> str:
        shape = result.shape
        same = [(self.broadcast(name, t, shape), t.dtype) for name, t in operands]
        direct = DIRECT.get(node.op.short)
        if direct is not None:
            text = direct([n for n, _ in same], [d for _, d in same], shape, result.dtype)
            if text is not None:
                return self.emit(text)
        if node.op.formula is None:
            raise refused(node)
        return self.formula(node.op.formula, node.attrs, same, result)

    def formula(
        self,
        formula: Callable[..., Any],
        attrs: dict[str, Any],
        operands: Sequence[tuple[str, DType]],
        result: TensorType,
    ) -> str:
        """A formula in tile scalar ops over whole tensors."""
        small = Graph("formula", "kernel")
        b = GraphBuilder(small, "tile")
        args = [Var(b, small.add_input(tile("", d))) for _, d in operands]
        out = formula(b, *args, **attrs)
        if out.dtype is not result.dtype:
            out = b.convert(out, dtype=result.dtype)
        live = {out.v}
        for step in reversed(small.nodes):
            if not live.isdisjoint(step.results):
                live.update(step.operands)
        names = {v: name for v, (name, _) in zip(small.inputs, operands, strict=True)}
        hint, self.hint = self.hint, None
        for step in small.nodes:
            (r,) = step.results
            if r in live:
                self.hint = hint if r == out.v else None
                names[r] = self.step(step, small, names, result.shape)
        return names[out.v]

    def step(self, step: Node, small: Graph, names: dict[int, str], shape: tuple[int, ...]) -> str:
        dtypes = [dtype_of(small, o) for o in step.operands]
        to = dtype_of(small, step.results[0])
        if not step.operands:
            return self.broadcast(self.helper(constant(step.attrs["value"], to)), tensor((), to), shape)
        return SCALAR[step.op.short](self, [names[o] for o in step.operands], dtypes, shape, to)


def dtype_of(graph: Graph, v: int) -> DType:
    t: Any = graph.types[v]
    assert isinstance(t, TileType)
    return t.dtype


def refused(node: Node) -> UnsupportedError:
    return UnsupportedError(f"stablehlo: {node.op.short} has no counterpart in StableHLO", loc=node.loc)
