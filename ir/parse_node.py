"""Reading one node of a graph's text: values, attributes, types, location, in the readable and the generic form."""

from __future__ import annotations

from collections.abc import Sequence

from .attributes import parse_dict, parse_string
from .errors import ParseError
from .graph import NO_ATTRS, Attr, Graph, Loc, Node
from .lexer import Tokens, closest, shorten
from .op import REGISTRY, Op
from .types import Type
from .typetext import read_type

MAX_LINE = 2**31 - 1


class Open:
    """A graph being read (None: the module itself), its value names, and the node whose region it is."""

    __slots__ = ("generic", "graph", "output_types", "owner", "scope")

    def __init__(self, graph: Graph | None, owner: Pending | None, generic: bool) -> None:
        self.graph, self.owner, self.generic = graph, owner, generic
        self.scope: dict[str, int] = {}
        self.output_types: list[Type] | None = None


class Pending:
    """A node whose regions are being read; `op` is None for a top-level graph in generic form."""

    __slots__ = ("attrs", "home", "lhs", "op", "operands", "outs", "regions", "start")

    def __init__(self, home: Open, op: Op | None, lhs: list[str], operands: list[int], start: int) -> None:
        self.home, self.op, self.lhs, self.operands, self.start = home, op, lhs, operands, start
        self.attrs: dict[str, Attr] = NO_ATTRS
        self.outs: list[Type] = []
        self.regions: list[Graph] = []


class NodeReader:
    """The part of the parser that knows nodes; `parse_module.py` adds graphs and modules."""

    def __init__(self, text: str) -> None:
        self.t = Tokens(text)
        self.types: dict[str, Type] = {}
        self.starts: dict[int, int] = {}
        self.aliases: dict[str, Loc | None] = {}
        self.unresolved: list[tuple[Node, int]] = []

    def type(self) -> Type:
        """The type at the cursor."""
        t = self.t
        token = t.items[t.i]
        found = self.types.get(token)
        if found is None:
            if not token.startswith(("tensor<", "!")):
                raise t.expected("a type")
            read = read_type(token)
            if isinstance(read, str):
                raise t.error(read)
            found = self.types[token] = read
        t.i += 1
        return found

    def type_list(self) -> list[Type]:
        """`(t, t)`, the cursor at its parenthesis."""
        t = self.t
        t.expect("(")
        out: list[Type] = []
        if t.take(")"):
            return out
        while True:
            out.append(self.type())
            if not t.take(","):
                t.expect(")", "',' or ')'")
                return out

    def results(self) -> list[str]:
        """`%a, %b:2 =` as its tokens; nothing where the line starts with the op."""
        t, items = self.t, self.t.items
        lhs: list[str] = []
        while items[t.i][0] == "%":
            if len(items[t.i]) == 1 or "#" in items[t.i]:
                raise t.expected("a value to define")
            lhs.append(items[t.i])
            t.i += 1
            if items[t.i] == "=":
                t.i += 1
                return lhs
            t.expect(",", "',' or '='")
        if lhs:
            raise t.expected("a value to define")
        return lhs

    def operands(self, scope: dict[str, int]) -> list[int]:
        """Values separated by commas; perhaps none."""
        t, items = self.t, self.t.items
        out: list[int] = []
        while items[t.i][0] == "%":
            v = scope.get(items[t.i])
            if v is None:
                raise self.undefined(items[t.i])
            out.append(v)
            t.i += 1
            if items[t.i] != ",":
                return out
            t.i += 1
        if out:
            raise t.expected("a value")
        return out

    def undefined(self, token: str) -> ParseError:
        return self.t.error(f"law 1: {shorten(token)} is not defined before this use in the same region")

    def signature(self, operands: Sequence[int], lhs: Sequence[str], graph: Graph, at: int) -> list[Type]:
        """What follows the colon: one type for all, or operands' and results' types. Checks the operands' types and
        returns the results'."""
        t = self.t
        if t.items[t.i] == "(":
            ins = self.type_list()
            t.expect("->")
            outs = self.type_list() if t.items[t.i] == "(" else [self.type()]
        else:
            one = self.type()
            ins = [one] * len(operands)
            outs = [one] * (1 if len(lhs) == 1 and ":" not in lhs[0] else self.count(lhs, at))
        if len(ins) != len(operands):
            raise t.error(f"{len(operands)} operands, but types of {len(ins)}", at)
        for k, v in enumerate(operands):
            have = graph.types[v]
            if have is not ins[k] and have != ins[k]:
                raise t.error(f"operand {k} is a {have}, but its type is given as {ins[k]}", at)
        return outs

    def count(self, lhs: Sequence[str], at: int) -> int:
        """How many values the tokens before `=` define."""
        n = 0
        for token in lhs:
            _, colon, k = token.partition(":")
            n += int(k) if colon and len(k) < 9 else len(self.t.items) + 1 if colon else 1
        if n > len(self.t.items):
            raise self.t.error("more results than the text has types", at)
        return n

    def build(self, home: Open, op: Op, p: Pending) -> None:
        """Append the node, now that all of it is read, and name its results."""
        t, graph, attrs = self.t, home.graph, p.attrs
        assert graph is not None
        start = len(graph.types)
        ids = tuple(range(start, start + len(p.outs)))
        no_grad = False
        names: Sequence[str] | None = None
        if "no_grad" in attrs or "names" in attrs:
            attrs = dict(attrs)
            no_grad = attrs.pop("no_grad", False)
            names = attrs.pop("names", None)
            if type(no_grad) is not bool:
                raise t.error("the mark no_grad is true or false", p.start)
            if names is not None and (
                type(names) is not tuple or len(names) != len(ids) or any(type(n) is not str for n in names)
            ):
                raise t.error("'names' holds one string per result", p.start)
        node = Node(op, tuple(p.operands), attrs, ids, None, no_grad, tuple(p.regions))
        self.starts[id(node)] = p.start
        if t.items[t.i] == "loc":
            self.location(node)
        self.define(home, p, ids, names)
        graph.types.extend(p.outs)
        graph.nodes.append(node)

    def define(self, home: Open, p: Pending, ids: Sequence[int], names: Sequence[str] | None) -> None:
        graph, scope, lhs = home.graph, home.scope, p.lhs
        assert graph is not None
        k = 0
        if len(ids) != len(lhs) or any(":" in token for token in lhs):
            n = self.count(lhs, p.start)
            if n != len(ids):
                raise self.t.error(f"{n} results are named, but types of {len(ids)} are given", p.start)
        for token in lhs:
            base, colon, count = token.partition(":")
            if base in scope or base + "#0" in scope:
                raise self.t.error(f"law 2: {shorten(base)} is defined twice", p.start)
            if colon:
                for j in range(int(count)):
                    scope[f"{base}#{j}"] = ids[k]
                    k += 1
                if count == "1":
                    scope[base] = ids[k - 1]
                continue
            scope[base] = ids[k]
            if names is None and not home.generic and not base[1].isdigit():
                graph.names[ids[k]] = base[1:]
            k += 1
        if names is not None:
            for v, name in zip(ids, names, strict=True):
                if name:
                    graph.names[v] = name

    def location(self, node: Node | None) -> None:
        """`loc("file":line:column)`, `loc(unknown)` or `loc(#alias)`; without a node it is read and dropped."""
        t = self.t
        t.expect("loc")
        t.expect("(")
        if t.items[t.i][0] == "#":
            if node is not None:
                self.unresolved.append((node, t.i))
            t.i += 1
        else:
            loc = self.place()
            if node is not None:
                node.loc = loc
        t.expect(")")

    def place(self) -> Loc | None:
        t = self.t
        if t.take("unknown"):
            return None
        file = parse_string(t, 'a location: "file":line:column, unknown or an alias')
        numbers = []
        for what in ("a line number", "a column number"):
            t.expect(":")
            n = t.items[t.i]
            if not n.isdigit() or len(n) > 10 or int(n) > MAX_LINE:
                raise t.expected(what)
            numbers.append(int(n))
            t.i += 1
        return Loc(file, numbers[0], numbers[1])

    def attributes(self) -> dict[str, Attr]:
        """A dictionary if one stands here."""
        return parse_dict(self.t) if self.t.items[self.t.i] == "{" else NO_ATTRS

    def properties(self) -> dict[str, Attr]:
        """`<{...}>` if it stands here: MLIR's place for an op's own attributes."""
        if not self.t.take("<"):
            return NO_ATTRS
        out = parse_dict(self.t)
        self.t.expect(">")
        return out

    def op_named(self, name: str, index: int) -> Op:
        op = REGISTRY.get(name)
        if op is None:
            raise self.t.error(f"unknown op {shorten(name)!r}", index, closest(name, REGISTRY))
        return op
