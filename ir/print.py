"""The text of a module: readable by default, MLIR's generic form on demand. `parse_module.py` reads both; docs/ir.md
has the grammar. The generic form says `loc(unknown)` where there is no location: mlir-opt would make one up otherwise.

Value names derive from the user's (`naming.py`); where the spelling is not the user's name itself, and always in the
generic form, that is kept as an attribute.
"""

from __future__ import annotations

from typing import TypeAlias

from .attributes import format_dict, format_string
from .graph import Attr, Graph, Loc, Module, Node
from .naming import PLAIN, UNNAMED, Naming
from .types import Type
from .typetext import generic_type

VERSION = 1
GRAPH_OPS = {"func": "grad.func", "kernel": "tile.kernel", "program": "plan.program", "region": "grad.region"}
RETURN = "gradc.return"
STRUCTURE = "gradc."
"""The dialect of what MLIR's IRDL cannot describe: terminators, and ops whose variadic part is of several types."""
RESERVED = ("names", "no_grad", "regions")
"""Attribute names that the text itself uses on nodes; no op record may have an attribute of these."""

OPEN = -1
"""In place of a node index: the graph's header comes first."""

_Work: TypeAlias = "str | tuple[Graph, int, int]"


def print_module(module: Module, generic: bool = False, locations: bool = True) -> str:
    """The module as text that ends with a newline."""
    attrs: dict[str, Attr] = {"state": module.state, "version": VERSION}
    if module.attrs:
        attrs["attrs"] = module.attrs
    out = _Printer(generic, locations)
    if generic:
        out.lines.append(f'"builtin.module"() <{{sym_name = {format_string(module.entry)}}}> ({{')
    else:
        out.lines.append(f"gradc.module {symbol(module.entry)} attributes {format_dict(attrs)} {{")
    for name, graph in module.graphs.items():
        out.top(graph, name, 1)
    if generic:
        marked = {f"gradc.{k}": v for k, v in attrs.items()}
        out.lines.append(f"}}) {format_dict(marked, True)} : () -> (){out.unknown}")
    else:
        out.lines.append("}")
    return "\n".join(out.lines) + "\n"


def print_graph(graph: Graph, generic: bool = False, locations: bool = True) -> str:
    """One graph as text, without the module around it."""
    out = _Printer(generic, locations)
    out.top(graph, graph.name, 0)
    return "\n".join(out.lines) + "\n"


def symbol(name: str) -> str:
    return f"@{name}" if PLAIN.fullmatch(name) and "$" not in name else f"@{format_string(name)}"


class _Printer:
    """Lines so far, and the value names of the top-level graph being printed."""

    def __init__(self, generic: bool, locations: bool) -> None:
        self.generic, self.locations = generic, locations
        self.unknown = " loc(unknown)" if generic and locations else ""
        self.lines: list[str] = []
        self.types: dict[Type, str] = {}
        self.locs: dict[Loc | None, str] = {None: self.unknown}
        self.spell = generic_type if generic else str
        self.scopes: dict[int, dict[int, str]] = {}

    def top(self, graph: Graph, name: str, depth: int) -> None:
        """A graph and everything in it, by a stack of work instead of recursion."""
        self.naming = Naming()
        pad, op = "  " * depth, GRAPH_OPS.get(graph.kind, f"grad.{graph.kind}")
        if self.generic:
            self.lines.append(f'{pad}"{op}"() ({{')
            tail = f"{pad}}}) {format_dict(signature_attrs(graph, name), True)} : () -> (){self.unknown}"
        else:
            tail = f"{pad}}}"
        work: list[_Work] = [tail, (graph, OPEN, depth)]
        while work:
            item = work.pop()
            if isinstance(item, str):
                self.lines.append(item)
                continue
            inner, start, depth = item
            if start == OPEN:
                self.header(inner, name if inner is graph else inner.name, depth)
                start = 0
            self.nodes(inner, start, depth, work)

    def header(self, graph: Graph, name: str, depth: int) -> None:
        """Name the inputs and print what stands before the nodes."""
        names = self.scopes[id(graph)] = self.naming.inputs(graph)
        pad = "  " * depth
        if self.generic:
            args = [f"{names[v]}: {self.type(graph.types[v])}{self.unknown}" for v in graph.inputs]
            if args:
                self.lines.append(f"{pad}^bb0({', '.join(args)}):")
            return
        inputs = zip(graph.inputs, graph.input_attrs, strict=True)
        args = [f"{names[v]}: {self.type(graph.types[v])}{suffix(unspelt(a, names[v]))}" for v, a in inputs]
        outputs = zip(graph.outputs, graph.output_attrs, strict=True)
        results = [f"{self.type(graph.types[v])}{suffix(a)}" for v, a in outputs]
        head = f"{pad}{GRAPH_OPS.get(graph.kind, f'grad.{graph.kind}')} {symbol(name)}({', '.join(args)})"
        head += f" -> ({', '.join(results)})" if results else ""
        head += f" attributes {format_dict(graph.attrs)}" if graph.attrs else ""
        self.lines.append(head + " {")

    def nodes(self, graph: Graph, start: int, depth: int, work: list[_Work]) -> None:
        """Nodes from `start` up to one with regions, which goes to the work, or to the return."""
        pad = "  " * (depth + 1)
        names = self.scopes[id(graph)]
        line, lines, all_nodes = (self.generic_node if self.generic else self.node), self.lines, graph.nodes
        for i in range(start, len(all_nodes)):
            node = all_nodes[i]
            head, tail = line(graph, node, names)
            if not node.regions:
                lines.append(pad + head + tail)
                continue
            lines.append(pad + head)
            work.append((graph, i + 1, depth))
            work.append(pad + tail)
            between = pad + ("}, {" if self.generic else "}")
            last = len(node.regions) - 1
            for k in range(last, -1, -1):
                if not self.generic or k < last:
                    work.append(between if self.generic else f"  {between}")
                work.append((node.regions[k], OPEN, depth + 1 if self.generic else depth + 2))
            return
        self.lines.append(pad + self.returns(graph, names))

    def returns(self, graph: Graph, names: dict[int, str]) -> str:
        values = ", ".join([names.get(o, f"%?{o}") for o in graph.outputs])
        types = ", ".join([self.type(graph.types[o]) for o in graph.outputs])
        if self.generic:
            return f'"{RETURN}"({values}) : ({types}) -> (){self.unknown}'
        return f"{RETURN} {values} : {types}" if values else RETURN

    def attributes(self, graph: Graph, node: Node, names: dict[int, str]) -> str:
        """The node's attributes with those that the text adds, after a space; nothing for none."""
        attrs = node.attrs
        if graph.names:
            given = tuple([graph.names.get(r, "") for r in node.results])
            if any(given) and (
                self.generic or any([n and names[r] != "%" + n for n, r in zip(given, node.results, strict=True)])
            ):
                attrs = {**attrs, "names": given}
        if node.no_grad:
            attrs = {**attrs, "no_grad": True}
        if self.generic and node.regions:
            regions = tuple({**signature_attrs(r, r.name), "kind": r.kind} for r in node.regions)
            attrs = {**attrs, "regions": regions}
        return " " + format_dict(attrs, self.generic) if attrs else ""

    def location(self, node: Node) -> str:
        loc = node.loc
        text = self.locs.get(loc)
        if text is None:
            assert loc is not None
            text = f" loc({format_string(loc.file)}:{loc.line}:{loc.column})" if self.locations else ""
            self.locs[loc] = text
        return text

    def node(self, graph: Graph, node: Node, names: dict[int, str]) -> tuple[str, str]:
        """The readable line, cut where regions stand."""
        try:
            operands = [names[o] for o in node.operands]
        except KeyError:
            operands = [names.get(o, f"%?{o}") for o in node.operands]
        lhs = self.naming.results(graph, node, names)
        table = graph.types
        ins, outs = [table[o] for o in node.operands], [table[r] for r in node.results]
        first = outs[0] if outs else None
        if first is not None and outs.count(first) == len(outs) and ins.count(first) == len(ins):
            sig = self.type(first)
        else:
            result = self.type(outs[0]) if len(outs) == 1 else f"({', '.join([self.type(t) for t in outs])})"
            sig = f"({', '.join([self.type(t) for t in ins])}) -> {result}"
        attrs = self.attributes(graph, node, names)
        text = f"{lhs}{node.op.name}{' ' if operands else ''}{', '.join(operands)}{attrs} : {sig}"
        if node.regions:
            return text + " {", "}" + self.location(node)
        return text, self.location(node)

    def generic_node(self, graph: Graph, node: Node, names: dict[int, str]) -> tuple[str, str]:
        """The generic line, cut where regions stand."""
        operands = ", ".join([names.get(o, f"%?{o}") for o in node.operands])
        lhs = self.naming.results(graph, node, names)
        table = graph.types
        outs = [self.type(table[r]) for r in node.results]
        result = outs[0] if len(outs) == 1 else f"({', '.join(outs)})"
        sig = f"({', '.join([self.type(table[o]) for o in node.operands])}) -> {result}"
        attrs = self.attributes(graph, node, names)
        tail = f"{attrs} : {sig}{self.location(node)}"
        name = node.op.name if describable(graph, node) else STRUCTURE + node.op.name
        if node.regions:
            return f'{lhs}"{name}"({operands}) ({{', f"}}){tail}"
        return f'{lhs}"{name}"({operands})', tail

    def type(self, t: Type) -> str:
        s = self.types.get(t)
        if s is None:
            s = self.types[t] = self.spell(t)
        return s


def suffix(attrs: dict[str, Attr]) -> str:
    return " " + format_dict(attrs) if attrs else ""


def unspelt(attrs: dict[str, Attr], spelt: str) -> dict[str, Attr]:
    """An input's attributes without the name, where its spelling already says that."""
    name = attrs.get("name")
    if type(name) is not str or "%" + name != spelt or UNNAMED.fullmatch(name):
        return attrs
    return {k: v for k, v in attrs.items() if k != "name"}


def describable(graph: Graph, node: Node) -> bool:
    """Whether the operands and results of the record's variadic parts are of one type, as IRDL wants them."""
    op, types = node.op, graph.types
    if op.variadic and len({types[o] for o in node.operands[len(op.operands) - 1 :]}) > 1:
        return False
    several = bool(op.results) and op.results[-1].endswith("*")
    return not (several and len({types[r] for r in node.results}) > 1)


def signature_attrs(graph: Graph, name: str) -> dict[str, Attr]:
    """What the generic form keeps of a graph's header, as attributes of its op."""
    out: dict[str, Attr] = {"sym_name": name}
    if graph.input_attrs:
        out["arg_attrs"] = tuple(graph.input_attrs)
    if graph.output_attrs:
        out["res_attrs"] = tuple(graph.output_attrs)
    if graph.attrs:
        out["attrs"] = graph.attrs
    return out
