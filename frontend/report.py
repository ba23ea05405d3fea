"""The report of a program: everything it shows, as text and as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradc.passes.remarks import count

if TYPE_CHECKING:
    from .program import Program


def size_text(n: int) -> str:
    """Bytes as people read them: "3.8 MiB"."""
    value = float(n)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{n} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{n} B"


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
            "kernels": [k.to_json() for k in p.kernels],
            "memory": p.memory.to_json(),
            "remarks": [r.to_json() for r in p.remarks],
            "remark_counts": count(p.remarks),
            "pass_seconds": [[name, seconds] for name, seconds in p.seconds],
        }

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
        lines += ["", "kernels"]
        for k in p.kernels:
            lines.append(
                f"  {k.name} [{k.kind}, {k.phase}] grid {k.grid[0]}, {k.printed.num_warps} warps: "
                f"{size_text(k.bytes_moved)} moved, {size_text(k.bytes_min)} least, {k.flops:,} flops"
            )
            lines.append(f"    reads  {_table(k.reads)}")
            lines.append(f"    writes {_table(k.writes)}")
            for name, facts in k.to_json().get("binaries", {}).items():
                widths = ", ".join(f"{n} x {bits} bit" for bits, n in facts["access_bits"].items())
                lines.append(
                    f"    {name}: {facts['registers']} registers, {facts['spills']} bytes spilled, "
                    f"{facts['shared_bytes']} bytes shared, accesses {widths}"
                )
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


def _table(by_buffer: dict[str, int]) -> str:
    return ", ".join(f"{name} {size_text(n)}" for name, n in by_buffer.items()) or "nothing"
