"""The check of passes by execution: right passes pass, planted wrong ones are named and shrunk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from explained import PROGRAMS

import gradc as gc
from gradc.ir import Graph, GraphBuilder, Loc, Module, Node, f32, tensor
from gradc.ir.op import REGISTRY
from gradc.ir.rewrite import Rewriter
from gradc.passes.draws import DRAWS, array
from gradc.passes.numerics import Checker, differs
from gradc.passes.pipeline import PIPELINE, Pass, run_pipeline
from gradc.passes.reduce import reduce_module, subset, with_outputs, without_unread
from gradc.passes.reduce_shapes import resized, smaller_shapes

SMALL = ("norm", "attention", "huber", "turned", "gathered", "siblings", "half", "same twice")
Edit = Callable[[Rewriter, Node], bool]


def traced(name: str) -> Module:
    fn, specs = PROGRAMS[name]
    small = [gc.spec(_small(s.shape), s.dtype, requires_grad=s.requires_grad) for s in specs]
    return gc.build(fn, *small, name="f").stages.modules["traced"]


def _small(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Dims of at most 16, equal ones still equal."""
    return tuple(n if n <= 16 else 10 + n % 7 for n in shape)


def wrong(edit: Edit) -> Callable[[Module, list[Any]], Module]:
    """A pass that copies, but for what `edit` does to a node (it returns True if it has replaced it)."""

    def run(module: Module, remarks: list[Any]) -> Module:
        r = Rewriter(module.main)
        for node in module.main.nodes:
            if not edit(r, node):
                r.copy(node)
        return module.with_main(r.finish())

    return run


def exp_of_negative(r: Rewriter, node: Node) -> bool:
    """exp(x) -> exp(-x)"""
    if node.op.name != "grad.exp":
        return False
    b = r.at(node)
    r.replace(node, (b.exp(-r.vars(node)[0]),))
    return True


def sub_swapped(r: Rewriter, node: Node) -> bool:
    """a - b -> b - a, after a product: two operations are needed to see it"""
    if node.op.name != "grad.sub":
        return False
    made = {v: n for n in r.graph.nodes for v in n.results}
    x, y = r.vars(node)
    if not (y.v in made and made[y.v].op.name == "grad.mul"):
        return False
    r.at(node)
    r.replace(node, (y - x,))
    return True


def zero_times(r: Rewriter, node: Node) -> bool:
    """x - x -> 0: wrong for NaN and infinity only"""
    if node.op.name != "grad.sub" or node.operands[0] != node.operands[1]:
        return False
    t: Any = r.source.types[node.results[0]]
    r.replace(node, (r.at(node).full(shape=t.shape, value=0.0, dtype=t.dtype),))
    return True


def max_first(r: Rewriter, node: Node) -> bool:
    """maximum(a, b) -> where(a >= b, a, b): drops a NaN on the left"""
    if node.op.name != "grad.maximum":
        return False
    b = r.at(node)
    x, y = r.vars(node)
    r.replace(node, (b.where(x >= y, x, y),))
    return True


@pytest.mark.parametrize("name", SMALL)
def test_the_passes_keep_the_meaning_of_programs(name: str, seed: int) -> None:
    module, checker = traced(name), Checker(seed)
    for row in PIPELINE:
        after = run_pipeline(module, [row], verify=True).module
        assert checker.check(row, module, after) is None
        module = after


def decomposed(fn: Any, *specs: Any) -> Module:
    return run_pipeline(gc.build(fn, *specs, name="f").joint, "decompose").module


def x_and_y() -> list[Any]:
    return [gc.spec("f32[6,5]", requires_grad=True), gc.spec("f32[6,5]", requires_grad=True)]


def deep(x: Any, y: Any) -> Any:
    a = gc.tanh(x * y).sum(0)
    for _ in range(12):
        x = gc.sin(x) + y
    z = gc.maximum(x, y) - x * 2
    return (gc.exp(z * 0.1) * a).mean() + gc.nn.functional.softmax(z, 1).pow(2).sum() + (x - x).sum()


@pytest.mark.parametrize(
    ("edit", "op", "most"),
    [(exp_of_negative, "exp", 1), (sub_swapped, "sub", 2), (zero_times, "sub", 1), (max_first, "maximum", 1)],
)
def test_a_wrong_rewrite_is_named_and_shrunk(edit: Edit, op: str, most: int) -> None:
    module = decomposed(deep, *x_and_y())
    row = Pass("cse", wrong(edit), ("decomposed",))
    finding = Checker().check(row, module, row.run(module, []))
    assert finding is not None
    assert len(module.main.nodes) > 60
    assert len(finding.reduced.main.nodes) <= most
    assert finding.node is not None
    assert finding.node.op.short == op
    assert {d for t in finding.reduced.main.types for d in t.shape} <= {1, 2}
    assert str(finding).startswith("pass cse changed what the program computes")
    assert f"grad.{op} at test_numerics.py" in str(finding) or f"grad.{op} at tests/test_numerics.py" in str(finding)


def test_a_wrong_kernel_is_found() -> None:
    module = run_pipeline(gc.build(deep, *x_and_y(), name="f").joint, "decompose,simplify,cse,dce").module

    def fuse(m: Module, remarks: list[Any]) -> Module:
        right = next(p for p in PIPELINE if p.name == "fuse").run(m, remarks)
        for g in right.graphs.values():
            for k, node in enumerate(g.nodes):
                if node.op.name in ("tile.exp", "tile.exp2"):
                    g.nodes[k] = Node(REGISTRY["tile.neg"], node.operands, {}, node.results, node.loc)
        return right

    row = Pass("fuse", fuse, ("simplified",), "scheduled")
    finding = Checker().check(row, module, fuse(module, []))
    assert finding is not None
    assert len(finding.reduced.main.nodes) == 1
    assert finding.node is not None
    assert finding.node.op.short in ("exp", "tanh")


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adjoint of tanh loses a factor: only differences of the value can tell."""
    op = REGISTRY["grad.tanh"]
    half = replace(op, adjoint={"self": lambda b, ct, result: ct * (1 - result * result) * 0.5})
    monkeypatch.setitem(REGISTRY, "grad.tanh", half)

    def f(x: Any) -> Any:
        return (gc.sin(x) * 3).tanh().pow(2).sum()

    module = gc.build(f, gc.spec("f32[7]", requires_grad=True), name="f").stages.modules["traced"]
    for node in module.main.nodes:
        if node.op is op:
            node.op = half
    row = next(p for p in PIPELINE if p.name == "adjoint")
    finding = Checker().check(row, module, row.run(module, []))
    assert finding is not None
    assert "gradient of x" in finding.mismatch.label
    assert "by differences" in finding.mismatch.message
    assert [n.op.short for n in finding.reduced.main.nodes] == ["tanh"]


def test_gradients_stop_where_the_program_says_so() -> None:
    def f(x: Any, y: Any) -> Any:
        with gc.no_grad():
            s = (x * y).sum()
        return (x.detach() * y).sum() + s * x.sum() + gc.floor(x).sum() + x.relu().sum()

    module = gc.build(f, *x_and_y(), name="f").stages.modules["traced"]
    after = run_pipeline(module, "adjoint").module
    assert Checker().compare(module, after) is None


def test_a_pass_that_loses_outputs() -> None:
    module = decomposed(deep, *x_and_y())
    less = with_outputs(module, [0])
    found = Checker().compare(module, less)
    assert found is not None
    assert found.message == "there are fewer of them"


def test_a_pass_that_makes_a_program_refuse_its_inputs() -> None:
    module = decomposed(lambda x: x[2:5].sum(), gc.spec("f32[8]"))

    def late(r: Rewriter, node: Node) -> bool:
        if node.op.name != "grad.slice":
            return False
        index = r.at(node).full(shape=(3,), value=9, dtype=gc.int64)
        r.replace(node, (r.b.take(r.vars(node)[0], index, dim=0),))
        return True

    found = Checker().compare(module, wrong(late)(module, []))
    assert found is not None
    assert "after the pass" in found.message


@pytest.mark.parametrize(
    ("want", "have", "same"),
    [
        ([1.0, 2.0], [1.0, 2.00001], True),
        ([1.0, 2.0], [1.0, 2.01], False),
        ([np.nan, 2.0], [np.nan, 2.0], True),
        ([np.nan, 2.0], [0.0, 2.0], False),
        ([np.inf, 2.0], [-np.inf, 2.0], False),
        ([np.inf, 2.0], [np.inf, 2.0], True),
        ([1.0, 2.0], [1.0, np.nan], False),
        ([], [], True),
    ],
)
def test_differences(want: list[float], have: list[float], same: bool) -> None:
    a, b = np.array(want, np.float32), np.array(have, np.float32)
    assert (differs(a, b, a.astype(np.float64)) is None) == same


def test_shape_dtype_and_integers_must_be_equal() -> None:
    a = np.arange(3, dtype=np.int64)
    assert differs(a, a + 1, a) == "0 before, 1 after at [0] (3 of 3 elements)"
    assert differs(a, a.astype(np.int32), a) == "int64[3] before, int32[3] after"


def test_what_rounding_explains_is_no_difference() -> None:
    """1e8 + 1 - 1e8 in f32: the float64 shadow says how much may be off."""
    want, wide = np.array([0.0], np.float32), np.array([1.0])
    assert differs(want, np.array([1.0], np.float32), wide) is None
    assert differs(want, np.array([1.0], np.float32), np.array([0.0])) is not None


def test_draws_fit_their_types(rng: np.random.Generator) -> None:
    for name in DRAWS:
        for t in (tensor((3, 2), f32), tensor((), f32), tensor((0, 4), f32)):
            a = array(name, rng, t)
            assert (a.shape, a.dtype) == (t.shape, np.float32)


def chain(n: int) -> Module:
    g = Graph("f")
    b = GraphBuilder(g)
    x = b.var(g.add_input(tensor((4,), f32), "x", requires_grad=True))
    for i in range(n):
        b.loc = Loc("chain.py", i + 1)
        x = b.exp(x) if i == n // 2 else b.sin(x)
    g.add_output(x.v, role="value")
    return Module("traced", {"f": g}, "f")


def test_reduction_keeps_what_fails_and_little_else() -> None:
    module = chain(500)
    runs = 0

    def fails(m: Module) -> bool:
        nonlocal runs
        runs += 1
        return any(n.op.short == "exp" for n in m.main.nodes)

    small = reduce_module(module, fails)
    assert [n.op.short for n in small.main.nodes] == ["exp"]
    assert [str(n.loc) for n in small.main.nodes] == ["chain.py:251"]
    assert len(small.main.inputs) == 1
    assert runs < 100


def test_reduction_of_two_operations_far_apart() -> None:
    module = chain(64)
    lines = {3, 60}
    small = reduce_module(module, lambda m: lines <= {n.loc.line for n in m.main.nodes if n.loc})
    assert {n.loc.line for n in small.main.nodes if n.loc} == lines


def test_axes_become_as_short_as_the_failure_allows() -> None:
    def f(x: Any, y: Any) -> Any:
        return (x[2:9:3].permute(1, 0) @ y).sum(1).reshape(7, 1) * gc.full((7, 5), 2.0)

    module = gc.build(f, gc.spec("f32[11,7]"), gc.spec("f32[3,4]"), name="f").stages.modules["traced"]
    for least in (1, 3):
        small = smaller_shapes(module, lambda m, least=least: m.main.types[m.main.outputs[0]].shape[0] >= least)
        gc.ir.verify(small)
        assert small.main.types[small.main.outputs[0]].shape == (least, 1)
        assert [n.op.short for n in small.main.nodes] == [n.op.short for n in module.main.nodes]
        assert [str(n.loc) for n in small.main.nodes] == [str(n.loc) for n in module.main.nodes]
        assert small.main.input_attrs == module.main.input_attrs
    assert smaller_shapes(module, lambda m: False) is module


def test_what_has_no_other_shape_keeps_its_own() -> None:
    def f(x: Any) -> Any:
        return x.reshape(6) * gc.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

    module = gc.build(f, gc.spec("f32[2,3]"), name="f").stages.modules["traced"]
    assert resized(module, {3: 1}) is None
    scheduled = run_pipeline(module, "decompose,simplify,fuse").module
    assert resized(scheduled, {3: 1}) is None
    assert smaller_shapes(scheduled, lambda m: True) is scheduled


def test_what_the_program_hides_is_found_in_a_part() -> None:
    """exp(x) -> min(exp(x), 1e30) cannot be seen where the sum of exponentials is thrown away."""

    def edit(r: Rewriter, node: Node) -> bool:
        if node.op.name != "grad.exp":
            return False
        b = r.at(node)
        r.replace(node, (b.minimum(b.exp(r.vars(node)[0]), 1e30),))
        return True

    module = decomposed(lambda x: gc.minimum(gc.exp(x), gc.sin(x)).sum(), gc.spec("f32[6,5]"))
    finding = Checker().check(Pass("cse", wrong(edit), ("decomposed",)), module, wrong(edit)(module, []))
    assert finding is not None
    assert finding.part
    assert "  in a part of the program, output 0 (value): inf before, 1e+30 after" in str(finding)
    assert [n.op.short for n in finding.reduced.main.nodes] == ["exp"]


def test_subsets_are_programs() -> None:
    module = decomposed(deep, *x_and_y())
    for kept in ([0], [5, 6, 7], list(range(0, 60, 3))):
        small = subset(module, kept)
        gc.ir.verify(small)
        assert len(small.main.nodes) == len(kept)
        assert str(gc.ir.parse(str(small))) == str(small)
    gc.ir.verify(without_unread(with_outputs(module, [1])))


def test_reduction_stops_at_its_time() -> None:
    module = chain(50)
    assert reduce_module(module, lambda m: True, seconds=0.0) is module
