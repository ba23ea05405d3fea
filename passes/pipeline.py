"""The pipeline: one readable row per pass, and the runner that verifies, times and keeps the states between.

States:  traced -> joint -> decomposed -> simplified -> scheduled -> planned
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from gradc.ir.errors import GradValueError
from gradc.ir.graph import Module

from .adjoint import adjoint
from .checkpoint import checkpoint
from .cse import cse
from .dce import dce
from .decompose import decompose
from .fuse import fuse
from .inline import inline
from .memory import plan_memory
from .options import names, one_of
from .remarks import Remark
from .simplify import simplify


class Pass(NamedTuple):
    """`needs` are the states a pass may start from, `leaves` the state it ends in (None: as it was); `options` the
    keywords of `run` that a pipeline may set in braces, with what reads their text."""

    name: str
    run: Callable[..., Module]
    needs: tuple[str, ...]
    leaves: str | None = None
    options: Mapping[str, Callable[[str], Any]] = {}


PIPELINE: tuple[Pass, ...] = (
    Pass("inline", inline, ("traced",)),
    Pass("adjoint", adjoint, ("traced",), "joint", {"cotangents": one_of("ones", "inputs"), "wrt": names}),
    Pass("decompose", decompose, ("traced", "joint"), "decomposed"),
    Pass("simplify", simplify, ("decomposed", "simplified"), "simplified"),
    Pass("cse", cse, ("traced", "joint", "decomposed", "simplified")),
    Pass("dce", dce, ("traced", "joint", "decomposed", "simplified")),
    Pass("checkpoint", checkpoint, ("simplified",)),
    Pass("fuse", fuse, ("simplified",), "scheduled"),
    Pass("plan-memory", plan_memory, ("scheduled",), "planned"),
)


def between(start: str, end: str) -> tuple[Pass, ...]:
    """The rows that lead from one state to another, in order, with all that may run at the states on the way."""
    rows, state = [], start
    for row in PIPELINE:
        if state in row.needs:
            if state == end and row.leaves not in (None, end):
                break
            rows.append(row)
            state = row.leaves or state
    return tuple(rows)


class Result:
    """The final module, the module at each named state, all remarks, and seconds per pass in order."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.stages = {module.state: module}
        self.remarks: list[Remark] = []
        self.seconds: list[tuple[str, float]] = []


def parse_pipeline(text: str) -> tuple[Pass, ...]:
    """ "cse,adjoint{wrt=x}" as rows with their options bound; raises GradValueError (`pipeline_text.py`)."""
    from .pipeline_text import read

    known = {p.name: p for p in PIPELINE}
    rows = ((known[name], options) for name, options in read(text, PIPELINE))
    return tuple([row._replace(run=partial(row.run, **given)) if given else row for row, given in rows])


def run_pipeline(
    module: Module,
    passes: Sequence[Pass] | str | None = None,
    *,
    verify: bool = False,
    after: Callable[[Pass, Module, Module], None] | None = None,
) -> Result:
    """Run the rows in order (all of PIPELINE by default). `after(row, before, after)` is called after each."""
    rows = PIPELINE if passes is None else parse_pipeline(passes) if isinstance(passes, str) else tuple(passes)
    result = Result(module)
    collecting = gc.isenabled()
    # Passes make millions of objects and no cycles; the collector would walk them all again and again.
    gc.disable()
    try:
        return _run(rows, module, result, verify, after)
    finally:
        if collecting:
            gc.enable()


def _run(
    rows: Sequence[Pass],
    module: Module,
    result: Result,
    verify: bool,
    after: Callable[[Pass, Module, Module], None] | None,
) -> Result:
    for row in rows:
        if module.state not in row.needs:
            raise GradValueError(
                f"pass {row.name} starts from {' or '.join(row.needs)}, got a module at {module.state!r}"
            )
        start = time.perf_counter()
        out = row.run(module, result.remarks)
        result.seconds.append((row.name, time.perf_counter() - start))
        if row.leaves is not None and out.state != row.leaves:
            out.state = row.leaves
        if verify:
            from gradc.ir.laws import verify as check

            check(out)
        if after is not None:
            after(row, module, out)
        module = out
        result.stages[module.state] = module
    result.module = module
    return result
