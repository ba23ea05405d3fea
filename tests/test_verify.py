"""Every law of the verifier has a case that breaks it, and its error names the law, the op, the value and the line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from ir_programs import chain, everything, kernel_modules, op_modules

from gradc.ir import (
    Dense,
    Graph,
    GraphBuilder,
    Loc,
    Module,
    Node,
    VerifyError,
    dtype,
    f32,
    i1,
    i64,
    parse,
    tensor,
    verify,
)
from gradc.ir.laws_node import KIND_CHECKS
from gradc.ir.op import REGISTRY, Op
from gradc.ir.tile import Group, batch, resident, set_groups, spread
from gradc.ir.types import BufferType, tile


def small() -> tuple[Graph, Any]:
    """x -> exp, with a location, and its builder."""
    g = Graph("f")
    b = GraphBuilder(g)
    x = b.var(g.add_input(tensor((4,), f32), "x", requires_grad=True))
    b.loc = Loc("loss.py", 7)
    y = b.exp(x)
    g.names[y.v] = "h"
    g.add_output(y.v, role="value")
    return g, b


def refused(law: int, sentence: str, what: Graph | Module, state: str | None = None) -> VerifyError:
    with pytest.raises(VerifyError, match=re.escape(sentence)) as e:
        verify(what, state)
    assert e.value.law == law
    assert str(e.value).startswith(f"law {law}: ")
    return e.value


def test_sound_graphs_pass() -> None:
    verify(small()[0])
    verify(small()[0], "traced")
    verify(everything())
    verify(chain(10))


def test_every_sample_of_the_table_and_every_kernel_passes() -> None:
    for _, m in op_modules():
        verify(m)
    for _, m in kernel_modules():
        verify(m)


def test_the_error_has_the_users_line() -> None:
    g, _ = small()
    g.nodes[0].operands = (1,)
    e = refused(1, "grad.exp: operand %h is not defined before this use", g)
    assert str(e).splitlines()[1] == "  at loss.py:7"
    assert e.subject is g.nodes[0]


def edit(change: Callable[[Graph], Any]) -> Callable[[], Graph]:
    def make() -> Graph:
        g, _ = small()
        change(g)
        return g

    return make


def node(g: Graph, name: str, operands: tuple[int, ...], attrs: dict[str, Any], *types: Any, regions: Any = ()) -> None:
    start = len(g.types)
    g.types.extend(types)
    results = tuple(range(start, start + len(types)))
    g.nodes.append(Node(REGISTRY[name], operands, attrs, results, Loc("loss.py", 9), False, regions))


T = tensor((4,), f32)
STRANGER = Op("grad.stranger", "elementwise", ("self",), ("result",), lambda x: x)


def region(*inputs: Any) -> Graph:
    g = Graph("r", "region")
    for t in inputs:
        g.add_output(g.add_input(t))
    return g


GRAPHS: list[tuple[int, str, Callable[[Graph], Any]]] = [
    (1, "operand %?9", lambda g: setattr(g.nodes[0], "operands", (9,))),
    (1, "operand %?-1", lambda g: setattr(g.nodes[0], "operands", (-1,))),
    (2, "result %x_1 is defined twice", lambda g: setattr(g.nodes[0], "results", (0,))),
    (2, "result %?5 has no type", lambda g: setattr(g.nodes[0], "results", (5,))),
    (2, "input %x_1 is defined twice", lambda g: (g.inputs.append(0), g.input_attrs.append(g.input_attrs[0]))),
    (2, "input %?7 has no type", lambda g: g.inputs.__setitem__(0, 7)),
    (3, "grad.stranger: this op is not in the table", lambda g: setattr(g.nodes[0], "op", STRANGER)),
    (4, "grad.add: expected operands (self, other), got 1", lambda g: node(g, "grad.add", (0,), {}, T)),
    (4, "grad.exp: expected results (result), got 2", lambda g: node(g, "grad.exp", (0,), {}, T, T)),
    (5, "attribute 'dims' is missing", lambda g: node(g, "grad.sum", (0,), {"keepdim": True}, T)),
    (5, "unknown attribute 'dim', known are none", lambda g: node(g, "grad.exp", (0,), {"dim": 1}, T)),
    (5, "attribute 'names' is the text's own", lambda g: node(g, "grad.exp", (0,), {"names": ("a",)}, T)),
    (5, "attribute 'dims' takes ints, got 1", lambda g: node(g, "grad.sum", (0,), {"dims": 1, "keepdim": True}, T)),
    (5, "attribute 'keepdim' takes bool", lambda g: node(g, "grad.sum", (0,), {"dims": (0,), "keepdim": 1}, T)),
    (5, "'dtype' takes dtype, got 'f32'", lambda g: node(g, "grad.convert", (0,), {"dtype": "f32"}, T)),
    (5, "holds something that is no attribute", lambda g: g.attrs.update(a=None)),
    (5, "holds something that is no attribute", lambda g: g.input_attrs[0].update(a=[1])),
    (5, "holds something that is no attribute", lambda g: g.output_attrs[0].update(a=2**64)),
    (
        6,
        "%0 is a tensor<5xf32>, the type rule gives tensor<4xf32>",
        lambda g: node(g, "grad.exp", (0,), {}, tensor((5,), f32)),
    ),
    (6, "is invalid for input of size 4", lambda g: node(g, "grad.reshape", (0,), {"shape": (5,)}, tensor((5,), f32))),
    (7, "%0 is a !tile.v<x, f32>", lambda g: node(g, "grad.exp", (0,), {}, tile("x", f32))),
    (
        7,
        "negative extent",
        lambda g: node(g, "grad.full", (), {"shape": (-1,), "value": 1, "dtype": f32}, tensor((-1,), f32)),
    ),
    (7, "more than 64", lambda g: g.add_input(tensor((1,) * 65, f32))),
    (8, "this op has no regions", lambda g: node(g, "grad.exp", (0,), {}, T, regions=(region(T),))),
    (8, "expected one region, got 0", lambda g: node(g, "grad.call", (0,), {"callee": "r"}, T)),
    (
        8,
        "the region's inputs are (), the node has (tensor<4xf32>)",
        lambda g: node(g, "grad.call", (0,), {"callee": "r"}, regions=(region(),)),
    ),
    (
        8,
        "the region's outputs are (tensor<4xf32>)",
        lambda g: node(g, "grad.call", (0,), {"callee": "r"}, regions=(region(T),)),
    ),
    (9, "cannot stand in a graph of kind 'func'", lambda g: node(g, "tile.neg", (0,), {}, T)),
    (10, "output %?6 is no value", lambda g: g.outputs.__setitem__(0, 6)),
    (10, "1 inputs have 0 dictionaries", lambda g: g.input_attrs.clear()),
    (10, "1 outputs have 0 dictionaries", lambda g: g.output_attrs.clear()),
    (10, "is named 'x', its attribute says 'y'", lambda g: g.input_attrs[0].update(name="y")),
    (10, "cannot require a gradient", lambda g: g.add_input(tensor((), i64), "n", requires_grad=True)),
    (10, "gradient %h is of 3", lambda g: g.output_attrs[0].update(role="grad", of=3)),
    (
        10,
        "gradient %0 is a tensor<f32>, its input a tensor<4xf32>",
        lambda g: (
            node(g, "grad.constant", (), {"value": 1.0, "dtype": f32}, tensor((), f32)),
            g.add_output(2, role="grad", of=0),
        ),
    ),
    (10, "kind 'loop' is none of", lambda g: setattr(g, "kind", "loop")),
]


@pytest.mark.parametrize(("law", "sentence", "change"), GRAPHS, ids=[f"{law}: {s}" for law, s, _ in GRAPHS])
def test_a_broken_graph_is_refused(law: int, sentence: str, change: Callable[[Graph], Any]) -> None:
    g, _ = small()
    change(g)
    refused(law, sentence, g)
    refused(law, sentence, Module("traced", {"f": g}, "f"))


def test_a_type_rule_that_breaks_is_the_verifiers_error(monkeypatch: pytest.MonkeyPatch) -> None:
    op = Op("grad.stranger", "elementwise", ("self",), ("result",), lambda x: x.shape[9])
    monkeypatch.setitem(REGISTRY, op.name, op)
    g, _ = small()
    node(g, "grad.stranger", (0,), {}, T)
    refused(6, "the type rule does not take these operands and attributes (IndexError: tuple index out of range)", g)


def test_a_region_sees_nothing_of_what_is_around_it() -> None:
    g, b = small()
    inner = region(T)
    inner.nodes.append(Node(REGISTRY["grad.exp"], (1,), {}, (2,)))
    inner.types.extend([T, T])
    inner.outputs[0] = 2
    b.emit(REGISTRY["grad.call"], (0,), {"callee": "r"}, [T], (inner,))
    refused(1, "grad.exp: operand %?1 is not defined", g)


def test_states_say_which_ops_may_stand() -> None:
    g = Graph("f")
    b = GraphBuilder(g)
    x = b.var(g.add_input(tensor((4, 4), f32)))
    g.add_output(b.log_softmax(x, dim=1).v)
    for state in ("traced", "joint"):
        verify(g, state)
    for state in ("decomposed", "simplified", "scheduled", "planned"):
        refused(9, f"this composite op cannot stand in a module at state {state!r}", g, state)
    _, kernels = next(iter(kernel_modules()))
    verify(kernels)
    refused(9, "plan op cannot stand in a module at state 'simplified'", kernels, "simplified")
    del kernels.graphs["main"]
    kernels.entry = next(iter(kernels.graphs))
    refused(9, "a kernel cannot stand in a module at state 'traced'", kernels, "traced")


def test_laws_of_the_module() -> None:
    g, _ = small()
    refused(11, "state 'trased' is none of traced, joint", Module("trased", {"f": g}, "f"))
    refused(11, "no graph is named 'g'", Module("traced", {"f": g}, "g"))
    refused(11, "graph 'f' goes by the name 'g'", Module("traced", {"g": g}, "g"))
    refused(5, "no attribute", Module("traced", {"f": g}, "f", {"a": object()}))


def kernel(change: Callable[[Any], Any] | None = None, **store: Any) -> Graph:
    """out[x] = sum over r of in[x, r], 12 rows of 5, 8 rows per program."""
    g = Graph("k", "kernel")
    set_groups(g, (spread("x", (12,), 8), resident("r", (5,))))
    b = GraphBuilder(g, "tile")
    x = b.var(g.add_input(BufferType(60, f32), "x", mode="in"))
    out = b.var(g.add_input(BufferType(12, f32), "out", mode="out"))
    v = b.load(x, coeffs=((5,), (1,)), offset=0, space="rx")
    s = b.reduce(v, monoid="sum", over="r")
    b.loc = Loc("loss.py", 3)
    b.store(s, out, **{"coeffs": ((1,), (0,)), "offset": 0, **store})
    if change is not None:
        change(g)
    return g


def attrs(i: int, **more: Any) -> Callable[[Graph], Any]:
    return lambda g: setattr(g.nodes[i], "attrs", {**g.nodes[i].attrs, **more})


def regroup(*gs: Group) -> Callable[[Graph], Any]:
    return lambda g: set_groups(g, gs)


KERNELS: list[tuple[int, str, Callable[[Graph], Any]]] = [
    (20, "attribute groups holds", lambda g: g.attrs.clear()),
    (20, "attribute groups holds", lambda g: g.attrs.update(groups=3)),
    (20, "attribute groups holds", lambda g: g.attrs.update(groups=({"letter": "x"},))),
    (20, "no power of two", regroup(Group("x", (12,), 4, 1, 3), resident("r", (5,)))),
    (20, "group 'x' covers 1 * 1 * 8 of 12", regroup(Group("x", (12,), 1, 1, 8), resident("r", (5,)))),
    (20, "group 'x' is there twice", regroup(spread("x", (12,), 8), resident("x", (5,)))),
    (21, "varies over a group", regroup(spread("x", (12,), 8), resident("s", (5,)))),
    (21, "over = 'rq'", attrs(1, over="rq")),
    (22, "coeffs holds [1, 1] integers", attrs(0, coeffs=((5,),))),
    (22, "coeffs holds [1, 1] integers", attrs(2, coeffs=(1, 0))),
    (22, "program holds one coefficient per group", attrs(2, program=(1,))),
    (22, "space is 'rx', the coefficients move over 'x'", attrs(0, coeffs=((5,), (0,)))),
    (22, "0 index operands have coefficients (1,)", attrs(0, index_coeffs=(1,))),
    (23, "elements 1 to 60 are accessed in a !tile.buffer<60xf32", attrs(0, offset=1)),
    (23, "elements -55 to 4", attrs(0, coeffs=((-5,), (1,)))),
    (24, "a load reads an input buffer of mode 'in'", lambda g: g.input_attrs[0].update(mode="out")),
    (24, "a store writes an input buffer of mode 'out'", lambda g: g.input_attrs[1].update(mode="in")),
    (24, "of mode None", lambda g: g.input_attrs[0].pop("mode")),
    (24, "stored into a !tile.buffer<12xi1", lambda g: g.types.__setitem__(1, BufferType(12, i1))),
    (24, "a kernel has no outputs", lambda g: g.add_output(2)),
    (25, "unknown monoid 'mean', known are sum", attrs(1, monoid="mean")),
    (25, "a partial over 'r'", regroup(spread("x", (12,), 8), spread("r", (5,), 4))),
    (26, "the address is the same for several indices of group 'x'", attrs(2, coeffs=((0,), (0,)))),
    (26, "the 2 programs of group 'y' write the same", lambda g: _with_group(g, spread("y", (4,), 2))),
    (
        26,
        "two lanes may write the same element",
        lambda g: g.nodes.append(Node(g.nodes[2].op, g.nodes[2].operands, g.nodes[2].attrs, ())),
    ),
    (27, "12 of the 13 elements of written input 1", lambda g: g.types.__setitem__(1, BufferType(13, f32))),
    (7, "%x is a !tile.buffer<60xf32, align 16>, expected a value", lambda g: setattr(g.nodes[1], "operands", (0,))),
    (7, "%0 is a !tile.v<rx, f32>, expected a buffer", lambda g: setattr(g.nodes[2], "operands", (3, 2))),
]


def _with_group(g: Graph, group: Group) -> None:
    g.attrs["groups"] = (*g.attrs["groups"], group.to_attr())
    for i in (0, 2):
        g.nodes[i].attrs = {**g.nodes[i].attrs, "coeffs": (*g.nodes[i].attrs["coeffs"], (0,))}


@pytest.mark.parametrize(("law", "sentence", "change"), KERNELS, ids=[f"{law}: {s}" for law, s, _ in KERNELS])
def test_a_broken_kernel_is_refused(law: int, sentence: str, change: Callable[[Graph], Any]) -> None:
    verify(kernel())
    refused(law, sentence, kernel(change))


def test_stores_that_interleave_without_meeting_are_told_apart() -> None:
    def halves(shift: int) -> Graph:
        g = Graph("k", "kernel")
        set_groups(g, (spread("x", (4,), 4), resident("r", (2,))))
        b = GraphBuilder(g, "tile")
        x = b.var(g.add_input(BufferType(8, f32), "x", mode="in"))
        out = b.var(g.add_input(BufferType(16, f32), "out", mode="out"))
        v = b.load(x, coeffs=((2,), (1,)), offset=0, space="rx")
        b.store(v, out, coeffs=((4,), (1,)), offset=0)
        b.store(v, out, coeffs=((4,), (1,)), offset=shift)
        return g

    verify(halves(2))
    refused(26, "two lanes may write the same element", halves(1))


def test_a_partial_may_be_stored_by_program() -> None:
    g = Graph("k", "kernel")
    set_groups(g, (spread("r", (100,), 16),))
    b = GraphBuilder(g, "tile")
    x = b.var(g.add_input(BufferType(100, f32), "x", mode="in"))
    out = b.var(g.add_input(BufferType(7, f32), "out", mode="out"))
    s = b.reduce(b.load(x, coeffs=((1,),), offset=0, space="r"), monoid="sum", over="r")
    b.store(s, out, coeffs=((0,),), offset=0, program=(1,))
    verify(g)
    g.nodes[-1].attrs = {**g.nodes[-1].attrs, "program": (0,)}
    refused(25, "may only be stored, by program", g)
    g.nodes[-1].attrs = {**g.nodes[-1].attrs, "program": (2,)}
    refused(23, "elements 0 to 12", g)


def beside(*kernels: Graph) -> Graph:
    """Kernels of one read and one written buffer, as parts of one launch, each on buffers of its own."""
    g = Graph("both", "kernel")
    set_groups(g, (batch(kernels),))
    reads = [g.add_input(k.types[k.inputs[0]], f"x{i}", mode="in") for i, k in enumerate(kernels)]
    writes = [g.add_input(k.types[k.inputs[1]], f"out{i}", mode="out") for i, k in enumerate(kernels)]
    for k, x, out in zip(kernels, reads, writes, strict=True):
        g.nodes.append(Node(REGISTRY["tile.part"], (x, out), {}, (), regions=(k,)))
    return g


def test_parts_of_a_launch_keep_apart() -> None:
    verify(beside(kernel(), kernel()))
    g = beside(kernel(), kernel())
    g.nodes[0].regions = ()
    refused(8, "expected one region, got 0", g)
    g = beside(kernel(), kernel())
    set_groups(g, (spread("p", (3,), 1),))
    refused(30, "the parts have 4 programs", g)
    g = beside(kernel(), kernel())
    g.nodes[1].operands = (g.inputs[1], g.inputs[2])
    refused(30, "written input 2 is given 2 times, expected once", g)
    g = beside(kernel(), kernel())
    del g.nodes[1]
    set_groups(g, (batch([kernel()]),))
    refused(30, "written input 3 is given 0 times, expected once", g)
    g = beside(kernel(), kernel())
    g.input_attrs[1], g.input_attrs[2] = {"name": "x1", "mode": "in"}, {"name": "out0", "mode": "in"}
    refused(30, "a buffer of mode 'in' is given as one of mode 'out'", g)
    g = beside(kernel(), kernel())
    g.nodes.append(Node(REGISTRY["tile.constant"], (), {"value": 1.0, "dtype": f32}, (len(g.types),)))
    g.types.append(tile("", f32))
    refused(30, "a kernel with parts holds parts only", g)
    refused(26, "the address is the same for several indices", beside(kernel(), kernel(coeffs=((0,), (0,)))))


def test_launches_fit_their_kernels() -> None:
    def module() -> Module:
        g = Graph("main", "program")
        b = GraphBuilder(g)
        x = g.add_input(tensor((12, 5), f32), "x")
        (out,) = b.emit(REGISTRY["tile.launch"], (x,), {"kernel": "k"}, [tensor((12,), f32)])
        g.add_output(out)
        return Module("scheduled", {"main": g, "k": kernel()}, "main")

    verify(module())
    m = module()
    m.main.nodes[0].attrs = {"kernel": "q"}
    refused(28, "the module has no kernel 'q'", m)
    m = module()
    m.main.types[1] = tensor((13,), f32)
    refused(28, "result 0 is a tensor<13xf32>, kernel 'k' has a !tile.buffer<12xf32, align 16>", m)
    m = module()
    m.main.nodes[0].operands = (0, 0)
    refused(28, "kernel 'k' has 1 in buffers, got 2 operands", m)


def planned() -> Module:
    """Three launches in a row; the temporaries are 48 bytes each."""
    g = Graph("main", "program")
    g.attrs = {"arena_bytes": 512, "lower_bound_bytes": 512}
    b = GraphBuilder(g)
    x = g.add_input(tensor((12,), f32), "x")
    for slot in (0, 256, -1):
        (x,) = b.emit(REGISTRY["tile.launch"], (x,), {"kernel": "copy", "slots": (slot,)}, [tensor((12,), f32)])
    g.add_output(x)
    k = Graph("copy", "kernel")
    set_groups(k, (spread("x", (12,), 16),))
    kb = GraphBuilder(k, "tile")
    source = kb.var(k.add_input(BufferType(12, f32), "x", mode="in"))
    out = kb.var(k.add_input(BufferType(12, f32), "out", mode="out"))
    kb.store(kb.load(source, coeffs=((1,),), offset=0, space="x"), out, coeffs=((1,),), offset=0)
    return Module("planned", {"main": g, "copy": k}, "main")


@pytest.mark.parametrize(
    ("launch", "attrs", "sentence"),
    [
        (1, {"slots": (0,)}, "result 0 has bytes 0 to 256, of which some are in use"),
        (1, {"slots": (128,)}, "result 0 has bytes 128 to 384 of an arena of 512"),
        (1, {"slots": (512,)}, "result 0 has bytes 512 to 768 of an arena of 512"),
        (1, {"slots": (-1,)}, "result 0 is a temporary, but its slot is -1"),
        (2, {"slots": (0,)}, "result 0 is a result of the program, but its slot is 0"),
        (0, {"slots": ()}, "one number per result"),
        (0, {}, "one number per result"),
        (1, {"slots": (256,), "in_place": (0,)}, "result 0 cannot overwrite operand 0"),
        (0, {"slots": (0,), "in_place": (0,)}, "result 0 cannot overwrite operand 0"),
        (1, {"slots": (0,), "in_place": (5,)}, "result 0 cannot overwrite operand 5"),
    ],
)
def test_a_wrong_plan_is_refused(launch: int, attrs: dict[str, Any], sentence: str) -> None:
    verify(planned())
    m = planned()
    m.main.nodes[launch].attrs = {"kernel": "copy", **attrs}
    refused(29, sentence, m)


def test_a_result_may_overwrite_an_operand_that_nobody_reads_later() -> None:
    m = planned()
    m.main.nodes[1].attrs = {"kernel": "copy", "slots": (0,), "in_place": (0,)}
    verify(m)
    m.main.add_output(1)
    m.main.nodes[0].attrs = {"kernel": "copy", "slots": (-1,)}
    refused(29, "cannot overwrite", m)


def test_the_table_declares_only_known_attribute_kinds() -> None:
    wrong = [(op.name, k) for op in REGISTRY.values() for k, v in op.attrs.items() if v.rstrip("?") not in KIND_CHECKS]
    assert not wrong


def test_kinds_take_exactly_their_own() -> None:
    values = {
        "int": 3,
        "float": 1.5,
        "bool": True,
        "str": "a",
        "ints": (1, 2),
        "dtype": dtype("f32"),
        "dense": Dense(b"", (0,), f32),
        "none": None,
        "list": [1],
    }
    takes = {
        "int": {"int"},
        "float": {"float", "int"},
        "number": {"float", "int", "bool"},
        "bool": {"bool"},
        "str": {"str"},
        "ints": {"ints"},
        "dtype": {"dtype"},
        "dense": {"dense"},
        "any": values.keys() - {"none", "list"},
    }
    assert {k: {n for n, v in values.items() if check(v)} for k, check in KIND_CHECKS.items()} == takes


def test_every_law_is_listed_and_broken_here() -> None:
    from gradc.ir import verify as function

    text = __import__(function.__module__, fromlist=["x"]).__doc__
    listed = {int(n) for n in re.findall(r"^  +(\d+)  ", text, re.MULTILINE)}
    broken = {law for law, _, _ in (*GRAPHS, *KERNELS)} | {11, 28, 29, 30}
    assert listed == broken


@pytest.mark.parametrize(
    "line",
    [
        "grad.log_softmax %x {dim = 2 : i64} : tensor<4x6xf32>",
        "grad.softmax %x {dim = -3 : i64} : tensor<4x6xf32>",
        "grad.flip %x {dims = array<i64: 0, 5>} : tensor<4x6xf32>",
    ],
)
def test_axes_that_are_not_there_break_law_6(line: str) -> None:
    text = f"""grad.func @f(%x: tensor<4x6xf32>) -> (tensor<4x6xf32>) {{
      %0 = {line}
      gradc.return %0 : tensor<4x6xf32>
    }}"""
    with pytest.raises(VerifyError, match=r"law 6: grad\.\w+: dims? names axis -?\d, its tensors have 2 dim") as e:
        parse(text)
    assert e.value.line == 2
