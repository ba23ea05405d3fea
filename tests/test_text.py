"""The text of modules: both forms parse back to the same module, byte for byte; errors say where and what."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ir_programs import ATTRS, chain, everything, kernel_modules, nested, op_modules, stages
from speed import seconds

from gradc.ir import (
    Dense,
    Graph,
    Module,
    ParseError,
    VerifyError,
    f32,
    i1,
    parse,
    parse_graph,
    strip_locations,
    tensor,
    verify,
)
from gradc.ir.attributes import format_attr, parse_attr
from gradc.ir.errors import GradTypeError, GradValueError
from gradc.ir.lexer import Tokens
from gradc.ir.op import REGISTRY
from gradc.ir.print import RESERVED


def plain(v: Any) -> Any:
    """An attribute in a form whose repr is the same for the same value, and for no other."""
    if isinstance(v, dict):
        return {k: plain(v[k]) for k in sorted(v)}
    return tuple(map(plain, v)) if type(v) is tuple else (type(v).__name__, repr(v))


def same(a: Module, b: Module) -> None:
    """Both hold the same, value numbers aside."""
    assert (a.state, a.entry, list(a.graphs)) == (b.state, b.entry, list(b.graphs))
    assert repr(plain(a.attrs)) == repr(plain(b.attrs))
    for name in a.graphs:
        todo = [(a.graphs[name], b.graphs[name])]
        while todo:
            g, h = todo.pop()
            assert (g.name, g.kind, len(g.nodes)) == (h.name, h.kind, len(h.nodes))
            for slot in ("input_attrs", "output_attrs"):
                assert repr([plain(x) for x in getattr(g, slot)]) == repr([plain(x) for x in getattr(h, slot)])
            assert repr(plain(g.attrs)) == repr(plain(h.attrs))
            assert [g.types[v] for v in g.inputs] == [h.types[v] for v in h.inputs]
            to = dict(zip(g.inputs, h.inputs, strict=True))
            for n, m in zip(g.nodes, h.nodes, strict=True):
                assert (n.op, n.loc, n.no_grad) == (m.op, m.loc, m.no_grad)
                assert repr(plain(n.attrs)) == repr(plain(m.attrs))
                assert [to[o] for o in n.operands] == list(m.operands)
                to.update(zip(n.results, m.results, strict=True))
                todo.extend(zip(n.regions, m.regions, strict=True))
            assert {to[v]: name for v, name in g.names.items()} == h.names
            assert all(g.types[v] == h.types[w] for v, w in to.items())
            assert [to[o] for o in g.outputs] == h.outputs


def round_trip(m: Module) -> None:
    for generic in (False, True):
        for locations in (True, False):
            text = m.to_text(generic=generic, locations=locations)
            back = parse(text)
            assert back.to_text(generic=generic, locations=locations) == text
            same(m if locations else strip_locations(m), back)


def test_everything_a_module_holds_survives() -> None:
    round_trip(everything())


def test_every_sample_of_the_table_survives() -> None:
    count = 0
    for _, m in op_modules():
        round_trip(m)
        count += 1
    assert count > 100


def test_every_hand_built_kernel_survives() -> None:
    for _, m in kernel_modules():
        round_trip(m)


def test_every_stage_of_compiled_functions_survives() -> None:
    for _, text in stages():
        assert str(parse(text)) == text
        round_trip(parse(text))


@pytest.mark.parametrize("name", ATTRS)
def test_attributes_survive_exactly(name: str) -> None:
    value = ATTRS[name]
    for generic in (False, True):
        t = Tokens(format_attr(value, generic))
        back = parse_attr(t)
        assert t.at_end()
        assert type(back) is type(value)
        assert repr(plain(back)) == repr(plain(value))


def test_floats_survive_to_the_bit(rng: np.random.Generator) -> None:
    for bits in rng.integers(0, 2**64, 2000, dtype=np.uint64):
        value = float(bits.view(np.float64))
        back = parse_attr(Tokens(format_attr(value)))
        assert np.float64(back).view(np.uint64) == np.float64(value).view(np.uint64)


def test_the_readable_form_looks_like_this() -> None:
    assert str(everything()).splitlines()[1:8] == [
        '  grad.func @"loss fn"(%x: tensor<4x8xf32> {requires_grad = true}, %arg1: tensor<8xf32>, '
        '%arg7: tensor<f32> {name = "arg7"}) -> (tensor<f32> {role = "value"}, '
        f"tensor<4xf32> {{extra = {format_attr(ATTRS)}}}) "
        "attributes {forward = 3 : i64, groups = [{dims = array<i64: 1, 2>}]} {",
        '    %x_1 = grad.mul %x, %arg1 {names = ["x"]} : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32> '
        'loc("loss.py":12:8)',
        '    %0 = grad.exp %x_1 : tensor<4x8xf32> loc("odd \\22dir\\22/\\C3\\A9.py":1:0)',
        "    %1 = grad.constant {dtype = f32, value = 1.5 : f64} : tensor<f32>",
        '    %_3_weights__ = grad.add %0, %1 {names = ["3 weights \\C3\\A9"]} : (tensor<4x8xf32>, tensor<f32>) -> '
        'tensor<4x8xf32> loc("odd \\22dir\\22/\\C3\\A9.py":1:0)',
        "    %2 = grad.sum %_3_weights__ {dims = array<i64: 0, 1>, keepdim = false, no_grad = true} : "
        '(tensor<4x8xf32>) -> tensor<f32> loc("odd \\22dir\\22/\\C3\\A9.py":1:0)',
        '    %3 = grad.call %2 {callee = "f"} : tensor<f32> {',
    ]


def test_text_is_the_same_whatever_the_order_of_attributes() -> None:
    a, b = (Module("traced", everything().graphs, "loss fn", dict(items)) for items in (ATTRS, reversed(ATTRS.items())))
    assert str(a) == str(b)


def test_locations_go_and_names_stay() -> None:
    m = strip_locations(everything())
    assert "loc(" not in str(m)
    assert str(m) == everything().to_text(locations=False)
    assert "loc(" in str(everything())


def test_a_graph_prints_and_parses_alone() -> None:
    g = everything().main
    assert str(parse_graph(str(g))) == str(g)


def test_ten_thousand_ops_print_and_parse_within_a_second() -> None:
    m = chain(10_000)
    taken = seconds(lambda: parse(str(m), check=False))
    print(f"print + parse: {taken:.3f} s")
    assert taken < 1.0


def test_a_hundred_thousand_ops_need_no_recursion() -> None:
    m = chain(100_000)
    text = str(m)
    assert str(parse(text)) == text


def test_deep_regions_need_no_recursion() -> None:
    text = ["grad.func @f(%x: tensor<f32>) -> (tensor<f32>) {"]
    depth = 3000
    assert depth > sys.getrecursionlimit()
    for k in range(depth):
        text.append(f'%{k} = grad.call %x {{callee = "f"}} : tensor<f32> {{')
        text.append("grad.region @r(%x: tensor<f32>) -> (tensor<f32>) {")
    for k in reversed(range(depth)):
        text.append("gradc.return %x : tensor<f32> } }")
        text.append("" if k else "gradc.return %0 : tensor<f32> }")
    lines = "\n".join(text).replace("gradc.return %x : tensor<f32> } }\n", "gradc.return %x : tensor<f32> } }\n")
    m = parse(lines)
    assert str(parse(str(m))) == str(m)


BROKEN = [
    ("grad.func @f(%x: tensor<4xf32>) -> (tensor<4xf32>) {\n  %0 = grad.exq %x : tensor<4xf32>\n", "2:8", "unknown op"),
    ("grad.func @f(%x: tensor<4xf33>) {", "1:18", "unknown element type f33"),
    ("grad.func @f(%x: tensor<ax4xf32>) {", "1:18", "expected tensor<dimensions"),
    ("grad.func @f(%x: f32) {", "1:18", "expected a type, got 'f32'"),
    ("grad.func @f(%x: tensor<4xf32>) {\n gradc.return %y : tensor<4xf32> }", "2:15", "law 1: %y is not defined"),
    ("grad.func @f(%x: tensor<4xf32>, %x: tensor<4xf32>) {", "1:33", "law 2: %x is defined twice"),
    ("grad.func @f() {\n  gradc.return\n", "3:1", "expected '}' after the return, got the end of the text"),
    ("grad.func f() {", "1:11", "expected a name such as @loss"),
    ("grad.func @f() attributes {a = 1, a = 2} {", "1:35", "attribute 'a' is given twice"),
    ("grad.func @f() attributes {a = 99999999999999999999} {", "1:32", "must fit in 64 bits"),
    ("grad.func @f() attributes {a = 1.5 : i64} {", "1:32", "has no fraction"),
    ("grad.func @f() attributes {a = 0x1FFFFFFFF : f32} {", "1:32", "8 hex digits"),
    ("grad.func @f() attributes {a = " + "[" * 100 + "] {", "1:104", "nest deeper than 72 levels"),
    ('grad.func @f() attributes {a = "\\q"} {', "1:32", "unknown escape"),
    ('grad.func @f() attributes {a = "\\FF"} {', "1:32", "must be UTF-8"),
    ('grad.func @f() attributes {a = "open} {', "1:32", "expected a string closed on its line"),
    ('grad.func @f() attributes {a = dense<"0x00"> : tensor<4xf32>} {', "1:38", "takes 16 bytes"),
    ("grad.func @f() attributes {a = dense<1.0> : tensor<999999999999xf32>} {", "1:32", "takes more than"),
    ('grad.func @f() { "gradc.return"() : () -> () }', "1:18", "expected gradc.return without quotes"),
    ('"grad.func"() ({ gradc.return }) : () -> ()', "1:18", "expected \"gradc.return\" in quotes, got 'gradc.return'"),
    ("module { } x", "1:12", "expected the end of the text, got 'x'"),
    ("", "1:1", "expected at least one graph"),
    ("\ngradc.module @a attributes {version = 2 : i64} { grad.func @a() { gradc.return } }", "2:1", "version 2"),
    ("gradc.module @a attributes {stat = 2 : i64} { grad.func @a() { gradc.return } }", "1:1", "no attribute 'stat'"),
    ("grad.func @f() { gradc.return } grad.func @f() { gradc.return }", "1:50", "graph @f is defined twice"),
    ("grad.func @f(%x: tensor<f32>) -> (tensor<f32>) { gradc.return }", "1:50", "header promises"),
    ("grad.func @f(%x: tensor<f32>) { %0:2 = grad.exp %x : () -> tensor<f32>", "1:40", "1 operands, but types of 0"),
    (
        "grad.func @f(%x: tensor<f32>) { %0:2 = grad.exp %x : (tensor<f32>) -> tensor<f32> gradc.return }",
        "1:33",
        "2 results are named",
    ),
    ("grad.func @f(%x: tensor<f32>) { %0:99999999 = grad.exp %x : tensor<f32>", "1:47", "more results than"),
    ("grad.func @f(%x: tensor<f32>) { %0 = grad.exp %x : tensor<1xf32>", "1:38", "operand 0 is a tensor<f32>"),
    ("grad.func @f(%x: tensor<f32>) { %0 = grad.exp %x : tensor<f32> loc(#a) gradc.return }", "1:68", "#a is not"),
    ("grad.func @f(%x: tensor<9999999999x9999999999xf32>) { gradc.return }", "1:18", "at most 2^63 - 1 bytes"),
    ("grad.func @f(%x: tensor<f32>) { %0 = grad.exp %x : tensor<f32> loc(3) gradc.return }", "1:68", "a location"),
]


@pytest.mark.parametrize(("text", "place", "sentence"), BROKEN, ids=[b[2] for b in BROKEN])
def test_parse_errors_say_where_and_what(text: str, place: str, sentence: str) -> None:
    with pytest.raises(ParseError) as e:
        parse(text)
    assert str(e.value).startswith(f"{place}: ")
    assert sentence in str(e.value)
    assert f"{e.value.line}:{e.value.column}" == place


def test_a_parse_error_shows_the_span_and_a_remedy() -> None:
    with pytest.raises(ParseError) as e:
        parse("grad.func @f(%x: tensor<4xf32>) -> (tensor<4xf32>) {\n  %0 = grad.mull %x, %x : tensor<4xf32>\n")
    assert str(e.value).splitlines() == [
        "2:8: unknown op 'grad.mull'",
        "    %0 = grad.mull %x, %x : tensor<4xf32>",
        "         ^^^^^^^^^",
        "  hint: did you mean grad.mul?",
    ]


def test_a_long_line_is_cut_around_the_error() -> None:
    text = f"grad.func @f() attributes {{{', '.join(f'a{i} = {i}' for i in range(500))}, b = !, c = 1}} {{"
    with pytest.raises(ParseError) as e:
        parse(text)
    _, source, caret = str(e.value).splitlines()[:3]
    assert len(source) < 110
    assert source[caret.index("^")] == "!"


def test_a_stated_type_that_is_not_the_rule_is_an_error_with_the_line() -> None:
    text = """grad.func @f(%x: tensor<4xf32>) -> (tensor<5xf32>) {
        %0 = grad.exp %x : (tensor<4xf32>) -> tensor<5xf32>
        gradc.return %0 : tensor<5xf32>
    }"""
    with pytest.raises(
        VerifyError, match=r"law 6: grad\.exp: %0 is a tensor<5xf32>, the type rule gives tensor<4x"
    ) as e:
        parse(text)
    assert (e.value.law, e.value.line) == (6, 2)


def test_a_broken_law_of_a_module_or_region_has_a_line() -> None:
    with pytest.raises(VerifyError, match=r"law 11: module: no graph is named 'g', the entry\n  at line 2") as e:
        parse("// a comment\ngradc.module @g { grad.func @f() { gradc.return } }")
    assert (e.value.law, e.value.line) == (11, 2)
    called = """"grad.func"() ({
    ^bb0(%x: tensor<4xf32>):
      %0 = "grad.call"(%x) ({
      ^bb1(%y: tensor<4xi64>):
        "gradc.return"(%y) : (tensor<4xi64>) -> ()
      }) {regions = [{arg_attrs = [{requires_grad = true}], res_attrs = [{}]}]} : (tensor<4xf32>) -> tensor<4xi64>
      "gradc.return"() : () -> ()
    }) {sym_name = "f"} : () -> ()"""
    with pytest.raises(VerifyError, match=r"^law \d+: ") as e:
        parse(called)
    assert e.value.line == 3


def test_attributes_nest_as_deep_as_the_law_allows_in_both_forms() -> None:
    for depth, allowed in ((63, True), (64, False)):
        value: Any = 1.5
        for _ in range(depth):
            value = ("s", value)
        m = everything()
        m.graphs["other"].attrs = {"a": value}
        next(n for n in m.main.nodes if n.regions).regions[0].attrs = {"a": value}
        if allowed:
            round_trip(m)
        else:
            with pytest.raises(VerifyError, match="law 5"):
                verify(m)


def test_what_cannot_be_written_is_refused_by_name() -> None:
    g = Graph("f")
    for value, error in ((None, GradTypeError), (1 + 2j, GradTypeError), ([1], GradTypeError), (2**64, GradValueError)):
        g.attrs = {"a": value}
        with pytest.raises(error):
            str(g)
    with pytest.raises(GradTypeError, match="expected text, got bytes"):
        parse(b"")  # type: ignore[arg-type]


def test_a_broken_graph_still_prints() -> None:
    g = everything().main
    g.nodes[0].operands = (99, 0)
    with pytest.raises(IndexError):
        str(g)
    g.nodes[0].operands = (len(g.types) - 1, 0)
    assert "grad.mul %?" in str(g)


def test_mlirs_other_spellings_are_read() -> None:
    m = parse(
        """
        #loc1 = loc("a.py":3:4)
        // a comment
        module @f attributes {gradc.state = "traced", gradc.version = 1 : i64} {
          "grad.func"() <{sym_name = "f"}> ({
          ^bb0(%arg0: tensor<2xf32> loc("x.mlir":1:1)):
            %0 = "grad.dense"() {value = dense<[0xFF800000, 1.5]> : tensor<2xf32>} : () -> tensor<2xf32> loc(#loc1)
            %1 = "grad.dense"() {value = dense<true> : tensor<2x2xi1>} : () -> tensor<2x2xi1> loc(#loc2)
            %2 = "grad.dense"() {value = dense<"0x0B"> : tensor<4xi1>} : () -> tensor<4xi1>
            %3 = "grad.dense"() {value = dense<"0x0000803F"> : tensor<3xf32>} : () -> tensor<3xf32>
            %4 = "grad.constant"() {dtype = f32, value = 1.000000e-01 : f32} : () -> tensor<f32>
            %5 = "grad.constant"() {dtype = f32, value = 2} : () -> tensor<f32>
            "gradc.return"(%arg0) : (tensor<2xf32>) -> () loc(unknown)
          }) {arg_attrs = [{name = "x"}]} : () -> () loc(#loc1)
        } loc(unknown)
        #loc2 = loc(unknown)
        """
    )
    nodes = m.main.nodes
    values = [n.attrs["value"] for n in nodes]
    assert values[0] == Dense(np.array([-np.inf, 1.5], np.float32).tobytes(), (2,), f32)
    assert values[1] == Dense(b"\1\1\1\1", (2, 2), i1)
    assert values[2] == Dense(b"\1\1\0\1", (4,), i1)
    assert values[3] == Dense(np.ones(3, np.float32).tobytes(), (3,), f32)
    assert values[4:] == [0.1, 2]
    assert str(nodes[0].loc) == "a.py:3"
    assert nodes[1].loc is None
    assert m.main.names == {0: "x"}


def test_numbered_groups_and_mixed_names() -> None:
    text = (
        "grad.func @f(%x: tensor<2x3xf32>) -> (tensor<2xf32>) {\n"
        "  %best, %0 = grad.max %x {dim = 1 : i64} : (tensor<2x3xf32>) -> (tensor<2xf32>, tensor<2xi64>)\n"
        "  %1:2 = grad.max %x {dim = 1 : i64} : (tensor<2x3xf32>) -> (tensor<2xf32>, tensor<2xi64>)\n"
        "  %2 = grad.add %best, %1#0 : tensor<2xf32>\n"
        "  gradc.return %2 : tensor<2xf32>\n"
        "}\n"
    )
    g = parse_graph(text)
    assert str(g) == text
    assert list(g.names.values()) == ["x", "best"]


def test_no_record_uses_a_name_of_the_text() -> None:
    assert not [op.name for op in REGISTRY.values() if not op.attrs.keys().isdisjoint(RESERVED)]


def test_the_documented_grammar_is_read() -> None:
    text = (Path(__file__).parent.parent / "docs" / "ir.md").read_text()
    blocks = [b.split("```")[0] for b in text.split("```mlir\n")[1:]]
    assert blocks
    for block in blocks:
        assert str(parse(block)) == block


def test_nested_regions_number_on() -> None:
    text = str(Module("traced", {"f1": nested(1, "func"), "other": nested(1, "func")}, "f1"))
    assert "%x_1: tensor<f32>" in text
    assert tensor((), f32) in parse(text, check=False).main.types
