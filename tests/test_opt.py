"""`gradc opt`: pipelines with options, dumps, timing, numerics checks, reproducers, exit codes."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

import gradc as gc
from gradc.cli import main
from gradc.ir.errors import GradValueError
from gradc.ir.interpret import run_module
from gradc.passes import pipeline
from gradc.passes.pipeline import PIPELINE, parse_pipeline
from gradc.passes.reproducer import options_of, reproducer, rest_of

TEXT = """\
gradc.module @f attributes {attrs = {cotangents = "ones"}, state = "traced", version = 1 : i64} {
  grad.func @f(%x: tensor<4x6xf32> {requires_grad = true}, %y: tensor<6xf32> {requires_grad = true}) \
-> (tensor<f32> {role = "value"}) {
    %0 = grad.mul %x, %y : (tensor<4x6xf32>, tensor<6xf32>) -> tensor<4x6xf32> loc("loss.py":2:4)
    %1 = grad.tanh %0 : tensor<4x6xf32> loc("loss.py":3:4)
    %2 = grad.exp %1 : tensor<4x6xf32> loc("loss.py":4:4)
    %3 = grad.sum %2 {dims = array<i64: 0, 1>, keepdim = false} : (tensor<4x6xf32>) -> tensor<f32> loc("loss.py":5:4)
    gradc.return %3 : tensor<f32>
  }
}
"""
ALL = "inline,adjoint,decompose,simplify,cse,dce,fuse,plan-memory"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "f.mlir").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["opt", *argv])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def plant(monkeypatch: pytest.MonkeyPatch, name: str, wrong: object) -> None:
    """Put another function into a pass's row."""
    rows = tuple(p._replace(run=wrong) if p.name == name else p for p in PIPELINE)
    monkeypatch.setattr(pipeline, "PIPELINE", rows)


def test_every_state_from_file_and_stdin(here, capsys, monkeypatch) -> None:
    text = TEXT
    for name in ALL.split(","):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        code, text, err = run(capsys, "-", f"--pass-pipeline={name}")
        assert (code, err) == (0, "")
    assert run(capsys, "f.mlir", f"--pass-pipeline={ALL}")[1] == text
    assert run(capsys, "f.mlir", f"--pass-pipeline=gradc.module({ALL})")[1] == text
    assert run(capsys, "f.mlir")[1] == TEXT


def test_options_of_passes(here, capsys) -> None:
    code, out, _ = run(capsys, "f.mlir", "--pass-pipeline=adjoint{cotangents=inputs wrt=y}")
    assert code == 0
    assert "%cotangent: tensor<f32>" in out
    assert "%grad_y" in out
    assert "%grad_x" not in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cse,fuze", "1:5: unknown pass 'fuze'"),
        ("cse dce", "1:5: expected ',' after cse"),
        ("cse{a=1}", "1:5: pass cse has no option 'a'"),
        ("adjoint{cotangents=two}", "1:20: option cotangents of pass adjoint: expected ones or inputs, got 'two'"),
        ("adjoint{wrt}", "1:9: expected name=value"),
        ("cse{", "1:4: expected ',' after cse"),
        (",cse", "1:1: expected the name of a pass"),
        ("cse,\nbad", "2:1: unknown pass 'bad'"),
    ],
)
def test_pipelines_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(GradValueError) as e:
        parse_pipeline(text)
    assert str(e.value).startswith(message)
    assert "^" in str(e.value)


def test_a_hint_for_a_misspelt_pass() -> None:
    with pytest.raises(GradValueError, match="did you mean fuse"):
        parse_pipeline("fuze")


def test_an_input_that_is_not_there(here, capsys) -> None:
    code, _, err = run(capsys, "f.mlir", "--pass-pipeline=adjoint{wrt=z}")
    assert code == 1
    assert "adjoint: no input is named 'z'" in err
    assert "the inputs are x, y" in err


def test_printing(here, capsys) -> None:
    _, out, err = run(capsys, "f.mlir", "--pass-pipeline=cse,adjoint", "--print-ir-after=adjoint", "-o", "out.mlir")
    assert out == ""
    assert err.splitlines()[0] == "// -----// IR Dump After adjoint //----- //"
    assert err.split("\n", 1)[1] == (here / "out.mlir").read_text()
    _, _, err = run(capsys, "f.mlir", "--pass-pipeline=cse,adjoint", "--print-ir-after-all")
    assert re.findall("IR Dump (.*) //--", err) == ["After cse", "After adjoint"]
    _, _, err = run(capsys, "f.mlir", "--pass-pipeline=cse,adjoint", "--print-ir-before=cse", "--print-ir-before-all")
    assert re.findall("IR Dump (.*) //--", err) == ["Before cse", "Before adjoint"]
    _, _, err = run(capsys, "f.mlir", "--pass-pipeline=cse,adjoint,dce", "--print-ir-after-change")
    assert re.findall("IR Dump (.*) //--", err) == ["After adjoint"]


def test_a_tree_of_dumps(here, capsys) -> None:
    assert run(capsys, "f.mlir", f"--pass-pipeline={ALL}", "--print-ir-tree-dir=tree")[0] == 0
    files = sorted((here / "tree" / "f").iterdir())
    assert [f.stem for f in files] == [f"{i}_{name}" for i, name in enumerate(ALL.split(","))]
    assert all(str(gc.ir.parse(f.read_text())) == f.read_text() for f in files)


def test_switches(here, capsys) -> None:
    for off in ("--locations=false", "--no-locations", "--locations=0"):
        assert "loc(" not in run(capsys, "f.mlir", off)[1]
    assert "loc(" in run(capsys, "f.mlir", "--locations=true")[1]
    assert run(capsys, "f.mlir", "--generic")[1].startswith('"builtin.module"')


@pytest.mark.parametrize(
    "argv",
    [["f.mlir", "--verify-each=maybe"], ["f.mlir", "--print-ir-after=fuze"], ["f.mlir", "--unknown"], ["f.mlir", "x"]],
)
def test_usage(here, capsys, argv) -> None:
    assert run(capsys, *argv)[0] == 2


def test_timing(here, capsys) -> None:
    _, _, err = run(capsys, "f.mlir", f"--pass-pipeline={ALL}", "--timing")
    assert "Execution time report" in err
    rows = re.findall(r"^ +\d+\.\d{4} \( *\d+\.\d%\) +(?:(\d+) -> (\d+))? +(\S+)$", err, re.MULTILINE)
    names = [name for *_, name in rows]
    assert names[0] == "Parser"
    assert [n for n in names if n in ALL.split(",")] == ALL.split(",")
    assert {"(verifier)", "Output", "Rest", "Total"} <= set(names)
    assert ("4", "4", "inline") in rows
    assert "(verifier)" not in run(capsys, "f.mlir", "--pass-pipeline=cse", "--timing", "--no-verify-each")[2]


def test_remarks(here, capsys) -> None:
    _, _, err = run(capsys, "f.mlir", "--pass-pipeline=adjoint{wrt=y}", "--remarks")
    assert "loss.py:2: cut: adjoint of mul in x: frozen argument x (ops 1, bytes 96, flops 24)" in err


def test_errors_in_the_text_have_a_place(here, capsys, monkeypatch) -> None:
    (here / "bad.mlir").write_text(TEXT.replace("grad.tanh", "grad.tahn"))
    code, _, err = run(capsys, "bad.mlir")
    assert code == 1
    assert err.startswith("gradc opt: error: bad.mlir:4:10: unknown op 'grad.tahn'")
    monkeypatch.setattr("sys.stdin", io.StringIO("gradc.modul"))
    assert "<stdin>:1:1" in run(capsys, "-")[2]
    assert run(capsys, "absent.mlir")[0] == 1


def test_a_pass_from_another_state(here, capsys) -> None:
    code, _, err = run(capsys, "f.mlir", "--pass-pipeline=cse,fuse")
    assert code == 1
    assert "pass fuse: starts from simplified, got a module at 'traced'" in err
    assert sorted(p.name for p in here.iterdir()) == ["f.mlir"]


def crash(module, remarks):
    raise ZeroDivisionError("in a rewrite")


def test_a_crash_leaves_a_reproducer_that_runs_again(here, capsys, monkeypatch) -> None:
    plant(monkeypatch, "simplify", crash)
    code, out, err = run(capsys, "f.mlir", f"--pass-pipeline={ALL}", "--reproducer=crash.mlir")
    assert (code, out) == (1, "")
    assert "pass simplify: crashed with ZeroDivisionError: in a rewrite" in err
    assert "reproducer: gradc opt crash.mlir" in err
    lines = (here / "crash.mlir").read_text().splitlines()
    assert lines[0] == '// gradc-reproducer: --pass-pipeline="simplify,cse,dce,fuse,plan-memory"'
    assert lines[1] == "// gradc-note: pass simplify: crashed with ZeroDivisionError: in a rewrite"
    code, _, err = run(capsys, "crash.mlir")
    assert code == 1
    assert "pass simplify: crashed with ZeroDivisionError" in err
    monkeypatch.undo()
    monkeypatch.chdir(here)
    code, out, _ = run(capsys, "crash.mlir")
    assert code == 0
    assert out == run(capsys, "f.mlir", f"--pass-pipeline={ALL}")[1]
    # A pipeline on the command line goes before the one in the file.
    assert 'state = "decomposed"' in run(capsys, "crash.mlir", "--pass-pipeline=cse")[1]
    main(["opt", "absent.mlir", "--traceback"])
    assert "Traceback" in capsys.readouterr().err


def broken(module, remarks):
    """Leaves a node whose type is wrong."""
    from gradc.ir.types import f32, tensor

    out = module.with_main(module.main)
    graph = gc.ir.parse(str(module), check=False).main
    graph.types[graph.nodes[0].results[0]] = tensor((1, 2, 3), f32)
    return out.with_main(graph)


def test_verify_each(here, capsys, monkeypatch) -> None:
    plant(monkeypatch, "cse", broken)
    code, _, err = run(capsys, "f.mlir", "--pass-pipeline=cse", "--reproducer=r.mlir")
    assert code == 1
    assert "pass cse: law 6: grad.mul" in err
    assert "loss.py:2" in err
    assert run(capsys, "f.mlir", "--pass-pipeline=cse", "--verify-each=false")[0] == 0
    assert options_of((here / "r.mlir").read_text()) == ["--pass-pipeline=cse"]


def wrong_exp(module, remarks):
    """exp becomes expm1."""
    from gradc.ir import Node
    from gradc.ir.op import REGISTRY

    graph = gc.ir.parse(str(module)).main
    for k, n in enumerate(graph.nodes):
        if n.op.name == "grad.exp":
            graph.nodes[k] = Node(REGISTRY["grad.expm1"], n.operands, n.attrs, n.results, n.loc)
    return module.with_main(graph)


@pytest.mark.parametrize("name", ["inline", "cse", "dce"])
def test_check_numerics_names_a_planted_pass_and_shrinks(here, capsys, monkeypatch, name) -> None:
    plant(monkeypatch, name, wrong_exp)
    code, out, err = run(capsys, "f.mlir", f"--pass-pipeline={ALL}", "--check-numerics")
    assert (code, out) == (1, "")
    assert f"pass {name} changed what the program computes" in err
    assert "the operation: grad.exp at loss.py:4" in err
    assert "reproducer: gradc opt f.reproducer.mlir" in err
    text = (here / "f.reproducer.mlir").read_text()
    assert options_of(text) == [f"--pass-pipeline={name}", "--check-numerics"]
    assert len(gc.ir.parse(text).main.nodes) <= 5
    code, _, err = run(capsys, "f.reproducer.mlir")
    assert code == 1
    assert "grad.exp at loss.py:4" in err
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert run(capsys, "f.reproducer.mlir")[0] == 0


def test_check_numerics_of_right_passes(here, capsys) -> None:
    code, out, err = run(capsys, "f.mlir", f"--pass-pipeline={ALL}", "--check-numerics", "--timing")
    assert code == 0
    assert "(numerics)" in err
    assert out == run(capsys, "f.mlir", f"--pass-pipeline={ALL}")[1]


def test_reproducers_as_text() -> None:
    module = gc.ir.parse(TEXT)
    text = reproducer(module, "adjoint{cotangents=inputs wrt=x},cse", ["--check-numerics"], "a\nb")
    assert options_of(text) == ["--pass-pipeline=adjoint{cotangents=inputs wrt=x},cse", "--check-numerics"]
    assert str(gc.ir.parse(text)) == TEXT
    assert options_of(TEXT) == []
    assert rest_of("cse, adjoint{wrt=x,y} ,dce", 1) == "adjoint{wrt=x,y},dce"
    assert rest_of("gradc.module(cse,dce)", 1) == "dce"


@pytest.mark.parametrize("line", ['--pass-pipeline="cse', "--pass-pipeline=cse --nonsense", "--verify-each=perhaps"])
def test_a_reproducer_line_that_cannot_be_read(here, capsys, line) -> None:
    (here / "r.mlir").write_text(f"// gradc-reproducer: {line}\n{TEXT}")
    code, _, err = run(capsys, "r.mlir")
    assert code == 1
    assert "r.mlir: its reproducer line" in err


@pytest.mark.parametrize("command", ["opt", "verify", "view", "stablehlo"])
def test_files_that_hold_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary.mlir").write_bytes(b"gradc\xff\xfe")
    (tmp_path / "folder.mlir").mkdir()
    assert main([command, "binary.mlir"]) == 1
    assert "binary.mlir is not IR text: its byte 5 is no UTF-8" in capsys.readouterr().err
    if command != "view":  # a folder is what it takes
        assert main([command, "folder.mlir"]) == 1
        assert "folder.mlir is a folder, not a file" in capsys.readouterr().err


CALL = """gradc.module @f attributes {attrs = {cotangents = "ones"}, state = "traced", version = 1 : i64} {
  grad.func @f(%x: tensor<3xf32> {requires_grad = true}, %y: tensor<3xf32> {requires_grad = true}) \
-> (tensor<f32> {role = "value"}) {
    %0:2 = grad.call %x, %y {callee = "g"} : (tensor<3xf32>, tensor<3xf32>) -> (tensor<3xf32>, tensor<3xf32>) {
      grad.region @g(%a: tensor<3xf32>, %b: tensor<3xf32>) -> (tensor<3xf32>, tensor<3xf32>) {
        %p = grad.mul %a, %b : tensor<3xf32>
        %q = grad.call %p {callee = "h"} : tensor<3xf32> {
          grad.region @h(%c: tensor<3xf32>) -> (tensor<3xf32>) {
            %s = grad.sin %c : tensor<3xf32>
            gradc.return %s : tensor<3xf32>
          }
        }
        gradc.return %q, %b : tensor<3xf32>, tensor<3xf32>
      }
    }
    %1 = grad.mul %0#0, %0#1 : tensor<3xf32>
    %2 = grad.sum %1 {dims = array<i64: 0>, keepdim = false} : (tensor<3xf32>) -> tensor<f32>
    gradc.return %2 : tensor<f32>
  }
}
"""


@pytest.mark.parametrize("passes", ["inline,adjoint", "inline,adjoint,decompose,simplify,cse,dce,fuse,plan-memory"])
def test_gradients_pass_through_calls_that_are_inlined(passes: str) -> None:
    """sum(sin(x * y) * y) through two calls, one inside the other, against its derivative by hand."""
    out = pipeline.run_pipeline(gc.ir.parse(CALL), passes, verify=True).module
    x, y = np.array([0.5, -1.0, 2.0], np.float32), np.array([1.5, 0.25, -0.75], np.float32)
    value, dx, dy = run_module(out, [x, y])
    np.testing.assert_allclose(value, (np.sin(x * y) * y).sum(), rtol=1e-6)
    np.testing.assert_allclose(dx, np.cos(x * y) * y * y, rtol=1e-5)
    np.testing.assert_allclose(dy, np.cos(x * y) * x * y + np.sin(x * y), rtol=1e-5)
