"""Text to modules: the inverse of `print.py`, for the readable form, the generic form and what mlir-opt makes of it.

Nothing recurses over nested regions: open graphs stand on a stack. Whatever the text, the only errors are ParseError
(line, column, what was expected, a caret) and, of a text that is well formed, the verifier's VerifyError.
"""

from __future__ import annotations

from .errors import GradTypeError, VerifyError
from .graph import Attr, Graph, Module
from .parse_generic import KINDS
from .parse_node import Open
from .parse_readable import GraphReader
from .print import VERSION

MODULE = '"builtin.module"'


def parse(text: str, *, check: bool = True) -> Module:
    """The module a text spells, at any state, verified unless told otherwise. Graphs without a module around them make
    a traced one whose entry is the first."""
    if not isinstance(text, str):
        raise GradTypeError(f"parse: expected text, got {type(text).__name__}")
    parser = _Parser(text)
    module = parser.module()
    if check:
        from .laws import verify

        try:
            verify(module)
        except VerifyError as e:
            raise parser.placed(e) from None
    return module


def parse_graph(text: str) -> Graph:
    """The one graph a text spells, as `str(graph)` prints it; not verified."""
    return parse(text, check=False).main


class _Parser(GraphReader):
    """Modules and location aliases."""

    def placed(self, e: VerifyError) -> VerifyError:
        start = self.starts.get(id(e.subject))
        return e if start is None else e.in_text(self.t.line(start))

    def module(self) -> Module:
        t = self.t
        self.alias_lines()
        at, head = t.i, t.items[t.i]
        attrs: dict[str, Attr] = {}
        if head in ("gradc.module", "module", "builtin.module"):
            t.i += 1
            if t.items[t.i][0] == "@":
                attrs["sym_name"] = self.symbol()
            if t.take("attributes"):
                attrs.update(self.attributes())
            t.expect("{")
            self.body()
            t.expect("}")
        elif head == MODULE:
            t.i += 1
            t.expect("(")
            t.expect(")")
            attrs.update(self.properties())
            t.expect("(")
            t.expect("{")
            self.body()
            t.expect("}")
            t.expect(")")
            attrs.update(self.attributes())
            self.no_types()
        else:
            self.body()
        if t.items[t.i] == "loc":
            self.location(None)
        self.alias_lines()
        if not t.at_end():
            raise t.expected("the end of the text")
        self.resolve()
        module = self.finished(attrs, at)
        self.starts[id(module)] = at
        return module

    def finished(self, attrs: dict[str, Attr], at: int) -> Module:
        """The module from its graphs and what its header, which starts at a token, said."""
        if not self.graphs:
            raise self.t.error("expected at least one graph")
        attrs = {k.removeprefix("gradc."): v for k, v in attrs.items()}
        entry = attrs.pop("sym_name", next(iter(self.graphs)))
        state = attrs.pop("state", "traced")
        version = attrs.pop("version", VERSION)
        more = attrs.pop("attrs", {})
        if version != VERSION or type(version) is not int:
            raise self.t.error(f"this is version {version!r} of the format, known is {VERSION}", at)
        if attrs:
            raise self.t.error(f"a module has no attribute {sorted(attrs)[0]!r}; its own stand in attrs", at)
        if type(state) is not str or type(entry) is not str or type(more) is not dict:
            raise self.t.error("a module's state and name are strings and its attrs a dictionary", at)
        return Module(state, self.graphs, entry, more)

    def alias_lines(self) -> None:
        """`#loc1 = loc(...)`, as mlir-opt writes them."""
        t = self.t
        while t.items[t.i][0] == "#":
            name = t.next()
            t.expect("=")
            t.expect("loc")
            t.expect("(")
            self.aliases[name] = self.place()
            t.expect(")")

    def resolve(self) -> None:
        for node, index in self.unresolved:
            name = self.t.items[index]
            if name not in self.aliases:
                raise self.t.error(f"location {name} is not defined", index)
            node.loc = self.aliases[name]

    def body(self) -> None:
        """The module's graphs and all that is in them."""
        t = self.t
        stack = self.stack
        stack.append(Open(None, None, False))
        while stack:
            top = stack[-1]
            if top.graph is not None:
                self.node(top)
                continue
            token = t.items[t.i]
            if token in KINDS:
                self.graph_header(None)
            elif token[0] == '"' and token[1:-1] in KINDS:
                self.generic_graph(top)
            elif token == "}" or t.at_end():
                stack.pop()
            else:
                raise t.expected(f"a graph ({', '.join(KINDS)})")
