"""The command `gradc`: every command, exit codes 0 / 1 / 2, and errors without a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradc.cli import COMMANDS, main

FILE = """
import gradc as gc

def loss(w, b, x, y):
    z = (x * w).sum(1) + b
    p = gc.sigmoid(z)
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()

def branch(x):
    if x.sum() > 0:
        return x.sum()
    return -x.sum()

def nothing(x):
    x * 2

def broken(x):
    return x.no_such_method()

def with_specs(x):
    return (x * x).sum()

def bare(x):
    return x.sum()

with_specs.specs = [gc.spec("f32[7]", requires_grad=True)]
number = 3
gradc_args = {
    "loss": ["f32[5]!", "f32[]!", "f32[40,5]", "f32[40]"],
    "branch": ["f32[3]"], "nothing": ["f32[3]"], "broken": ["f32[3]"],
}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "model.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def tree(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("command", [m.__name__.rpartition(".")[2] for m in COMMANDS])
def test_every_command_has_help_with_an_example(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f"gradc {command}" in out.split("example:")[1]


def test_build_writes_everything(here, capsys):
    pytest.importorskip("triton", reason="compiles kernels")
    code, out, err = run(capsys, "build", "model.py:loss", "--target", "cuda:90", "-o", "OUT")
    assert (code, err) == (0, "")
    assert "loss for cuda:90" in out
    names = tree(here / "OUT")
    stages = [n for n in names if n.endswith(".mlir")]
    assert [s[2:-5] for s in stages] == ["traced", "joint", "simplified", "scheduled", "planned"]
    assert {"kernels", "memory.json", "report.json", "report.txt"} <= set(names)
    kernels = tree(here / "OUT" / "kernels")
    assert {k.rpartition(".")[2] for k in kernels} == {"py", "ptx", "cubin"}
    assert json.loads((here / "OUT" / "report.json").read_text())["name"] == "loss"
    assert "arena_bytes" in json.loads((here / "OUT" / "memory.json").read_text())
    assert 'loc("model.py":5' in (here / "OUT" / stages[0]).read_text()
    code, out, _ = run(capsys, "verify", *sorted((here / "OUT").glob("*.mlir")))
    assert code == 0
    assert out.count("correct") == 5
    # A second build replaces the folder; a folder with other files is left alone.
    assert run(capsys, "build", "model.py:with_specs", "-o", "OUT")[0] == 0
    assert "with_specs" in (here / "OUT" / "report.txt").read_text()
    (here / "mine").mkdir()
    (here / "mine" / "notes.txt").write_text("keep")
    code, _, err = run(capsys, "build", "model.py:loss", "-o", "mine")
    assert code == 1
    assert "holds files that gradc did not write" in err
    assert tree(here / "mine") == ["notes.txt"]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["missing.py:loss"], "no such file: missing.py"),
        (["model.py:absent"], "model.py has no function 'absent'"),
        (["model.py:number"], "'number' is a int, not a function"),
        (["model.py"], "expected FILE.py:FUNCTION"),
        (["model.py:bare"], "the types of its arguments are not known"),
        (["model.py:loss", "--target", "cuda:12"], "unknown target 'cuda:12'"),
        (["model.py:loss", "--arg", "f32[3"], "cannot read 'f32[3'"),
        (["model.py:bare", "--arg", "f99[3]"], "unknown dtype 'f99'"),
        (["model.py:bare", "--arg", "f32[-3]"], "must not be negative"),
        (["model.py:loss", "--name", "../x"], "must be an identifier"),
        (["model.py:branch"], "a branch on a traced value"),
        (["model.py:nothing"], "returns nothing"),
        (["model.py:broken"], "no_such_method"),
        (["model.py:bare", "--arg", "f32[3]!", "--split", "--cotangent", "f32[4]"], "the cotangent is tensor<4xf32>"),
    ],
)
def test_wrong_input_is_exit_code_1_and_nothing_is_written(here, capsys, argv, sentence):
    before = tree(here)
    code, _, err = run(capsys, "build", *argv, "-o", "OUT")
    assert code == 1
    assert err.startswith("gradc build: error: ")
    assert sentence in err
    assert [n for n in tree(here) if n != "__pycache__"] == [n for n in before if n != "__pycache__"]


def test_errors_of_the_users_function_name_their_line(here, capsys):
    assert "at model.py:10" in run(capsys, "report", "model.py:branch")[2]
    assert "at model.py:18" in run(capsys, "report", "model.py:broken")[2]


def test_a_file_that_cannot_be_imported(here, capsys):
    (here / "bad.py").write_text("import no_such_module_anywhere\n")
    (here / "syntax.py").write_text("def f(:\n")
    (here / "leaves.py").write_text("raise SystemExit(3)\n")
    for file, sentence in (("bad", "ModuleNotFoundError"), ("syntax", "SyntaxError"), ("leaves", "exits when it is")):
        code, _, err = run(capsys, "report", f"{file}.py:f")
        assert code == 1
        assert sentence in err


@pytest.mark.parametrize(
    "argv", [[], ["bui"], ["build", "model.py:loss"], ["run", "x.py:f", "--executor", "gpu"], ["--x"]]
)
def test_wrong_usage_is_exit_code_2(here, capsys, argv):
    assert run(capsys, *argv)[0] == 2


def test_traceback_only_on_request(here, capsys):
    main(["report", "missing.py:f", "--traceback"])
    assert "Traceback" in capsys.readouterr().err
    main(["--traceback", "report", "missing.py:f"])
    assert "Traceback" in capsys.readouterr().err


def test_report_and_explain(here, capsys):
    code, out, _ = run(capsys, "report", "model.py:loss")
    assert code == 0
    assert "program loss for cpu" in out
    data = json.loads(run(capsys, "report", "model.py:loss", "--json")[1])
    assert data["bytes_min"] > 0
    assert run(capsys, "explain", "model.py:loss")[0] == 0
    json.loads(run(capsys, "explain", "model.py:loss", "--json")[1])
    out = run(capsys, "explain", "model.py:loss", "--split", "--kind", "saved")[1]
    assert "saved" in out


def test_run_on_files_and_random_arrays(here, capsys):
    x = np.arange(7, dtype=np.float32)
    np.save("x.npy", x)
    code, out, _ = run(capsys, "run", "model.py:with_specs", "--input", "x.npy", "-o", "out.npz")
    assert code == 0
    assert "value: float32[]" in out
    with np.load("out.npz") as saved:
        assert saved["value"] == (x * x).sum()
        assert np.array_equal(saved["grad_x"], 2 * x)
    first, second = (run(capsys, "run", "model.py:loss", "--seed", "3")[1] for _ in range(2))
    assert first == second
    assert "grad_w" in first
    for argv, sentence in (
        (["--input", "no.npy"], "no such file"),
        (["--input", "model.py"], "is not a .npy file"),
        (["--input", "x.npy", "--input", "x.npy"], "more --input than arguments"),
        (["--executor", "reference", "--arg", "f32[3]", "--input", "x.npy"], "must be tensor<3xf32>"),
    ):
        code, _, err = run(capsys, "run", "model.py:with_specs", *argv)
        assert code == 1
        assert sentence in err


def test_run_reads_archives_and_cotangents(here, capsys):
    x, ct = np.arange(3, dtype=np.float32), np.array([1, 10, 100], np.float32)
    Path("two.py").write_text("def two(v):\n    return v * v\n")
    np.savez("x.npz", x=x)
    np.save("ct.npy", ct)
    wanted = ["run", "two.py:two", "--arg", "f32[3]!", "--cotangent", "f32[3]"]
    assert run(capsys, *wanted, "--input", "x.npz", "--input", "ct.npy", "-o", "out.npz")[0] == 0
    with np.load("out.npz") as saved:
        assert np.array_equal(saved["value"], x * x)
        assert np.array_equal(saved["grad_v"], 2 * x * ct)
    assert run(capsys, *wanted)[0] == 0
    np.savez("many.npz", a=x, b=x)
    assert "many.npz holds 2 arrays" in run(capsys, *wanted, "--input", "many.npz")[2]


def test_view_shows_the_target_of_a_build(here, capsys):
    assert run(capsys, "build", "model.py:loss", "--target", "cpu", "-o", "OUT")[0] == 0
    report = json.loads(Path("OUT/report.json").read_text())
    Path("OUT/report.json").write_text(json.dumps(report | {"target": "cuda:90"}))
    assert "for cuda:90" in run(capsys, "view", "OUT", "-o", "a.html")[1]
    assert "for hip:gfx942" in run(capsys, "view", "OUT", "--target", "hip:gfx942", "-o", "a.html")[1]


def test_opt_runs_pipelines_on_text(here, capsys):
    assert run(capsys, "build", "model.py:loss", "-o", "OUT")[0] == 0
    code, out, err = run(
        capsys, "opt", "OUT/0_traced.mlir", "--pass-pipeline", "inline,adjoint,decompose,simplify,cse,dce", "--timing"
    )
    assert code == 0
    assert 'state = "simplified"' in out
    assert "adjoint" in err
    assert out == (here / "OUT" / "2_simplified.mlir").read_text()
    code, out, _ = run(capsys, "opt", "OUT/0_traced.mlir", "--no-locations")
    assert "loc(" not in out
    code, _, err = run(capsys, "opt", "OUT/0_traced.mlir", "--pass-pipeline", "fuze")
    assert code == 1
    assert "unknown pass 'fuze'" in err
    (here / "cut.mlir").write_text((here / "OUT" / "1_joint.mlir").read_text()[:300])
    for command in ("opt", "verify"):
        code, _, err = run(capsys, command, "cut.mlir")
        assert code == 1
        assert err


def test_diff_sees_what_is_computed_and_not_names(here, capsys):
    run(capsys, "build", "model.py:loss", "-o", "A")
    (here / "model.py").write_text(FILE.replace("z = (x", "logits = (x").replace("gc.sigmoid(z)", "gc.sigmoid(logits)"))
    run(capsys, "build", "model.py:loss", "-o", "B")
    assert "compute the same" in run(capsys, "diff", "A/1_joint.mlir", "B/1_joint.mlir")[1]
    (here / "model.py").write_text(FILE.replace("+ b", "+ b * 2"))
    run(capsys, "build", "model.py:loss", "-o", "C")
    out = run(capsys, "diff", "A/1_joint.mlir", "C/1_joint.mlir")[1]
    assert "gradient of w) is computed differently" in out
    assert "grad.mul" in out
    assert run(capsys, "diff", "A/1_joint.mlir", "none.mlir")[0] == 2


def test_view_writes_one_page(here, capsys):
    code, _, _ = run(capsys, "view", "model.py:loss", "--target", "cuda:90", "-o", "page.html")
    assert code == 0
    page = (here / "page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "https:" not in page


def test_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "gradc", "report", "none.py:f"], capture_output=True, text=True, check=False,
        env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "gradc report: error: no such file: none.py\n"
