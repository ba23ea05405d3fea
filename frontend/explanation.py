"""Why a program is as it is: what each launch computes, what was not fused, what was cut, what is saved.

Everything here is asked of the passes again (`passes/placement.py`) and of the program's remarks, so it costs nothing
until it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gradc.passes.edges import MEANING
from gradc.passes.pipeline import between, run_pipeline
from gradc.passes.placement import Launch, Placement, place
from gradc.passes.remarks import Remark

from .report import size_text

if TYPE_CHECKING:
    from .program import Program

HOWS = {"computed": "", "repeated": "repeats ", "finished": "adds up the partials of "}
"""How a launch comes by an operation's result, and what the text says before such operations."""


class Explanation:
    """`str(explanation)` is the text, `explanation.to_json()` the data."""

    def __init__(self, program: Program, kinds: tuple[str, ...] = ()) -> None:
        self.program, self.kinds = program, kinds

    @cached_property
    def placements(self) -> list[Placement]:
        """Where every node of each half went."""
        return [place(run_pipeline(half, between("joint", "simplified")).module) for half in self.program.halves]

    @property
    def launches(self) -> list[tuple[Launch, Placement]]:
        return [(launch, p) for p in self.placements for launch in p.launches]

    def computed(self, launch: Launch, placement: Placement) -> list[dict[str, Any]]:
        """The operations of a launch in program order, each with its line and how the launch has it."""
        out = []
        hows = ((launch.nodes, "computed"), (launch.repeated, "repeated"), (launch.finishes, "finished"))
        for i, how in sorted((i, how) for positions, how in hows for i in positions):
            node = placement.graph.nodes[i]
            loc = None if node.loc is None else str(node.loc)
            out.append({"op": node.op.short, "node": i, "line": loc, "how": how})
        return out

    def remarks(self, kind: str) -> list[Remark]:
        wanted = not self.kinds or kind in self.kinds
        return [r for r in self.program.remarks if r.kind == kind] if wanted else []

    def to_json(self) -> dict[str, Any]:
        kernels = {k.name: k for k in self.program.kernels}
        launches = []
        for launch, placement in self.launches if not self.kinds else ():
            kernel = kernels[launch.kernel]
            launches.append(
                {
                    "kernel": launch.kernel,
                    "class": kernel.kind,
                    "phase": kernel.phase,
                    "bytes_moved": kernel.bytes_moved,
                    "axes": launch.axes,
                    "ops": self.computed(launch, placement),
                }
            )
        kinds = dict.fromkeys(r.kind for r in self.program.remarks)
        return {
            "name": self.program.name,
            "target": self.program.target.name,
            "launches": launches,
            "remarks": [r.to_json() for kind in kinds for r in self.remarks(kind)],
            "reasons": dict(MEANING),
        }

    def __str__(self) -> str:
        p = self.program
        lines = [f"{p.name} for {p.target.name}: {len(p.kernels)} launches, {size_text(p.bytes_moved)} moved"]
        lines += [f"warning: {r.subject} ends without a gradient: {r.reason}" for r in self.remarks("no-gradient")]
        if not self.kinds:
            lines += ["", "launches", *self._launch_lines()]
        lines += self._section("not fused", "not-fused", self._not_fused)
        lines += self._section("cut: adjoint operations that were not made", "cut", self._saved_by)
        lines += self._section("deleted: operations that nothing needs", "deleted", self._saved_by)
        lines += self._section("saved for backward", "saved", self._residuals)
        known = ("no-gradient", "not-fused", "cut", "deleted", "saved")
        for kind in dict.fromkeys(r.kind for r in p.remarks if r.kind not in known):
            lines += self._section(kind, kind, lambda remarks: [f"  {r}" for r in remarks])
        return "\n".join(lines) + "\n"

    def _section(self, title: str, kind: str, write: Any) -> list[str]:
        remarks = self.remarks(kind)
        return ["", title, *write(remarks)] if remarks else []

    def _launch_lines(self) -> list[str]:
        kernels = {k.name: k for k in self.program.kernels}
        out = []
        for launch, placement in self.launches:
            k = kernels[launch.kernel]
            out.append(f"  {k.name}: {k.kind} over {launch.axes}, {k.phase}, {size_text(k.bytes_moved)} moved")
            by_line: dict[str, dict[str, list[str]]] = {}
            for op in self.computed(launch, placement):
                if op["op"] not in ("constant", "iota"):
                    line = by_line.setdefault(op["line"] or "no line", {how: [] for how in HOWS})
                    line[op["how"]].append(op["op"])
            width = max((len(line) for line in by_line), default=0)
            for at, hows in by_line.items():
                parts = [f"{before}{_counted(hows[how])}" for how, before in HOWS.items() if hows[how]]
                out.append(f"    {at:<{width}}  {'; '.join(parts)}")
        return out

    @staticmethod
    def _not_fused(remarks: list[Remark]) -> list[str]:
        out = []
        for reason in dict.fromkeys(r.reason for r in remarks):
            out.append(f"  {reason}: {MEANING[reason]}")
            for r in remarks:
                if r.reason == reason:
                    more = {k: v for k, v in r.numbers.items() if k not in ("bytes", "from", "to")}
                    tail = "".join(f", {k.replace('_', ' ')} {v}" for k, v in more.items())
                    n = r.numbers
                    way = f"{size_text(n['bytes'])} kept in memory, {n['from']} to {n['to']}"
                    out.append(f"    {_line(r)}{r.subject}: {way}{tail}")
        return out

    @staticmethod
    def _saved_by(remarks: list[Remark]) -> list[str]:
        out = []
        for reason in dict.fromkeys(r.reason for r in remarks):
            mine = [r for r in remarks if r.reason == reason]
            total = {k: sum(r.numbers[k] for r in mine) for k in ("ops", "bytes", "flops")}
            out.append(f"  {reason}: {_spared(total)}")
            out += [f"    {_line(r)}{r.subject}: {_spared(r.numbers)}" for r in mine]
        return out

    @staticmethod
    def _residuals(remarks: list[Remark]) -> list[str]:
        return [
            f"  {r.subject}: {size_text(r.numbers['bytes'])}{' (input)' if r.numbers['is_input'] else ''}, {r.reason}"
            for r in remarks
        ]


def _line(r: Remark) -> str:
    return "" if r.loc is None else f"{r.loc}  "


def _spared(numbers: Mapping[str, Any]) -> str:
    ops = numbers["ops"]
    return f"{ops} operation{'' if ops == 1 else 's'}, {size_text(numbers['bytes'])}, {numbers['flops']:,} flops saved"


def _counted(ops: list[str]) -> str:
    """ "mul, exp x2": every operation once, in order, with its count."""
    return ", ".join(op if (n := ops.count(op)) == 1 else f"{op} x{n}" for op in dict.fromkeys(ops))
