"""How long a program takes to build, text and facts of its kernels included, in a fresh process that finds all binaries
in the cache.

The first process compiles with Triton into a cache of its own and is not counted. Of the others the least CPU time of
each step is shown, in milliseconds, and beside them a fixed loop of Python: it says how fast the machine is just now.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from .checkout import ROOT
from .warm_child import STEPS

HELP = "time builds in fresh processes with all binaries in the cache"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=15, metavar="N", help="processes that are counted (default: 15)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        # Bytecode is kept whatever the caller's settings are: an installed package has it.
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment = kept | {"GRADC_CACHE_DIR": f"{folder}/cache", "PYTHONPYCACHEPREFIX": f"{folder}/bytecode"}
        cold = process(environment)
        rows = [process(environment) for _ in range(max(args.runs, 1))]
    shown = least(rows)
    if args.json:
        print(json.dumps({"cold": cold, "warm": shown}, indent=2))
    else:
        print(table(shown))
    return 0


def process(environment: dict[str, str]) -> dict[str, Any]:
    """What one fresh process printed."""
    command = [sys.executable, "-m", "benchmarks.warm_child"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks warm: {done.stderr.strip().splitlines()[-1]}")
    out: dict[str, Any] = json.loads(done.stdout)
    return out


def least(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The least time of each step, and the least sum of what comes after `import gradc`."""
    times = {step: min(row[step] for row in rows) for step in (*STEPS, "fixed loop")}
    build = min(sum(row[step] for step in STEPS[1:]) for row in rows)
    return {**rows[0], **times, "build": build}


def table(row: dict[str, Any]) -> str:
    head = (f"{row['forward ops']} forward ops, {row['kernels']} kernels, {row['modules imported']} modules of gradc, "
            f"triton {'' if row['triton imported'] else 'not '}imported")  # fmt: skip
    lines = [f"  {step:15}{row[step]:8.1f} ms" for step in (*STEPS, "build", "fixed loop")]
    return "\n".join([head, *lines])
