"""Compile every kernel of a function for several targets, in parallel and with no GPU, and show what came of it.

One row per kernel and target: whether it compiles, registers per lane, bytes spilled, bytes of shared memory, widths
of global accesses, warps a multiprocessor holds, instructions an element. The exit code is 1 if one does not compile,
or spills under --no-spills."""

from __future__ import annotations

import argparse
import json
from typing import Any

from gradc.ir.errors import ExecutorError, TargetError
from gradc.runtime.target import Target
from gradc.runtime.target import target as find_target

from ..measures import Measures, compile_all
from . import source
from .progress import bar

HELP = "compile a function's kernels for several targets and compare"
EXAMPLE = "gradc matrix examples/logistic.py:loss --targets sm80,sm90,sm100,gfx942,gfx1100 --no-spills"
__doc__ = f"{__doc__}\n\n{source.SPECS}"

HEAD = ("kernel", "class", "target", "registers", "spills", "shared", "accesses", "warps", "instructions", "")
TEXTS = (0, 1, 2, 6, 9)


def arguments(sub: argparse.ArgumentParser) -> None:
    source.arguments(sub)
    sub.add_argument("--targets", default="sm80,sm90,sm100,sm120,gfx942,gfx950,gfx1100", metavar="LIST",
                     help="targets, with commas between (default: all that compile)")
    sub.add_argument("--no-spills", action="store_true", help="a kernel that spills is a failure, too")
    sub.add_argument("--threads", type=int, metavar="N", help="compile N at a time (default: one per core)")
    sub.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    targets = _targets(args.targets)
    program = source.program(args)
    distinct = list({kernel.name: kernel for kernel in program.kernels}.values())
    results = compile_all(distinct, targets, threads=args.threads, progress=bar)
    rows, failures = [], 0
    for (i, name), result in results.items():
        row: dict[str, Any] = {"kernel": distinct[i].name, "class": distinct[i].kind, "target": name}
        if isinstance(result, ExecutorError):
            row["error"] = result.bare
        else:
            row |= Measures(distinct[i], result).to_json()
        row["failed"] = "error" in row or (args.no_spills and row["spills"] > 0)
        failures += row["failed"]
        rows.append(row)
    if args.json:
        print(json.dumps({"name": program.name, "rows": rows, "failures": failures}, indent=2))
    else:
        print(table([HEAD, *map(_cells, rows)]))
        print(f"{len(rows)} compiled, {failures} failed" if failures else f"{len(rows)} compiled")
    return 1 if failures else 0


def _targets(text: str) -> list[Target]:
    found = {to.name: to for to in map(find_target, filter(None, (name.strip() for name in text.split(","))))}
    for to in found.values():
        if not to.compiles:
            raise TargetError(f"target {to.name!r} has no binaries", hint="--targets sm90,gfx942, say")
    if not found:
        raise TargetError("--targets names no target", hint="--targets sm90,gfx942, say")
    return list(found.values())


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    first = (row["kernel"], row["class"], row["target"])
    if "error" in row:
        return (*first, "", "", "", "", "", "", f"FAILED: {row['error'].splitlines()[0]}")
    widths = " ".join(f"{n}x{bits}" for bits, n in row["access_bits"].items())
    held = row["occupancy"]
    numbers = (str(row["registers"]), str(row["spills"]), str(row["shared_bytes"]), widths)
    return (*first, *numbers, f"{held['warps']}/{held['of']}", f"{row['instructions_per_element']:.1f}",
            "FAILED: spills" if row["failed"] else "")


def table(lines: list[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell; numbers to the right."""
    widths = [max(len(line[i]) for line in lines) if i < len(HEAD) - 1 else 0 for i in range(len(HEAD))]
    out = []
    for line in lines:
        cells = [c.ljust(w) if i in TEXTS else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)
