"""Reading MLIR's generic form of graphs and nodes, and what both forms share: inputs, returns, headers."""

from __future__ import annotations

from .attributes import parse_string
from .graph import Attr, Graph
from .lexer import shorten
from .naming import UNNAMED
from .parse_node import NodeReader, Open, Pending
from .print import GRAPH_OPS, RETURN, STRUCTURE
from .types import Type

KINDS = {op: kind for kind, op in GRAPH_OPS.items()}


class GenericReader(NodeReader):
    """Graphs under construction stand on `stack`, finished top-level ones in `graphs`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.graphs: dict[str, Graph] = {}
        self.stack: list[Open] = []

    def symbol(self) -> str:
        t = self.t
        token = t.items[t.i]
        if token[0] != "@" or len(token) < 2:
            raise t.expected("a name such as @loss")
        if token[1] != '"':
            t.i += 1
            return token[1:]
        t.items[t.i] = token[1:]
        return parse_string(t, "a name such as @loss")

    def inputs(self, home: Open, close: str) -> None:
        """`%x: type` up to `close`, with attributes (readable) or locations (generic)."""
        t, graph = self.t, home.graph
        assert graph is not None
        while not t.take(close):
            token = t.items[t.i]
            if token[0] != "%" or "#" in token or ":" in token or len(token) < 2:
                raise t.expected("an input such as %x: tensor<4xf32>")
            if token in home.scope:
                raise t.error(f"law 2: {token} is defined twice")
            t.i += 1
            t.expect(":")
            attrs: dict[str, Attr] = {}
            type_ = self.type()
            if not home.generic:
                attrs.update(self.attributes())
                if "name" not in attrs and not UNNAMED.fullmatch(token[1:]):
                    attrs["name"] = token[1:]
            if t.items[t.i] == "loc":
                self.location(None)
            home.scope[token] = len(graph.types)
            graph.inputs.append(len(graph.types))
            graph.types.append(type_)
            graph.input_attrs.append(attrs)
            if t.items[t.i] != close:
                t.expect(",", f"',' or '{close}'")
        self.input_names(graph)

    def input_names(self, graph: Graph) -> None:
        for v, attrs in zip(graph.inputs, graph.input_attrs, strict=True):
            name = attrs.get("name")
            if type(name) is str and name:
                graph.names[v] = name

    def generic_graph(self, top: Open) -> None:
        """`"grad.func"() ({` of a top-level graph; its header follows its body as attributes."""
        t = self.t
        pending = Pending(top, None, [], [], t.i)
        kind = KINDS[t.next()[1:-1]]
        t.expect("(")
        t.expect(")")
        pending.attrs = self.properties()
        t.expect("(")
        self.generic_region(pending, kind)

    def generic_region(self, pending: Pending, kind: str) -> None:
        """`{` and the block's arguments."""
        t = self.t
        graph = Graph("", kind)
        home = Open(graph, pending, True)
        self.starts[id(graph)] = t.i
        t.expect("{")
        if t.items[t.i][0] == "^":
            t.next()
            if t.take("("):
                self.inputs(home, ")")
            t.expect(":")
        self.stack.append(home)

    def generic_node(self, home: Open, lhs: list[str], start: int) -> None:
        """`"op"(operands) <{...}> ({regions}) {...} : (types) -> types`."""
        t = self.t
        at = t.i
        name = parse_string(t, "an op")
        p = Pending(home, self.op_named(name.removeprefix(STRUCTURE), at), lhs, [], start)
        t.expect("(")
        p.operands = self.operands(home.scope)
        t.expect(")", "',' or ')'" if p.operands else "a value or ')'")
        p.attrs = self.properties()
        if t.take("("):
            self.generic_region(p, "region")
        else:
            self.generic_tail(p)

    def generic_tail(self, p: Pending) -> None:
        """The attributes, types and location after a node's operands or regions."""
        t, home = self.t, p.home
        if t.items[t.i] == "{":
            p.attrs = {**p.attrs, **self.attributes()}
        at = t.i
        t.expect(":", "':' and the op's type")
        if t.items[t.i] != "(":
            raise t.expected("'(' and the operands' types")
        if home.graph is None:
            self.close_generic_graph(p, at)
            return
        p.outs = self.signature(p.operands, p.lhs, home.graph, at)
        if p.regions:
            p.attrs = dict(p.attrs)
            headers = p.attrs.pop("regions", ())
            if type(headers) is not tuple or len(headers) not in (0, len(p.regions)):
                raise t.error("'regions' holds one dictionary per region", p.start)
            for region, header in zip(p.regions, headers, strict=False):
                self.header_attrs(region, header, p.start)
        assert p.op is not None
        self.build(home, p.op, p)

    def no_types(self) -> None:
        """`: () -> ()`."""
        for token in (":", "(", ")", "->", "(", ")"):
            self.t.expect(token, "': () -> ()'")

    def close_generic_graph(self, p: Pending, at: int) -> None:
        t = self.t
        t.i = at
        self.no_types()
        if t.items[t.i] == "loc":
            self.location(None)
        graph = p.regions[0]
        self.starts[id(graph)] = p.start
        self.header_attrs(graph, p.attrs, p.start)
        self.register(graph, p.start)

    def header_attrs(self, graph: Graph, header: Attr, at: int) -> None:
        """Give a graph what the generic form keeps as attributes."""
        known = {"sym_name": "", "arg_attrs": (), "res_attrs": (), "attrs": {}, "kind": graph.kind}
        if type(header) is not dict or any(k not in known or type(v) is not type(known[k]) for k, v in header.items()):
            raise self.t.error(f"a graph's attributes are {', '.join(known)}", at)
        ins, outs = ("arg_attrs", graph.input_attrs, graph.inputs), ("res_attrs", graph.output_attrs, graph.outputs)
        for what, values, want in (ins, outs):
            given = header.get(what, ())
            if given and (len(given) != len(want) or any(type(a) is not dict for a in given)):
                raise self.t.error(f"{what} holds {len(want)} dictionaries", at)
            values[:] = given or [{} for _ in want]
        graph.name = header.get("sym_name", "")
        graph.attrs = header.get("attrs", {})
        graph.kind = header.get("kind", graph.kind)
        self.input_names(graph)

    def register(self, graph: Graph, at: int) -> None:
        if graph.name in self.graphs:
            raise self.t.error(f"law 2: graph @{shorten(graph.name)} is defined twice", at)
        self.graphs[graph.name] = graph

    def generic_return(self, home: Open) -> None:
        t, graph, owner = self.t, home.graph, home.owner
        assert graph is not None
        assert owner is not None
        at = t.i
        t.expect(f'"{RETURN}"')
        t.expect("(")
        graph.outputs = self.operands(home.scope)
        t.expect(")", "',' or ')'")
        t.expect(":")
        types = self.type_list()
        t.expect("->")
        t.expect("(")
        t.expect(")")
        self.check_return(home, types, at)
        if t.items[t.i] == "loc":
            self.location(None)
        t.expect("}", "'}' after the return")
        self.stack.pop()
        owner.regions.append(graph)
        if owner.op is not None and t.take(","):
            self.generic_region(owner, "region")
            return
        t.expect(")")
        self.generic_tail(owner)

    def check_return(self, home: Open, types: list[Type], at: int) -> None:
        """The types a return states are those of its values and those of the header."""
        t, graph = self.t, home.graph
        assert graph is not None
        have = [graph.types[v] for v in graph.outputs]
        if types != have:
            raise t.error(f"the values returned are of type {spell(have)}, given is {spell(types)}", at)
        if home.output_types is not None and home.output_types != have:
            raise t.error(f"the header promises {spell(home.output_types)}, returned is {spell(have)}", at)


def spell(types: list[Type]) -> str:
    return f"({shorten(', '.join(map(str, types)), 200)})"
