"""`python -m benchmarks gpu`: its sections' budgets and failures with processes that do nothing else, its measuring on
the fake driver, and that gradc runs from a checkout where nothing of it is installed."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tree
from fake_cuda import FakeCuda
from test_cuda_executor import fake  # noqa: F401 - a fixture

from gradc.runtime import cuda_driver

if not (tree.ROOT / "benchmarks" / "gpu.py").is_file():
    pytest.skip("the benchmarks are not part of the wheel", allow_module_level=True)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="triton exists for Linux only")
sys.path.insert(0, str(tree.ROOT))
sys.modules.pop("benchmarks", None)
from benchmarks import gpu, gpu_section  # noqa: E402
from benchmarks.bytes import Case, layer_norm, mlp, softmax, square_mean  # noqa: E402


def section(name: str, code: str, seconds: float = 20) -> gpu.Section:
    head = "import os, json\ndef emit(row): open(os.environ['GRADC_ROWS'], 'a').write(json.dumps(row) + '\\n')\n"
    return gpu.Section(name, (sys.executable, "-c", head + code), seconds)


def test_sections_that_fail_or_hang_take_nothing_from_others() -> None:
    said: list[str] = []
    hang = "import subprocess, sys, time\nemit({'name': 'half'})\n"
    hang += "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    chosen = [
        section("fails", "emit({'name': 'one'}); raise SystemExit('broken here')"),
        section("hangs", hang, seconds=3),
        section("dies", "open(os.environ['GRADC_ROWS'], 'a').write('{\"cut'); os.abort()"),
        section("wrong", "emit({'name': 'a'}); emit({'name': 'b', 'error': 'AssertionError: off by 3'})"),
        section("works", "emit({'name': 'x', 'skipped': 'no torch'}); emit({'name': os.environ['GRADC_SECONDS']})"),
    ]
    start = time.monotonic()
    results = gpu.run_sections(chosen, start + 60, said.append)
    assert time.monotonic() - start < 30
    assert [(r["ended"], r["failed"], len(r["rows"])) for r in results] == [
        ("failed with exit code 1", True, 1),
        ("cut off after 3 s", False, 1),
        ("failed with exit code -6", True, 0),
        ("done", True, 2),
        ("done", False, 2),
    ]
    assert "broken here" in results[0]["log"]
    assert results[4]["rows"][1]["name"] == "20.0"
    assert said[4] == "works: done, 2 rows"
    text = gpu.table({"device": "D", "target": "cuda:90", "multiprocessors": 1}, results)
    assert "wrong: done; 1 passed, 1 failed, 0 skipped\n  b: AssertionError: off by 3" in text
    assert "  broken here" in text


def test_nothing_runs_past_the_deadline() -> None:
    slow = "import time; emit({'name': os.environ['GRADC_SECONDS']}); time.sleep(30)"
    start = time.monotonic()
    results = gpu.run_sections([section("first", slow), section("second", slow)], start + 6, lambda text: None)
    assert time.monotonic() - start < 12
    assert [r["ended"] for r in results] == ["cut off after 3 s"] * 2
    results += gpu.run_sections([section("third", slow)], start, lambda text: None)
    assert results[2]["ended"] == "no time was left"
    assert not any(r["failed"] for r in results)


def test_every_later_section_keeps_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    monkeypatch.setattr(gpu, "_run_section", lambda section, seconds, result: given.append(round(seconds)))
    now = time.monotonic()
    gpu.run_sections([section(str(i), "", seconds=90) for i in range(4)], now + 100, lambda text: None)
    assert given == [40, 60, 80, 90]


def test_the_table_of_times() -> None:
    rows = [
        {"variant": "gradc", "us": 100.0, "gb_per_s": 4000.0},
        {"variant": "eager", "us": 200.0, "gb_per_s": 2000.0},
        {"variant": "compile", "error": "RuntimeError: no compiler\nmore"},
    ]
    results = [
        {"name": "copy", "rows": [{"copy": "d", "gb_per_s": 4200.0}], "failed": False, "ended": "done"},
        {"name": "softmax", "rows": rows, "failed": True, "ended": "cut off after 75 s"},
    ]
    lines = gpu.table({"device": "NVIDIA H200", "target": "cuda:90", "multiprocessors": 132}, results).splitlines()
    assert lines[1] == "copy: 4200 GB/s"
    assert lines[-2].split() == "softmax 100.0 (4000, 95%) 200.0 (2000, 48%) FAILED - cut off after 75 s".split()  # noqa: SIM905
    assert lines[-1] == "  compile: RuntimeError: no compiler"


def test_results_are_one_file_for_a_device(tmp_path: Path) -> None:
    path = gpu.write(tmp_path / "results", {"device": "NVIDIA H200 (SXM)", "sections": []})
    assert path.name == "gpu-nvidia-h200--sxm.json"
    assert json.loads(path.read_text())["sections"] == []


@pytest.mark.skipif(cuda_driver.why_unavailable() is None, reason="a CUDA device is present")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    """From a Python that sees nothing installed but the dependencies: gradc comes from the checkout."""
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f)]\n"
        "sys.path.insert(0, sys.argv[1]); import benchmarks.__main__ as b; code = b.main(['gpu'])\n"
        "import gradc; print(gradc.__file__); raise SystemExit(code)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tree.ROOT)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 1
    assert run.stderr.startswith("benchmarks gpu: ExecutorError: the cuda executor cannot run here: ")
    assert run.stdout.strip() == str(tree.ROOT / "frontend" / "__init__.py")


def test_an_unknown_section_is_refused(fake: FakeCuda, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:  # noqa: F811
    assert gpu.run(argparse.Namespace(minutes=1, only="nothing like it", out=tmp_path)) == 1
    assert "no section's name contains 'nothing like it'" in capsys.readouterr().err


def test_every_case_exists() -> None:
    from benchmarks.bytes import CASES

    assert set(gpu.CASES) <= {case.name for case in CASES}


CASES = (
    Case("norm", square_mean(layer_norm), (((9, 33), "f32"), ((33,), "f32"), ((33,), "f32")), (0, 1, 2)),
    Case("softmax", softmax, (((9, 33), "f32"),), (0,), vjp=True),
    Case(
        "mlp", mlp,
        (((5, 7), "f32"), ((8, 7), "f32"), ((8,), "f32"), ((12, 8), "f32"), ((12,), "f32"), ((5,), "i64")),
        (1, 2, 3, 4),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_timed_computes_what_torch_does(case: Case, fake: FakeCuda) -> None:  # noqa: F811
    pytest.importorskip("torch", reason="torch is not installed")
    arrays = gpu_section.inputs(case)
    row: dict[str, Any] = {}
    got = gpu_section.timed_gradc(case, arrays, row)
    wanted = gpu_section.timed_torch(case, arrays, {}, None, place="cpu")
    assert len(got) == 1 + len(case.wrt)
    assert max(gpu_section.differences(got, wanted)) < 1e-5
    assert row["us"] == 1500.0 / 3
    assert fake.count("cuGraphLaunch") >= gpu_section.TIMED * 3
    wanted[0] = wanted[0] * 2
    assert max(gpu_section.differences(got, wanted)) > 0.4


def test_a_section_of_checks_writes_a_row_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADC_ROWS", str(tmp_path / "rows"))
    monkeypatch.setenv("GRADC_SECONDS", "10")
    failing: Any = lambda: (_ for _ in ()).throw(AssertionError("off"))  # noqa: E731
    checks: list[Any] = [("good", lambda: None), ("bad", failing), ("none", lambda: "no torch")]
    gpu_section.checked(checks, time.monotonic())
    gpu_section.checked(checks[:1], time.monotonic() - 9)
    rows = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert [(r["name"], r.get("error"), r.get("skipped")) for r in rows] == [
        ("good", None, None), ("bad", "AssertionError: off", None), ("none", None, "no torch"),
        ("good", None, "no time was left"),
    ]  # fmt: skip


def test_the_copy_is_counted_both_ways(fake: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("GRADC_ROWS", str(tmp_path / "rows"))
    monkeypatch.setattr(gpu_section, "COPY_BYTES", 4096)
    gpu_section.copy()
    row = json.loads((tmp_path / "rows").read_text())
    assert row["gb_per_s"] == pytest.approx(8192 / (1.5e-3 / 3) / 1e9)
    assert fake.count("cuMemcpyDtoDAsync_v2") == 2 * gpu_section.WARM + 3 * gpu_section.TIMED
    assert np.isfinite(row["us"])
