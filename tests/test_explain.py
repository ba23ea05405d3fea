"""Explanations are total: every edge, every adjoint that was not made, every parameter without a gradient."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from explained import PROGRAMS, SIMPLIFY, built, check_total
from fuzz_graphs import grow

import gradc as gc
from gradc.cli import main
from gradc.explanation import Explanation
from gradc.passes.adjoint import active_values, adjoint
from gradc.passes.edges import MEANING
from gradc.passes.fuse import REASONS
from gradc.passes.pipeline import run_pipeline
from gradc.passes.remarks import KINDS


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_edge_is_fused_or_has_one_reason(name: str, split: bool) -> None:
    for half in built(name, split).halves:
        check_total(run_pipeline(half, SIMPLIFY).module)


def test_reasons_are_a_closed_list_and_most_are_met() -> None:
    assert set(MEANING) == set(REASONS)
    met: Counter[str] = Counter()
    for name in PROGRAMS:
        met += check_total(run_pipeline(built(name).joint, SIMPLIFY).module)
    assert {"whole operand needed", "reduction finishes in another kernel", "axis conflict"} <= set(met)


def test_every_edge_of_random_programs(rng: np.random.Generator) -> None:
    for _ in range(12):
        module = run_pipeline(grow(rng, 25).module, f"inline,adjoint{{cotangents=inputs}},{SIMPLIFY}").module
        check_total(module)


def cuts(x, w, frozen, unused):
    h = gc.tanh(x @ w)
    dead = h.exp() * 3
    _ = dead + 1
    with gc.no_grad():
        scale = (h * frozen).sum()
    with_detach = h.detach() * h
    top = h.argmax(1)
    return (with_detach * scale).sum() + top.float().sum() + (frozen * 2).sin().sum()


def cuts_program() -> gc.Program:
    s = [gc.spec("f32[6,4]"), gc.spec("f32[4,5]", requires_grad=True), gc.spec("f32[5]")]
    return gc.build(cuts, *s, gc.spec("f32[3]", requires_grad=True), name="f")


def line(text: str) -> str:
    """The place in this file of the line that holds a text."""
    import os

    with open(__file__) as f:
        n = next(i for i, source in enumerate(f, 1) if text in source)
    return f"{os.path.relpath(__file__)}:{n}"


def test_cuts_name_their_cause_with_bytes_and_flops() -> None:
    program = cuts_program()
    found = {(r.subject, r.reason) for r in program.remarks if r.kind == "cut"}
    no_grad, detach = f"no_grad {line('scale = (h * frozen)')}", f"detach at {line('with_detach = h')}"
    for subject, reason in (
        ("adjoint of mm in x", "frozen argument x"),
        ("adjoint of exp in h", "unused output"),
        ("adjoint of mul in h", no_grad),
        ("adjoint of sum in self", no_grad),
        ("adjoint of mul in self", detach),
        ("adjoint of mul in scale", no_grad),
        ("adjoint of sin in self", "frozen argument frozen"),
    ):
        assert (subject, reason) in found, (subject, reason, found)
    (mm,) = [r for r in program.remarks if r.subject == "adjoint of mm in x"]
    assert mm.numbers == {"ops": 1, "bytes": 6 * 4 * 4, "flops": 2 * 6 * 5 * 4}
    assert str(mm.loc) == line("h = gc.tanh(x @ w)")
    deleted = {(r.subject, r.reason): r.numbers for r in program.remarks if r.kind == "deleted"}
    assert deleted["exp", "unused output"] == {"ops": 1, "bytes": 6 * 5 * 4, "flops": 6 * 5}
    assert deleted["add", "unused output"]["ops"] == 1


def test_every_rule_that_was_not_applied_is_remarked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted apart from the pass: the rules applied, those remarked, and those of constants are all there are."""
    import gradc.passes.adjoint as module

    applied = []
    right = module.pullback
    monkeypatch.setattr(module, "pullback", lambda b, op, i, *rest: applied.append(op) or right(b, op, i, *rest))
    traced = cuts_program().stages.modules["traced"]
    applied.clear()
    remarks: list = []
    joint = adjoint(traced, remarks).main
    n = joint.attrs["forward_nodes"]
    moving = active_values(joint, joint.inputs)
    for node in joint.nodes[:n]:
        for r in node.results:
            moving[r] = moving[r] or any(moving[o] for o in node.operands) or node.op.name == "grad.detach"
    rules = 0
    for node in traced.main.nodes:
        for i, o in enumerate(node.operands):
            has = node.op.operand_name(i) in node.op.adjoint and "detach" not in node.op.traits
            rules += has and traced.main.types[o].dtype.is_float and moving[o]
    remarked = sum(r.numbers["ops"] for r in remarks if r.kind == "cut")
    assert rules == len(applied) + remarked
    assert remarked >= 10


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (lambda w: gc.ones(3).sum(), "unused input"),
        (lambda w: (w * 2, gc.ones(3).sum())[1], "unused output"),
        (lambda w: w.detach().sum(), "detach at "),
        (lambda w: (w > 0).float().sum(), "gt at "),
        (lambda w: w.argmax().float(), "argmax at "),
    ],
)
def test_a_parameter_without_gradient_has_a_warning(fn, reason: str) -> None:
    program = gc.build(fn, gc.spec("f32[3]", requires_grad=True), name="f")
    (remark,) = [r for r in program.remarks if r.kind == "no-gradient"]
    assert remark.subject == "w"
    assert remark.reason.startswith(reason)
    text = str(Explanation(program))
    assert f"warning: w ends without a gradient: {remark.reason}" in text


def test_calls_are_opened_before_forward_nodes_are_counted() -> None:
    text = """
grad.func @f(%x: tensor<4xf32> {requires_grad = true}) -> (tensor<f32>) {
  %0 = grad.exp %x : tensor<4xf32>
  %1 = grad.sum %0 {dims = array<i64: 0>, keepdim = false} : (tensor<4xf32>) -> tensor<f32>
  gradc.return %1 : tensor<f32>
}
"""
    module = gc.ir.parse(text)
    joint = run_pipeline(module, "adjoint").module
    assert joint.main.attrs["forward_nodes"] >= 2


def test_unused_operations_of_a_traced_module() -> None:
    text = """
grad.func @f(%x: tensor<4xf32>) -> (tensor<4xf32>) {
  %0 = grad.exp %x : tensor<4xf32> loc("a.py":1:0)
  %1 = grad.exp %0 : tensor<4xf32> loc("a.py":2:0)
  %2 = grad.exp %1 : tensor<4xf32> loc("a.py":2:0)
  gradc.return %0 : tensor<4xf32>
}
"""
    (remark,) = run_pipeline(gc.ir.parse(text), "dce").remarks
    assert str(remark) == "a.py:2: deleted: exp: unused output (ops 2, bytes 32, flops 8)"


def test_explanation_as_text_and_data() -> None:
    explanation = Explanation(cuts_program())
    text = str(explanation)
    for part in ("launches", "not fused", "cut: adjoint operations", "unused output", "tanh", "kept in memory"):
        assert part in text
    data = explanation.to_json()
    assert json.loads(json.dumps(data)) == data
    ops = {op["op"] for launch in data["launches"] for op in launch["ops"]}
    assert {"contract", "tanh", "argmax"} & ops
    assert {r["kind"] for r in data["remarks"]} <= set(KINDS)
    assert {k["kernel"] for k in data["launches"]} == {k.name for k in explanation.program.kernels}


@pytest.mark.parametrize("split", [False, True])
def test_launches_hold_every_operation(split: bool) -> None:
    explanation = Explanation(built("mlp", split))
    for placement in explanation.placements:
        held = {i for launch in placement.launches for i in (*launch.nodes, *launch.repeated, *launch.finishes)}
        for i, node in enumerate(placement.graph.nodes):
            assert i in held or i in placement.views or node.op.name in ("grad.dense", "grad.constant")


def test_command_line(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "m.py").write_text(
        "import gradc as gc\n"
        "def f(w, b):\n"
        "    h = gc.sigmoid(w) * b.detach()\n"
        "    return (h @ h).sum()\n"
        'gradc_args = {"f": ["f32[4,4]!", "f32[4]!"]}\n'
    )
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "m.py:f"]) == 0
    out = capsys.readouterr().out
    assert "warning: b ends without a gradient: detach at m.py:3" in out
    assert any("sigmoid" in line and "mul" in line for line in out.splitlines() if line.startswith("    m.py:3"))
    assert "whole operand needed" in out
    assert main(["explain", "m.py:f", "--kind", "no-gradient"]) == 0
    out = capsys.readouterr().out
    assert "warning" in out
    assert "launches" not in out.splitlines()
    assert main(["explain", "m.py:f", "--json", "--kind", "cut"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {r["kind"] for r in data["remarks"]} == {"cut"}
