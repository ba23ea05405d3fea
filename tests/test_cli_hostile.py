"""The command line under bad input: one line of error, the right exit code, nothing half written."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from gradc.cli import main, run

FILE = """
def f(x, y):
    return (x * y).sum()

def exits(x):
    raise SystemExit(3)

def divides(x):
    return x * (1 // 0)

def deep(x):
    return deep(x)

def __import__(x):
    return (x * x).sum()

f.specs = ["f32[3]!", "f32[3]"]
gradc_args = {n: ["f32[2]!"] for n in ("exits", "divides", "deep", "__import__")} | {"text": "f32[2]"}

def text(x):
    return x.sum()
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "m.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def fails(capsys, *argv, code=1):
    before = sorted(os.listdir())
    got = main(list(argv))
    err = capsys.readouterr().err
    assert got == code, err
    assert "Traceback" not in err
    assert sorted(os.listdir()) == before
    return err


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("exits", "SystemExit: 3"),
        ("divides", "ZeroDivisionError"),
        ("deep", "RecursionError"),
        ("text", "its specs must be a list, got 'f32[2]'"),
    ],
)
def test_a_function_that_fails(here, capsys, name, what):
    err = fails(capsys, "build", f"m.py:{name}", "-o", "out")
    assert what in err
    if name != "text":
        assert "at m.py:" in err


def test_hostile_names(here, capsys):
    assert main(["build", "m.py:__import__", "-o", "out"]) == 0
    for odd in ("with space '\".py", "new\nline.py"):
        (here / odd).write_text(FILE)
        assert main(["run", f"{odd}:f"]) == 0
    capsys.readouterr()
    for name in ("class", "a b", "a;b", ""):
        if name:
            assert "must be an identifier" in fails(capsys, "build", "m.py:f", "--name", name, "-o", "other")


def test_outputs_that_cannot_be_written(here, capsys):
    (here / "folder").mkdir()
    (here / "folder" / "mine").touch()
    for command in ("run", "view"):
        assert "folder is a folder" in fails(capsys, command, "m.py:f", "-o", "folder")
        assert "is not a folder" in fails(capsys, command, "m.py:f", "-o", "m.py/x")
    assert "holds files that gradc did not write" in fails(capsys, "build", "m.py:f", "-o", "folder")
    assert "is not a folder" in fails(capsys, "build", "m.py:f", "-o", "m.py/x")
    assert os.listdir("folder") == ["mine"]


def test_inputs_that_do_not_fit(here, capsys):
    np.save("good.npy", np.ones(3, np.float32))
    np.save("long.npy", np.ones(4, np.float32))
    np.save("text.npy", np.array(["a"]))
    np.savez("many.npz", a=np.ones(3), b=np.ones(3))
    (here / "cut.npy").write_bytes((here / "good.npy").read_bytes()[:-4])
    for file, what in (
        ("long.npy", "x must be tensor<3xf32>, got tensor<4xf32>"),
        ("text.npy", "unknown dtype"),
        ("many.npz", "holds 2 arrays"),
        ("cut.npy", "is not a .npy file"),
        ("none.npy", "no such file"),
    ):
        assert what in fails(capsys, "run", "m.py:f", "--input", file)
    assert "more --input than arguments" in fails(capsys, "run", "m.py:f", *["--input", "good.npy"] * 3)
    assert "must not be negative" in fails(capsys, "run", "m.py:f", "--seed", "-1", code=2)
    assert main(["run", "m.py:f", "--input", "good.npy", "--input", "good.npy", "-o", "deep/out.npz"]) == 0
    assert np.load("deep/out.npz")["value"] == 3


def test_a_fault_of_gradcs_own_is_one_line(here, capsys, monkeypatch):
    def fault(*_):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(run, "inputs", fault)
    assert "internal error: ZeroDivisionError: a fault" in fails(capsys, "run", "m.py:f")
