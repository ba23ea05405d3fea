"""The report of a program: everything it shows, as text and as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradc.passes.remarks import count

from .kernels import input_names
from .measures import Measures

if TYPE_CHECKING:
    from .kernels import Kernel
    from .program import Program


def size_text(n: int) -> str:
    """Bytes as people read them: "3.8 MiB"."""
    value = float(n)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{n} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{n} B"


def time_text(seconds: float) -> str:
    """Seconds as people read them: "3.8 us"."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


class Report:
    """`str(report)` is the text, `report.to_json()` the data."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def to_json(self) -> dict[str, Any]:
        p = self.program
        return {
            "name": p.name,
            "target": p.target.name,
            "split": p.split,
            "launches": len(p.kernels),
            "bytes_moved": p.bytes_moved,
            "bytes_min": p.bytes_min,
            "flops": sum(k.flops for k in p.kernels),
            "arguments": [
                {"name": a.name, "type": str(a.type), "requires_grad": a.requires_grad}
                for a in p.signature.arguments
                if a.type is not None
            ],
            "captured": [
                {"name": name, "type": str(t), "requires_grad": grad, "written": written}
                for name, t, grad, written in self._captured()
            ],
            "kernels": [k.to_json() for k in p.kernels],
            "memory": p.memory.to_json(),
            "remarks": [r.to_json() for r in p.remarks],
            "remark_counts": count(p.remarks),
            "pass_seconds": [[name, seconds] for name, seconds in p.seconds],
        }

    def _captured(self) -> list[tuple[str, Any, bool, bool]]:
        """Name and type of every captured tensor, whether it requires a gradient, and whether it is written to."""
        main = self.program.joint.main
        written = {a["of"] for a in main.output_attrs if a.get("role") == "write"}
        rows = enumerate(zip(input_names(main), main.inputs, main.input_attrs, strict=True))
        return [
            (name, main.types[v], bool(a.get("requires_grad")), i in written)
            for i, (name, v, a) in rows
            if a.get("captured")
        ]

    def __str__(self) -> str:
        p = self.program
        ratio = p.bytes_moved / p.bytes_min if p.bytes_min else 1.0
        lines = [
            f"program {p.name} for {p.target.name}: {len(p.kernels)} launches, {size_text(p.bytes_moved)} moved, "
            f"{size_text(p.bytes_min)} least ({ratio:.3f} times)",
            "",
            "arguments",
        ]
        lines += [
            f"  {a.name}: {a.type}{' requires grad' if a.requires_grad else ''}"
            for a in p.signature.arguments
            if a.type is not None
        ]
        captured = self._captured()
        if captured:
            lines += ["", "captured"]
        for name, t, grad, written in captured:
            lines.append(f"  {name}: {t}{' requires grad' if grad else ''}{' is written to' if written else ''}")
        lines += ["", "kernels"]
        for k in p.kernels:
            lines.append(
                f"  {k.name} [{k.kind}, {k.phase}] grid {k.grid[0]}, {k.printed.num_warps} warps: "
                f"{size_text(k.bytes_moved)} moved, {size_text(k.bytes_min)} least, {k.flops:,} flops"
            )
            lines.append(f"    reads  {_table(k.reads, k.shapes)}")
            lines.append(f"    writes {_table(k.writes, k.shapes)}")
            lines += [f"    {line}" for binary in k.binaries.values() for line in _measured(Measures(k, binary))]
        lines += _estimated(p.kernels)
        m = p.memory
        lines += ["", f"memory: arena {size_text(m.arena_bytes)}, lower bound {size_text(m.lower_bound_bytes)}"]
        for s in m.slots:
            alias = f", reuses {s.alias_of}" if s.alias_of else ""
            lines.append(f"  {s.name}: {size_text(s.bytes)} at {s.offset}, launches {s.first} to {s.last}{alias}")
        if m.saved:
            kept = sum(r.bytes for r in m.saved if not r.is_input)
            lines.append(f"saved for backward: {size_text(kept)} beside inputs")
        for r in m.saved:
            lines.append(f"  {r.name}: {size_text(r.bytes)}{' (input)' if r.is_input else ''}, {r.reason}")
        if p.remarks:
            lines += ["", "remarks", *(f"  {r}" for r in p.remarks)]
        return "\n".join(lines) + "\n"


def _measured(m: Measures) -> list[str]:
    b = m.binary
    widths = ", ".join(f"{n} x {bits} bit" for bits, n in b.access_bits.items()) or "none"
    first = (
        f"{b.target}: {b.registers} registers, {b.spills} bytes spilled, {b.shared_bytes} bytes shared, "
        f"accesses {widths}"
    )
    second = f"  {m.occupancy}, {m.instructions_per_element:.1f} instructions an element"
    return [first, second + "".join(f", {e.chip} {time_text(e.seconds)} ({e.bound})" for e in m.estimates)]


def _estimated(kernels: list[Kernel]) -> list[str]:
    """The sums over all launches, where each has a binary."""
    seconds: dict[str, list[float]] = {}
    for k in kernels:
        for binary in k.binaries.values():
            for e in Measures(k, binary).estimates:
                seconds.setdefault(e.chip, []).append(e.seconds)
    sums = [f"{chip} {time_text(sum(each))}" for chip, each in seconds.items() if len(each) == len(kernels)]
    return [f"estimated from datasheets, one launch after the other: {', '.join(sums)}"] if sums else []


def _table(by_buffer: dict[str, int], types: dict[str, str]) -> str:
    """ "x tensor<30xf32> 120 B": each buffer with its type."""
    return ", ".join(f"{name} {types[name]} {size_text(n)}" for name, n in by_buffer.items()) or "nothing"
