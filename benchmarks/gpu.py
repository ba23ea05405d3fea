"""On a machine with an NVIDIA GPU: the checks of tests/on_device.py, then times of gradc, torch and torch.compile.

Needs neither a network nor an installation: gradc runs from this checkout, with NumPy, networkx, ml_dtypes and Triton;
torch, where it is there, is what gradc is compared with. Every section is a process of its own with a budget of
seconds, so that one that fails or hangs takes nothing from the others, and the whole stays within --minutes. A short
table comes last; all figures go to one JSON file. Exit code 1 if there is no GPU, or if a section failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradc.ir.errors import ExecutorError

from .checkout import ROOT

HELP = "check and time compiled programs on an NVIDIA GPU"
RESERVE = 10.0
"""Seconds kept back for the table and the file."""
KEPT = 20.0
"""Seconds that every section still to come is sure of."""
CASES = (
    "layer norm 16384x4096 bf16",
    "cross entropy 16384x4096 bf16",
    "block 4x128x256",
    "softmax 16384x4096 bf16",
    "gelu+bias+residual 16384x4096 bf16",
    "mlp 128x784",
    "layer norm vjp 8192x4096 f32",
    "black scholes 1000000",
)
"""Of benchmarks/bytes.py: each is a loss or a vjp, value and gradients timed together."""


@dataclass(frozen=True)
class Section:
    """A name, what a process is started with to run it, and the most seconds it may take."""

    name: str
    command: Sequence[str]
    seconds: float


def sections() -> list[Section]:
    def own(name: str, seconds: float) -> Section:
        return Section(name, (sys.executable, "-m", "benchmarks.gpu_section", name), seconds)

    return [own("checks", 90), own("ops", 120), own("copy", 45), *(own(case, 50) for case in CASES)]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything (default 9)")
    parser.add_argument("--only", metavar="NAMES", help="sections whose name contains one of these (a,b)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the JSON file")


def run(args: argparse.Namespace) -> int:
    from gradc.runtime.cuda import device

    start = time.monotonic()
    try:
        gpu = device()
        facts: dict[str, Any] = {"device": gpu.name, "target": gpu.target.name, "multiprocessors": gpu.multiprocessors}
    except ExecutorError as error:
        print(f"benchmarks gpu: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    wanted = [w.strip() for w in args.only.split(",")] if args.only else [""]
    chosen = [s for s in sections() if any(w in s.name for w in wanted)]
    if not chosen:
        print(f"benchmarks gpu: no section's name contains {args.only!r}", file=sys.stderr)
        return 1
    results = run_sections(chosen, start + args.minutes * 60 - RESERVE, _say)
    path = write(args.out, {**facts, "sections": results})
    print(table(facts, results))
    print(f"{time.monotonic() - start:.0f} s; all figures in {path}")
    return 1 if any(r["failed"] for r in results) else 0


def _say(text: str) -> None:
    print(text, flush=True)


def run_sections(chosen: Sequence[Section], deadline: float, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """One result per section: its `rows`, lines of JSON that its process wrote one by one, and how it ended. Each gets
    its own seconds, or what is left until the `deadline` (of time.monotonic) and not kept for those after it; what it
    does not get to is cut off."""
    results = []
    for later, section in zip(reversed(range(len(chosen))), chosen, strict=True):
        left = deadline - time.monotonic()
        seconds = min(section.seconds, max(left - later * KEPT, left / (later + 1)))
        result: dict[str, Any] = {"name": section.name, "rows": [], "failed": False, "ended": "no time was left"}
        if seconds > 1:
            _run_section(section, seconds, result)
        results.append(result)
        say(f"{section.name}: {result['ended']}, {len(result['rows'])} rows")
    return results


def _run_section(section: Section, seconds: float, result: dict[str, Any]) -> None:
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gradc-") as folder:
        rows, log = Path(folder) / "rows", Path(folder) / "log"
        environment = os.environ | {"GRADC_ROWS": str(rows), "GRADC_SECONDS": f"{seconds:.1f}"}
        with log.open("wb") as output:
            child = subprocess.Popen(
                section.command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
            )
            try:
                code = child.wait(seconds)
                result["ended"] = "done" if code == 0 else f"failed with exit code {code}"
                result["failed"] = code != 0
            except subprocess.TimeoutExpired:
                result["ended"] = f"cut off after {seconds:.0f} s"
            finally:
                # Its own session: the compilers that it started go with it.
                if child.poll() is None or result["failed"]:
                    _end(child)
        lines = rows.read_bytes().split(b"\n")[:-1] if rows.exists() else []
        result["rows"] = [json.loads(line) for line in lines]
        result["failed"] = result["failed"] or any(row.get("error") for row in result["rows"])
        result["seconds"] = time.monotonic() - start
        if result["ended"] != "done":
            result["log"] = log.read_text(errors="replace")[-2000:]


def _end(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def write(folder: Path, data: dict[str, Any]) -> Path:
    """gpu-NAME.json; NAME is the device's."""
    name = "".join(c if c.isalnum() else "-" for c in data["device"].lower()).strip("-")
    path = folder / f"gpu-{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(data, indent=1) + "\n")
    temporary.replace(path)
    return path


VARIANTS = ("gradc", "eager", "compile", "max-autotune")


def table(facts: dict[str, Any], results: Sequence[dict[str, Any]]) -> str:
    """What a person wants to know: how many checks passed and which did not, then a line per program."""
    lines = [f"{facts['device']}, {facts['target']}, {facts['multiprocessors']} multiprocessors"]
    copied = next((row["gb_per_s"] for r in results for row in r["rows"] if "gb_per_s" in row and "copy" in row), None)
    lines += [f"copy: {copied:.0f} GB/s"] if copied else []
    timed = []
    for r in results:
        if any("variant" in row for row in r["rows"]):
            timed.append(r)
            continue
        wrong = [row for row in r["rows"] if row.get("error")]
        skipped = sum(bool(row.get("skipped")) for row in r["rows"])
        lines.append(f"{r['name']}: {r['ended']}; {len(r['rows']) - len(wrong) - skipped} passed, "
                     f"{len(wrong)} failed, {skipped} skipped")
        lines += [f"  {row.get('name', r['name'])}: {row['error'].splitlines()[0][:150]}" for row in wrong[:12]]
        lines += [f"  {line[:150]}" for line in r.get("log", "").splitlines()[-3:]]
    if timed:
        lines += ["", "us a call (GB/s of the least bytes, share of the copy)"]
        lines.append(f"{'':36}" + "".join(f"{v:>24}" for v in VARIANTS))
    for r in timed:
        cells = {row["variant"]: _cell(row, copied) for row in r["rows"] if "variant" in row}
        end = "" if r["ended"] == "done" else f"  {r['ended']}"
        lines.append(f"{r['name']:36}" + "".join(f"{cells.get(v, '-'):>24}" for v in VARIANTS) + end)
        for row in r["rows"]:
            if row.get("error"):
                lines.append(f"  {row['variant']}: {row['error'].splitlines()[0][:150]}")
    return "\n".join(lines)


def _cell(row: dict[str, Any], copied: float | None) -> str:
    if row.get("error"):
        return "FAILED"
    share = f", {row['gb_per_s'] / copied:.0%}" if copied else ""
    return f"{row['us']:.1f} ({row['gb_per_s']:.0f}{share})"
