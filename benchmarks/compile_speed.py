"""How long compiling takes: CPU time per forward op from tracing to the plan, for chains of elementwise ops.

    python benchmarks/compile_speed.py                           # 1k, 10k and 100k ops of three kinds
    python benchmarks/compile_speed.py --sizes 1000 --kinds tanh --json out.json

Each row runs in a process of its own, so that the peak memory is its own. The verifier is off and no text is made while
the passes are timed; printing the planned module and freeing everything are timed apart. "growth" is the time per op
over that of the smallest size of the kind: 1.0 where compiling is linear.
"""

from __future__ import annotations

import argparse
import gc as collector
import json
import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]

import gradc as gc  # noqa: E402
from gradc.ir.graph import Module  # noqa: E402
from gradc.passes.pipeline import run_pipeline  # noqa: E402
from gradc.pytree import flatten  # noqa: E402
from gradc.record import trace_function  # noqa: E402


def scaled(x: Any, ops: int) -> Any:
    """x * c + d with another c and d at each step: two ops."""
    for i in range(ops // 2):
        x = x * (1 + 1e-7 * i) + 1e-7 * i
    return x


def tanh(x: Any, ops: int) -> Any:
    for _ in range(ops):
        x = gc.tanh(x)
    return x


def sin(x: Any, ops: int) -> Any:
    for _ in range(ops):
        x = x.sin()
    return x


KINDS: dict[str, Callable[[Any, int], Any]] = {"x*c+d": scaled, "tanh": tanh, "sin": sin}
PHASES = ("trace", "adjoint", "simplify", "fuse", "plan")
PHASE_OF = {"inline": "adjoint", "adjoint": "adjoint", "checkpoint": "fuse", "fuse": "fuse", "plan-memory": "plan"}


def measure(kind: str, ops: int) -> dict[str, Any]:
    """One row: microseconds of CPU per forward op by phase, peak memory, and what came out."""
    chain = KINDS[kind]
    leaves, structure = flatten(((gc.spec("f32[1000]", requires_grad=True),), {}))
    compile_once(chain, 10, leaves, structure)
    start = time.process_time()
    module, seconds = compile_once(chain, ops, leaves, structure)
    total = time.process_time() - start
    row: dict[str, Any] = {"kind": kind, "ops": ops, "us_per_op": total / ops * 1e6}
    row["by_phase"] = {p: s / ops * 1e6 for p, s in seconds.items()}
    row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row["launches"] = sum(n.op.name == "tile.launch" for n in module.main.nodes)
    start = time.process_time()
    row["text_mb"] = len(str(module)) / 1e6
    row["print_us_per_op"] = (time.process_time() - start) / ops * 1e6
    start = time.process_time()
    del module
    collector.collect()
    row["free_us_per_op"] = (time.process_time() - start) / ops * 1e6
    return row


def compile_once(chain: Any, ops: int, leaves: list[Any], structure: Any) -> tuple[Module, dict[str, float]]:
    """The planned module, and CPU seconds by phase."""
    seconds = dict.fromkeys(PHASES, 0.0)
    at = [time.process_time()]

    def lap(phase: str) -> None:
        now = time.process_time()
        seconds[phase] += now - at[0]
        at[0] = now

    with gc.enable_grad():
        trace = trace_function(lambda x: chain(x, ops).sum(), leaves, structure, ["x"], name="chain")[0]
    trace.end()
    lap("trace")
    module = Module("traced", {"chain": trace.graph}, "chain", {"cotangents": "ones"})
    result = run_pipeline(module, after=lambda row, before, after: lap(PHASE_OF.get(row.name, "simplify")))
    return result.module, seconds


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as one table."""
    head = ["kind", "ops", "us/op", "growth", *PHASES, "print", "free", "peak MB", "launches"]
    first: dict[str, float] = {}
    lines = [head]
    for r in rows:
        base = first.setdefault(r["kind"], r["us_per_op"])
        cells = [r["kind"], f"{r['ops']:,}", f"{r['us_per_op']:.1f}", f"{r['us_per_op'] / base:.2f}"]
        cells += [f"{t:.1f}" for t in (*r["by_phase"].values(), r["print_us_per_op"], r["free_us_per_op"])]
        lines.append([*cells, f"{r['peak_mb']:.0f}", str(r["launches"])])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in lines)


def machine() -> dict[str, Any]:
    names = ("numpy", "networkx")
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **{n: version(n) for n in names},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[1000, 10_000, 100_000], metavar="OPS")
    parser.add_argument("--json", metavar="FILE", help="write the figures here too")
    args = parser.parse_args()
    if min(args.sizes) < 2:
        parser.error("a chain has at least 2 ops")
    rows = []
    spawn = multiprocessing.get_context("spawn")
    for kind in args.kinds:
        for ops in sorted(args.sizes):
            if sys.stderr.isatty():
                print(f"{kind} {ops:,} ...\x1b[K", end="\r", file=sys.stderr, flush=True)
            with spawn.Pool(1) as pool:
                rows.append(pool.apply(measure, (kind, ops)))
    print(table(rows))
    if args.json:
        Path(args.json).parent.mkdir(parents=True, exist_ok=True)
        Path(args.json).write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
