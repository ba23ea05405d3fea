"""Stock mlir-opt reads our generic form, loses nothing of it, and with our IRDL description rejects a wrong dump."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ir_programs import everything, kernel_modules, op_modules, stages

from gradc.ir import Module, parse
from gradc.ir.irdl import irdl

MLIR_OPT = shutil.which("mlir-opt-22") or shutil.which("/usr/lib/llvm-22/bin/mlir-opt")
pytestmark = pytest.mark.skipif(MLIR_OPT is None, reason="mlir-opt 22 is not installed (Debian: mlir-22-tools)")
SPLIT = "// -----\n"


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("irdl") / "gradc.irdl.mlir"
    path.write_text(irdl())
    return path


def mlir_opt(text: str, *args: str) -> subprocess.CompletedProcess[str]:
    assert MLIR_OPT is not None
    command = [MLIR_OPT, "--allow-unregistered-dialect", "--split-input-file", *args, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)


def trip(modules: list[Module], *args: str) -> None:
    """Through mlir-opt, all at once, and back to the same text."""
    done = mlir_opt(SPLIT.join(m.to_text(generic=True) for m in modules), "--mlir-print-debuginfo", *args)
    assert done.returncode == 0, done.stderr[:2000]
    backs = done.stdout.split(SPLIT)
    assert len(backs) == len(modules)
    for m, back in zip(modules, backs, strict=True):
        assert str(parse(back)) == str(m)


def test_everything_survives_the_trip() -> None:
    hexadecimal = "--mlir-print-elementsattrs-with-hex-if-larger=1"
    for form in ("--mlir-print-op-generic", "--mlir-print-local-scope", hexadecimal):
        trip([everything()], form)


def test_the_op_table_survives_under_its_description(description: Path) -> None:
    trip([m for _, m in op_modules()], f"--irdl-file={description}")


def test_kernels_survive_under_their_description(description: Path) -> None:
    trip([m for _, m in kernel_modules()], f"--irdl-file={description}")


def test_every_stage_survives_under_the_description(description: Path) -> None:
    trip([parse(text) for _, text in stages()], f"--irdl-file={description}")


def test_xdsl_reads_it_too() -> None:
    beside = str(Path(sys.executable).parent)
    tool = shutil.which("xdsl-opt", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if tool is None:
        pytest.skip("xdsl-opt is not installed (PyPI: xdsl)")
    texts = [text for _, text in stages()]
    dumps = SPLIT.join(parse(text).to_text(generic=True) for text in texts)
    command = [tool, "--allow-unregistered-dialect", "--print-debuginfo", "--split-input-file"]
    done = subprocess.run(command, input=dumps, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [str(parse(back)) for back in done.stdout.split(SPLIT)] == texts


def test_without_locations_too(description: Path) -> None:
    done = mlir_opt(everything().to_text(generic=True, locations=False), f"--irdl-file={description}")
    assert done.returncode == 0, done.stderr[:2000]
    assert str(parse(done.stdout)) == everything().to_text(locations=False)


SMALL = """"builtin.module"() ({
  "grad.func"() ({
  ^bb0(%x: tensor<4x8xf32>, %y: f32):
    %0 = "grad.mul"(%x, %x) : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    %1 = "grad.sum"(%0) {dims = array<i64: 0, 1>, keepdim = false} : (tensor<4x8xf32>) -> tensor<f32>
    %2 = "grad.constant"() {dtype = f32, value = 1.0 : f64} : () -> tensor<f32>
    "gradc.return"(%1) : (tensor<f32>) -> ()
  }) : () -> ()
}) : () -> ()
"""


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("", "", None),
        ("(%x, %x) : (tensor<4x8xf32>, ", "(%x) : (", "op expects exactly 2 operands, but got 1"),
        ('"grad.sum"', '"grad.summ"', "unregistered operation 'grad.summ' found in dialect ('grad')"),
        ("dims = array", "axes = array", 'attribute "dims" is expected but not provided'),
        ("dims = array<i64: 0, 1>", "dims = 0", "'0 : i64' does not satisfy the constraint"),
        ("keepdim = false", "keepdim = 1.0", "expected base attribute 'builtin.integer'"),
        ("dtype = f32", 'dtype = "f32"', "does not satisfy"),
        ("(%x, %x) : (tensor<4x8xf32>, ", "(%x, %y) : (tensor<4x8xf32>, ", "use of value '%y' expects different type"),
        ("(%x, %x) : (tensor<4x8xf32>, tensor<4x8xf32>)", "(%x, %y) : (tensor<4x8xf32>, f32)", "'builtin.tensor'"),
    ],
)
def test_a_wrong_dump_is_rejected(description: Path, right: str, wrong: str, sentence: str | None) -> None:
    assert right in SMALL
    done = mlir_opt(SMALL.replace(right, wrong, 1) if right else SMALL, f"--irdl-file={description}")
    assert (done.returncode == 0) == (sentence is None), done.stderr[:500]
    assert sentence is None or sentence in done.stderr
