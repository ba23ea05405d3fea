"""`gradc diff`: what changed by meaning, and nothing that did not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gradc as gc
from gradc.cli import main
from gradc.ir import Graph, GraphBuilder, Module, f16, f32, tensor
from gradc.passes.pipeline import run_pipeline
from gradc.passes.semantic_diff import Change, compare

FILE = """
import gradc as gc

def loss(w, b, x, y):
    h = gc.tanh(x @ w + b)
    k = (h * 2).sum(1)
    return ((k - y) ** 2).mean()

gradc_args = {"loss": ["f32[5,3]!", "f32[3]!", "f32[8,5]", "f32[8]"]}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(here: Path, old: str, new: str) -> None:
    assert old in FILE
    (here / "b.py").write_text(FILE.replace(old, new))


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    code = main(["diff", *argv])
    return code, capsys.readouterr().out


def diff(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, list[dict]]]:
    code, out = run(capsys, "a.py:loss", "b.py:loss", "--json", *options)
    data = json.loads(out)
    assert data["equal"] == (code == 0)
    return code, {s["state"]: s["changes"] for s in data["stages"]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    h = gc", "    # a comment\n\n    h = gc"),
        ("h = gc.tanh(x @ w + b)\n    k = (h * 2)", "hidden = gc.tanh(x @ w + b)\n    k = (hidden * 2)"),
        ("x @ w + b", "b + x @ w"),
        ("(k - y) ** 2).mean()", "(k - y) ** 2).mean()  # x"),
        ("def loss(w, b, x, y):", "def loss(w, b, x, y):\n    unused = None"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--split",)])
def test_names_order_and_lines_do_not_show(here, capsys, old, new, options) -> None:
    changed(here, old, new)
    assert run(capsys, "a.py:loss", "b.py:loss", *options) == (0, "the two programs compute the same\n")


def test_order_of_independent_operations_does_not_show() -> None:
    def f(x):
        a = x.sin()
        b = x.exp()
        return (a * b).sum()

    def g(x):
        b = x.exp()
        a = x.sin()
        return (b * a).sum()

    s = gc.spec("f32[9]", requires_grad=True)
    one, two = (gc.build(fn, s, name="f").stages.modules for fn in (f, g))
    for state in ("traced", "joint", "simplified"):
        assert compare(one[state], two[state]) == []


def test_operations_by_line_and_adjoints(here, capsys) -> None:
    changed(here, "gc.tanh(x @ w + b)", "gc.tanh(x @ w + b * 3)")
    code, states = diff(capsys)
    assert code == 1
    texts = {s: [c["text"] for c in changes] for s, changes in states.items()}
    assert "+ grad.mul at b.py:5" in texts["traced"]
    assert "+ adjoint grad.mul at b.py:5" in texts["joint"]
    assert "output 1 (gradient of w) is computed differently" in texts["joint"]
    assert not any(t.startswith("-") for t in texts["traced"])
    assert {"adjoint", "output", "op-added", "cost-bytes", "cost-flops"} <= {c["kind"] for c in states["joint"]}


def test_only_the_adjoint_changed(here, capsys) -> None:
    changed(here, "gc.tanh(x @ w + b)", "gc.tanh(x @ w.detach() + b)")
    code, states = diff(capsys)
    assert code == 1
    texts = [c["text"] for c in states["joint"]]
    assert "output 1 (gradient of w) is gone" in texts
    assert any(t.startswith("- adjoint grad.contract at a.py:5") for t in texts)
    assert not any("gradient of b" in t or "value" in t for t in texts)


def test_rewired(here, capsys) -> None:
    changed(here, "(k - y)", "(y - k)")
    _, states = diff(capsys)
    assert "~ grad.sub at b.py:7 computes from other values" in [c["text"] for c in states["traced"]]


def test_residuals(here, capsys) -> None:
    changed(here, "(h * 2).sum(1)", "(h * 2).exp().sum(1)")
    _, states = diff(capsys, "--split")
    added = [c for c in states["joint"] if c["kind"] == "residual-added"]
    assert {(c["name"], c["bytes"]) for c in added} == {("exp", 8 * 3 * 4)}
    assert [(c["old"], c["new"]) for c in states["joint"] if c["kind"] == "residual-bytes"]


def test_kernels_and_cost(here, capsys) -> None:
    changed(here, "(h * 2).sum(1)", "(h @ h.T @ h).sum(1)")
    _, states = diff(capsys)
    (kernels,) = [c for c in states["planned"] if c["kind"] == "kernels"]
    assert kernels["new"] > kernels["old"]
    assert kernels["text"].startswith(f"kernels: {kernels['old']} -> {kernels['new']} (")
    assert any(c["kind"] == "cost-bytes" and c["new"] > c["old"] for c in states["planned"])
    code, text = run(capsys, "a.py:loss", "b.py:loss")
    assert code == 1
    assert "planned:\n" in text
    assert text.count("output 0 (value) is computed differently") == 1


def graph(build) -> Module:
    g = Graph("f")
    b = GraphBuilder(g)
    x = b.var(g.add_input(tensor((4,), f16), "x", requires_grad=True))
    g.add_output(build(b, x).v, role="value")
    return Module("decomposed", {"f": g}, "f")


def test_casts_moved_and_counted() -> None:
    early = graph(lambda b, x: b.exp(b.convert(x, dtype=f32)))
    late = graph(lambda b, x: b.convert(b.exp(x), dtype=f32))
    none = graph(lambda b, x: b.exp(x))

    def casts(old: Module, new: Module) -> list[Change]:
        return [c for c in compare(old, new) if c.kind.startswith("cast")]

    (moved,) = casts(early, late)
    assert (moved.kind, moved.text) == ("cast-moved", "cast f16 -> f32 moved: of x -> after exp")
    (fewer,) = casts(early, none)
    assert (fewer.kind, fewer.text) == ("cast-count", "casts f16 -> f32: -1 (of x)")
    assert casts(early, early) == []


def test_inputs_and_outputs(here, capsys) -> None:
    changed(here, '"f32[3]!"', '"f32[3]"')
    _, states = diff(capsys)
    texts = [c["text"] for c in states["traced"]]
    assert texts == ["input b: tensor<3xf32> requires grad -> tensor<3xf32>"]
    assert "output 2 (gradient of b) is gone" in [c["text"] for c in states["joint"]]


def test_counts_of_equal_operations() -> None:
    def chain(n: int) -> Module:
        def build(b, x):
            for _ in range(n):
                x = b.sin(x)
            return x

        return graph(build)

    texts = [c.text for c in compare(chain(3), chain(7))]
    assert texts[:2] == ["output 0 (value) is computed differently", "+ grad.sin x4"]


def test_folders_and_files(here, capsys) -> None:
    assert main(["build", "a.py:loss", "-o", "A"]) == 0
    changed(here, "x @ w + b", "b + x @ w")
    assert main(["build", "b.py:loss", "-o", "B"]) == 0
    capsys.readouterr()
    assert run(capsys, "A", "B") == (0, "the two programs compute the same\n")
    assert run(capsys, "A/1_joint.mlir", "B/1_joint.mlir") == (0, "the two modules compute the same\n")
    assert run(capsys, "A/4_planned.mlir", "B/4_planned.mlir")[0] == 0
    assert run(capsys, "A", "B/2_simplified.mlir")[0] == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["a.py:loss", "none.py:loss"], "no such file: none.py"),
        (["none.mlir", "none.mlir"], "no such file: none.mlir"),
        (["empty", "empty"], "empty holds no .mlir file"),
        (["t.mlir", "j.mlir"], "t.mlir is at state traced, j.mlir at joint"),
        (["bad.mlir", "t.mlir"], "bad.mlir:1:1"),
    ],
)
def test_what_cannot_be_compared_is_exit_code_2(here, capsys, argv, message) -> None:
    (here / "empty").mkdir()
    (here / "bad.mlir").write_text("nonsense")
    module = graph(lambda b, x: b.exp(x))
    module.state = "traced"
    (here / "t.mlir").write_text(str(module))
    (here / "j.mlir").write_text(str(run_pipeline(module, "adjoint{cotangents=inputs}").module))
    assert main(["diff", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gradc diff: error: ")
    assert message in err
    assert "Traceback" not in err


def test_usage(capsys) -> None:
    assert main(["diff", "one"]) == 2


def test_large_graphs_in_linear_time() -> None:
    def build(b, x):
        for i in range(3000):
            x = b.sin(x) if i % 3 else b.exp(x)
        return x

    def other(b, x):
        return build(b, b.neg(x))

    texts = [c.text for c in compare(graph(build), graph(other))]
    assert texts[:2] == ["output 0 (value) is computed differently", "+ grad.neg"]
