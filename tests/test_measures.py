"""Occupancy, instruction counts and estimates: against NVIDIA's own calculator, disassembly, and sums made by hand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradc as gc
from gradc.cli import main
from gradc.cli.matrix import HEAD
from gradc.ir.errors import TargetError
from gradc.measures import Measures, compile_all, elements, work
from gradc.runtime.chips import CHIPS, LAUNCH_SECONDS, Chip, Work, chips_for, estimate
from gradc.runtime.facts import Instructions
from gradc.runtime.instructions import amdgcn_instructions, ptx_instructions
from gradc.runtime.occupancy import LIMITS, limits, occupancy_of
from gradc.runtime.target import GPU_TARGETS, target
from gradc.testing import assert_budget

needs_triton = pytest.mark.skipif(sys.platform != "linux", reason="triton exists for Linux only")

CALCULATOR = """
#include <cstdio>
#include <cstring>
#include "cuda_occupancy.h"
int main() {
    int major, minor, warps, registers, shared, perSm, optIn, threads;
    while (scanf("%d %d %d %d %d", &major, &minor, &perSm, &optIn, &threads) == 5 &&
           scanf("%d %d %d", &warps, &registers, &shared) == 3) {
        cudaOccDeviceProp device = {};
        device.computeMajor = major; device.computeMinor = minor; device.maxThreadsPerBlock = 1024;
        device.maxThreadsPerMultiprocessor = threads; device.regsPerBlock = device.regsPerMultiprocessor = 65536;
        device.warpSize = 32; device.sharedMemPerBlock = 48 * 1024; device.sharedMemPerBlockOptin = optIn;
        device.sharedMemPerMultiprocessor = perSm; device.numSms = 1; device.reservedSharedMemPerBlock = 1024;
        cudaOccFuncAttributes kernel = {};
        kernel.maxThreadsPerBlock = 1024; kernel.numRegs = registers; kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
        kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN; kernel.maxDynamicSharedSizeBytes = shared;
        cudaOccDeviceState state = {};
        state.carveoutConfig = 100;
        cudaOccResult result;
        int status = cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, warps * 32, shared);
        printf("%d\\n", status ? -1 : result.activeBlocksPerMultiprocessor);
    }
}
"""


def test_every_gpu_target_has_limits() -> None:
    assert set(LIMITS) == set(GPU_TARGETS)
    assert {name: limits(name).warps for name in LIMITS} == {
        "cuda:80": 64, "cuda:90": 64, "cuda:100": 64, "cuda:120": 48,
        "hip:gfx942": 32, "hip:gfx950": 32, "hip:gfx1100": 32,
    }  # fmt: skip
    with pytest.raises(TargetError, match="'cpu' has no multiprocessors"):
        limits("cpu")


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@needs_triton
def test_occupancy_is_what_nvidias_calculator_says(tmp_path: Path, rng: np.random.Generator) -> None:
    spec = find_spec("triton")
    assert spec is not None
    assert spec.submodule_search_locations
    include = Path(spec.submodule_search_locations[0]) / "backends" / "nvidia" / "include"
    (tmp_path / "c.cpp").write_text(CALCULATOR)
    subprocess.run(["g++", "-w", f"-I{include}", str(tmp_path / "c.cpp"), "-o", str(tmp_path / "c")], check=True)
    machines = {"cuda:80": (8, 163, 2048), "cuda:90": (9, 227, 2048), "cuda:100": (10, 227, 2048),
                "cuda:120": (12, 99, 1536)}  # fmt: skip
    cases, lines = [], []
    for name, (major, opt_in, threads) in machines.items():
        for _ in range(300):
            warps, registers = 2 ** int(rng.integers(0, 6)), int(rng.integers(16, 256))
            shared = int(rng.choice([0, rng.integers(0, 2048), rng.integers(0, opt_in * 1024 + 1)]))
            cases.append((name, warps, registers, shared))
            sizes = (major, 0, limits(name).shared, opt_in * 1024, threads)
            lines.append(" ".join(map(str, (*sizes, warps, registers, shared))))
    said = subprocess.run(
        [str(tmp_path / "c")], input="\n".join(lines), capture_output=True, text=True, check=True
    ).stdout.split()
    ours = [occupancy_of(*case).programs for case in cases]
    assert ours == [int(n) for n in said]
    assert {0, 1, 32} <= set(ours)


@pytest.mark.parametrize(
    ("name", "warps", "registers", "shared", "programs", "bound"),
    [
        ("hip:gfx942", 4, 128, 0, 4, "registers"),
        ("hip:gfx942", 4, 129, 0, 3, "registers"),
        ("hip:gfx942", 4, 64, 0, 8, "warps"),
        ("hip:gfx942", 1, 32, 0, 32, "warps"),
        ("hip:gfx942", 4, 32, 32768, 2, "shared"),
        ("hip:gfx950", 4, 32, 32768, 4, "shared"),
        ("hip:gfx1100", 8, 100, 0, 3, "registers"),
        ("hip:gfx1100", 8, 96, 0, 4, "warps"),
        ("cuda:90", 4, 256, 0, 0, "registers"),
        ("cuda:90", 1, 32, 228 * 1024, 0, "shared"),
        ("cuda:90", 32, 65, 0, 0, "registers"),
    ],
)
def test_occupancy(name: str, warps: int, registers: int, shared: int, programs: int, bound: str) -> None:
    held = occupancy_of(name, warps, registers, shared)
    assert (held.programs, held.warps, held.bound) == (programs, programs * warps, bound)
    assert held.share == programs * warps / limits(name).warps


PTX = """
.visible .entry k(.param .u64 p)
.reqntid 128
{
	.reg .pred %p<2>;
	.loc 1 6 0
	ld.param.b64 %rd1, [p];
	@%p1 ld.global.v4.b32 { %r1, %r2, %r3, %r4 }, [ %rd1 + 0 ];
$L__BB0_1:                              // loop
	ex2.approx.ftz.f32 %f1, %f2;
	wgmma.mma_async.sync.aligned.m64n128k8.f32.tf32.tf32 {%f1}, %rd1;
	@!%p2 bra $L__BB0_3;
	rcp.approx.f32 %f1, %f2;
$L__BB0_3:
	add.s32 %r1, %r2, %r3;
	@%p1 bra $L__BB0_1;
	// st.global.b32 is only named
	div.full.f32 %f1, %f2, %f3;
	ret;
}
"""
GCN = """
k:
	s_load_dwordx2 s[2:3], s[0:1], 0x0
	v_exp_f32_e32 v1, v2
.LBB0_1:
	v_mfma_f32_32x32x8_f16 v[0:15], v[2:3], v[4:5], v[0:15]
	v_rcp_f32_e32 v1, v2
	s_cbranch_scc1 .LBB0_1
	.loc 1 2 3
	s_endpgm
"""


def test_instructions_of_texts_written_by_hand() -> None:
    assert ptx_instructions(PTX) == Instructions(4, 6, 1, 2, "tf32")
    assert amdgcn_instructions(GCN) == Instructions(3, 3, 1, 1, "f16")
    assert ptx_instructions(PTX).executed(10) == 64
    assert ptx_instructions(PTX).executed_special(10) == 21


@needs_triton
def test_instructions_are_about_those_of_the_disassembly(program: gc.Program) -> None:
    for m in (Measures(k, k.binary("cuda:90")) for k in program.kernels):
        text = m.binary.sass
        assert text is not None
        machine = sum("NOP" not in line for line in re.findall(r"/\*[0-9a-f]{4,}\*/\s+(.*);", text))
        counted = m.binary.facts.instructions
        assert 0.6 < (counted.straight + counted.looped) / machine < 1.6


def loss(x: Any, w: Any, y: Any) -> Any:
    return (gc.sigmoid(gc.nn.functional.layer_norm(x, (256,), w)) @ y).tanh().mean()


@pytest.fixture(scope="module")
def program() -> gc.Program:
    types = ("f32[512,256]", "f32[256]", "f32[256,64]")
    return gc.build(loss, *(gc.spec(t, requires_grad=True) for t in types), target="cuda:90", name="loss")


@needs_triton
def test_measures_of_a_program(program: gc.Program) -> None:
    results = compile_all(program.kernels, [target("cuda:90"), target("hip:gfx942")])
    assert list(results) == [(i, t) for i in range(len(program.kernels)) for t in ("cuda:90", "hip:gfx942")]
    for i, k in enumerate(program.kernels):
        m = Measures(k, results[i, "cuda:90"])  # type: ignore[arg-type]
        assert k.binaries["cuda:90"] is results[i, "cuda:90"]
        lanes = 32 * k.printed.num_warps * k.grid[0]
        each = m.instructions_per_element * elements(k) / lanes
        assert each == pytest.approx(m.binary.facts.instructions.executed(work(k).steps))
        assert [e.chip for e in m.estimates] == ["H100", "H200"]
        for e in m.estimates:
            assert e.memory == pytest.approx(k.bytes_moved / CHIPS[e.chip].bandwidth)
            assert e.seconds == max(e.memory, e.arithmetic, e.issue) + LAUNCH_SECONDS
        assert json.loads(json.dumps(k.to_json()))["binaries"]["hip:gfx942"]["estimated_seconds"].keys() == {"MI300X"}
    text = str(program.report())
    assert "instructions an element, H100 " in text
    assert "estimated from datasheets, one launch after the other: H100 " in text
    assert "reads  x tensor<512x256xf32> 512.0 KiB" in text


class _Chips:
    """A binary's facts without a compiler."""

    def __init__(self, instructions: Instructions) -> None:
        self.facts = type("Facts", (), {"instructions": instructions})
        self.metadata, self.target = {"num_warps": 4}, "cuda:90"


def test_an_estimate_is_the_slowest_part() -> None:
    h100 = CHIPS["H100"]
    few = Instructions(1, 0, 0, 0, "")

    def of(work: Work, instructions: Instructions = few, chip: Chip | str = h100) -> Any:
        return estimate(chip, work, _Chips(instructions))  # type: ignore[arg-type]

    moved = of(Work(3_350_000_000, 1000, 10_000, 1, 4))
    assert (moved.bound, round(moved.seconds * 1e3, 2)) == ("memory", 1.0)
    counted = of(Work(4, int(66.9e12), 132, 1, 4))
    assert (counted.bound, round(counted.arithmetic, 3)) == ("arithmetic", 1.0)
    assert of(Work(4, int(66.9e12), 66, 1, 4)).arithmetic == pytest.approx(2.0, 1e-3)
    assert of(Work(4, int(33.5e12), 132, 1, 8)).arithmetic == pytest.approx(1.0, 1e-3)
    assert of(Work(4, int(989.4e12), 132, 1, 4), Instructions(9, 0, 0, 0, "bf16")).arithmetic == pytest.approx(1, 1e-3)
    # 1980 instructions of 4 warps on 4 schedulers, one program a multiprocessor: 1980 clocks of 1.98 GHz.
    issued = of(Work(4, 4, 132, 1, 4), Instructions(1980, 0, 0, 0, ""))
    assert issued.issue == pytest.approx(1e-6)
    assert of(Work(4, 4, 133, 1, 4), Instructions(1980, 0, 0, 0, "")).issue == pytest.approx(2e-6)
    assert of(Work(4, 4, 132, 10, 4), Instructions(0, 198, 0, 0, "")).issue == pytest.approx(1e-6)
    # An instruction of the special function unit takes 32 / 16 clocks of the whole multiprocessor.
    assert of(Work(4, 4, 132, 1, 4), Instructions(1980, 0, 990, 0, "")).issue == pytest.approx(4e-6)
    assert (of(Work(4, 4, 132, 1, 4)).bound, of(Work(0, 0, 0, 1, 4)).seconds) == ("launch", LAUNCH_SECONDS)
    with pytest.raises(TargetError, match="no figures for a chip 'H300'"):
        of(Work(4, 4, 1, 1, 4), few, "H300")
    with pytest.raises(TargetError, match="A100 runs binaries for cuda:80, not for cuda:90"):
        of(Work(4, 4, 1, 1, 4), few, "A100")
    assert [chip.name for chip in chips_for("gfx942")] == ["MI300X"]


@needs_triton
def test_budgets(program: gc.Program) -> None:
    n = len(program.kernels)
    assert_budget(program, launches=n, bytes_ratio=99, spills=0, registers=255, shared_bytes=232448)
    assert_budget(program, registers=512, target="gfx942", occupancy=0.01)
    first = program.kernels[0].name
    for limit, words in (
        ({"launches": n - 1}, f"loss is over its budget:\n  {n} launches, at most {n - 1}"),
        ({"bytes_ratio": 1.0}, r"MiB moved, at most 1.0 times the least"),
        ({"registers": 8}, rf"registers in {first}, at most 8"),
        ({"spills": -1}, rf"0 bytes spilled by {first}, at most -1"),
        ({"shared_bytes": 1}, r"bytes of shared memory in loss_\d, at most 1"),
        ({"occupancy": 1.01}, rf"of 64 warps \(\w+\)\) of {first}, at least 1.01"),
    ):
        with pytest.raises(AssertionError, match=words):
            assert_budget(program, **limit)  # type: ignore[arg-type]
    with pytest.raises(TargetError, match="'cpu' has no"):
        assert_budget(program, spills=0, target="cpu")


FILE = """
import gradc as gc
def loss(x):
    return gc.softmax(x, 1).square().sum()
def heavy(x):
    return gc.softmax(x, 1).exp().square().sum()
gradc_args = {"loss": [gc.spec("f32[64,100]", requires_grad=True)], "heavy": ["f32[8,30000]!"]}
"""


@needs_triton
def test_matrix(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    assert main(["matrix", "model.py:loss", "--targets", "sm90, gfx942", "--no-spills"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert tuple(lines[0].split()) == HEAD[:-1]
    assert {line.split()[2] for line in lines[1:-1]} == {"cuda:90", "hip:gfx942"}
    assert lines[-1] == f"{len(lines) - 2} compiled"
    assert main(["matrix", "model.py:loss", "--targets=sm90", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["failures"] == 0
    assert {row["target"] for row in data["rows"]} == {"cuda:90"}
    assert all(row["registers"] > 0 and not row["failed"] for row in data["rows"])
    for argument, words in (("sm91", "unknown target 'sm91'"), ("cpu", "no binaries"), (",", "names no target")):
        assert main(["matrix", "model.py:loss", "--targets", argument]) == 1
        assert words in capsys.readouterr().err


@needs_triton
def test_a_matrix_with_failures_goes_on_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADC_CACHE_DIR", str(tmp_path / "cache"))
    from gradc.runtime import inspect

    monkeypatch.setattr(inspect, "hip_facts", _broken)
    assert main(["matrix", "model.py:loss", "--targets", "sm90,gfx942", "--threads=2"]) == 1
    out = capsys.readouterr().out
    assert "FAILED: no facts" in out
    assert re.search(r"cuda:90 +\d+ +0 ", out)
    count = out.count("FAILED")
    assert out.splitlines()[-1] == f"{2 * count} compiled, {count} failed"
    monkeypatch.undo()


def _broken(text: str) -> Any:
    from gradc.ir.errors import ExecutorError

    raise ExecutorError("no facts")
