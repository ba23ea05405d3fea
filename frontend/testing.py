"""Helpers for the tests of users: what a program fuses, launches, moves and differentiates, and closeness of numbers.

    prog = gc.build(loss, ...)
    gc.testing.assert_kernels(prog, backward=1)
    gc.testing.assert_fused(prog, "sigmoid", "mul")
    gc.testing.assert_budget(prog, launches=2, bytes_ratio=1.05, spills=0, registers=128, target="cuda:90")
    gc.testing.assert_grad_reaches(prog, "w1")
    gc.testing.assert_close(prog(*arrays)[0], expected)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradc.ir.errors import GradTypeError, GradValueError
from gradc.runtime.target import target as find_target

from .closeness import assert_close
from .measures import compile_for
from .report import size_text

if TYPE_CHECKING:
    from .explanation import Explanation
    from .program import Program

PHASES = ("forward", "backward", "joint")


def assert_kernels(program: Program, total: int | None = None, **phases: int) -> None:
    """The program has just so many launches, in all or of a phase: `backward=1`."""
    unknown = [p for p in phases if p not in PHASES]
    if unknown:
        raise GradTypeError(f"assert_kernels: no phase is called {unknown[0]!r}", hint=f"one of {', '.join(PHASES)}")
    have = {p: [k.name for k in program.kernels if k.phase == p] for p in PHASES}
    wrong = [f"{len(have[p])} {p}, expected {n}" for p, n in phases.items() if len(have[p]) != n]
    if total is not None and len(program.kernels) != total:
        wrong.append(f"{len(program.kernels)} launches, expected {total}")
    if wrong:
        listing = "\n".join(f"  {k.name}: {k.kind}, {k.phase}" for k in program.kernels)
        raise AssertionError(f"{program.name} has {'; '.join(wrong)}:\n{listing}{_reasons(program)}")


def assert_bytes(program: Program, at_most: float) -> None:
    """The program moves at most this many times the least bytes."""
    moved, least = program.bytes_moved, program.bytes_min
    if moved > at_most * least:
        ratio = f"{moved / least:.3f} times the least ({size_text(least)})" if least else "and needs to move none"
        raise AssertionError(
            f"{program.name} moves {size_text(moved)}, {ratio}, expected at most {at_most} times{_reasons(program)}"
        )


def assert_budget(
    program: Program,
    *,
    launches: int | None = None,
    bytes_ratio: float | None = None,
    spills: int | None = None,
    registers: int | None = None,
    shared_bytes: int | None = None,
    occupancy: float | None = None,
    target: str | None = None,
) -> None:
    """The program keeps to each limit that is given: at most so many `launches`, bytes moved over the least, and, of
    every launch compiled for `target` (by default the program's), bytes spilled, registers per lane and bytes of
    shared memory; at least `occupancy` (0 to 1) of the warps that a multiprocessor holds. Needs no GPU. All that is
    exceeded is in the AssertionError, by launch."""
    over = []
    if launches is not None and len(program.kernels) > launches:
        over.append(f"{len(program.kernels)} launches, at most {launches}")
    if bytes_ratio is not None and program.bytes_moved > bytes_ratio * program.bytes_min:
        moved, least = size_text(program.bytes_moved), size_text(program.bytes_min)
        over.append(f"{moved} moved, at most {bytes_ratio} times the least, {least}")
    limits = (spills, registers, shared_bytes, occupancy)
    if any(limit is not None for limit in limits):
        for m in compile_for(program, target=None if target is None else find_target(target)):
            b, held = m.binary, m.occupancy
            if spills is not None and b.spills > spills:
                over.append(f"{b.spills} bytes spilled by {m.kernel.name}, at most {spills}")
            if registers is not None and b.registers > registers:
                over.append(f"{b.registers} registers in {m.kernel.name}, at most {registers}")
            if shared_bytes is not None and b.shared_bytes > shared_bytes:
                over.append(f"{b.shared_bytes} bytes of shared memory in {m.kernel.name}, at most {shared_bytes}")
            if occupancy is not None and held.share < occupancy:
                over.append(f"occupancy {held.share:.2f} ({held}) of {m.kernel.name}, at least {occupancy}")
    if over:
        raise AssertionError(f"{program.name} is over its budget:\n  " + "\n  ".join(over) + _reasons(program))


def assert_fused(program: Program, *ops: str) -> None:
    """One launch computes an operation of each of these names: "mul", or a composite's ("gelu"), by its line."""
    from .explanation import Explanation

    explanation = Explanation(program)
    kernels = [_kernels_with(explanation, op) for op in ops]
    if not ops or set.intersection(*map(set, kernels)):
        return
    lines = [f"\n  {op} is in {', '.join(found)}" for op, found in zip(ops, kernels, strict=True)]
    raise AssertionError(
        f"{program.name}: no launch computes {' and '.join(ops)}{''.join(lines)}{_reasons(program)}"
    )


def _kernels_with(explanation: Explanation, op: str) -> list[str]:
    traced = explanation.program.stages.modules["traced"].main
    lines = {n.loc for n in traced.nodes if n.op.short == op and n.loc is not None and n.op.decompose is not None}
    found, known = [], set()
    for launch, placement in explanation.launches:
        nodes = [placement.graph.nodes[i] for i in (*launch.nodes, *launch.repeated, *launch.finishes)]
        known |= {n.op.short for n in nodes} | {n.op.short for n in traced.nodes}
        if any(n.op.short == op or n.loc in lines for n in nodes):
            found.append(launch.kernel)
    if not found:
        raise GradValueError(f"{explanation.program.name} has no operation {op!r}", hint=f"it has {_list(known)}")
    return found


def assert_grad_reaches(program: Program, *names: str) -> None:
    """These arguments (or captured parameters) get a gradient."""
    graph = program.joint.main
    inputs = {str(a.get("name")): (i, a) for i, a in enumerate(graph.input_attrs) if a.get("role") != "cotangent"}
    reached = {a["of"] for a in graph.output_attrs if a.get("role") == "grad"}
    for name in names:
        if name not in inputs:
            raise GradValueError(f"{program.name} has no argument {name!r}", hint=f"it has {_list(inputs)}")
        i, attrs = inputs[name]
        if i in reached:
            continue
        why = next((r.reason for r in program.remarks if r.kind == "no-gradient" and r.subject == name), None)
        raise AssertionError(
            f"{program.name}: no gradient reaches {name}: "
            f"{why or ('it requires none' if not attrs.get('requires_grad') else 'no path leads there')}"
        )


def _reasons(program: Program) -> str:
    lines = [f"  {r}" for r in program.remarks if r.kind == "not-fused"]
    return "\nnot fused:\n" + "\n".join(lines) if lines else ""


def _list(names: Any) -> str:
    return ", ".join(sorted(str(n) for n in names)) or "none"


__all__ = ["assert_budget", "assert_bytes", "assert_close", "assert_fused", "assert_grad_reaches", "assert_kernels"]
