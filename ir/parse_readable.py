"""Reading graphs in the readable form: their headers, their regions and the lines between."""

from __future__ import annotations

from .graph import Graph
from .parse_generic import KINDS, GenericReader
from .parse_node import Open, Pending
from .print import RETURN
from .types import Type


class GraphReader(GenericReader):
    """The readable form, and the choice between the two, line by line."""

    def graph_header(self, owner: Pending | None) -> None:
        """`grad.func @name(%x: type {...}) -> (type {...}) attributes {...} {`."""
        t = self.t
        start = t.i
        kind = KINDS[t.next()]
        graph = Graph(self.symbol(), kind)
        home = Open(graph, owner, False)
        self.starts[id(graph)] = start
        t.expect("(")
        self.inputs(home, ")")
        home.output_types = []
        if t.take("->"):
            t.expect("(")
            while not t.take(")"):
                home.output_types.append(self.type())
                graph.output_attrs.append(dict(self.attributes()))
                if t.items[t.i] != ")":
                    t.expect(",", "',' or ')'")
        if t.take("attributes"):
            graph.attrs = dict(self.attributes())
        t.expect("{")
        self.stack.append(home)

    def node(self, home: Open) -> None:
        """One line of a graph: a node, the start of one with regions, or the return."""
        t, items, graph = self.t, self.t.items, home.graph
        assert graph is not None
        start = t.i
        lhs = self.results() if items[start][0] == "%" else []
        at = t.i
        token = items[at]
        if token.strip('"') == RETURN and not lhs:
            if (token != RETURN) != home.generic:
                raise t.expected(f'"{RETURN}" in quotes' if home.generic else f"{RETURN} without quotes")
            if home.generic:
                self.generic_return(home)
            else:
                self.readable_return(home)
            return
        if token[0] == '"':
            self.generic_node(home, lhs, start)
            return
        if not (token[0].isalpha() or token[0] == "_"):
            raise t.expected("an op" if lhs else "an op or a return")
        op = self.op_named(token, at)
        t.i += 1
        p = Pending(home, op, lhs, self.operands(home.scope), start)
        p.attrs = self.attributes()
        t.expect(":")
        p.outs = self.signature(p.operands, lhs, graph, at)
        if items[t.i] == "{":
            t.i += 1
            self.region_header(p)
        else:
            self.build(home, op, p)

    def region_header(self, p: Pending) -> None:
        if self.t.items[self.t.i] not in KINDS:
            raise self.t.expected(f"the graph of a region ({', '.join(KINDS)})")
        self.graph_header(p)

    def readable_return(self, home: Open) -> None:
        t, graph = self.t, home.graph
        assert graph is not None
        at = t.i
        t.expect(RETURN)
        graph.outputs = self.operands(home.scope)
        types: list[Type] = []
        if graph.outputs:
            t.expect(":", "',' or ':'")
            types.append(self.type())
            while t.take(","):
                types.append(self.type())
        self.check_return(home, types, at)
        if t.items[t.i] == "loc":
            self.location(None)
        t.expect("}", "'}' after the return")
        self.stack.pop()
        owner = home.owner
        if owner is None:
            self.register(graph, at)
            return
        owner.regions.append(graph)
        if t.take("}"):
            assert owner.op is not None
            self.build(owner.home, owner.op, owner)
        else:
            self.region_header(owner)
