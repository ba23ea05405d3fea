"""The table of `gradc opt --timing`, as mlir-opt prints it, with nodes in and out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from gradc.ir.graph import Module

RULE = "===" + "-" * 73 + "==="


class Timing:
    """Seconds per pass in order, and of what is not a pass."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.passes: list[tuple[str, float, int, int]] = []
        self.parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.parts[name] = self.parts.get(name, 0.0) + time.perf_counter() - start

    def add_pass(self, name: str, seconds: float, before: Module, after: Module) -> None:
        self.passes.append((name, seconds, nodes(before), nodes(after)))

    def __str__(self) -> str:
        total = max(time.perf_counter() - self.start, 1e-9)
        spent = sum(s for _, s, _, _ in self.passes) + sum(self.parts.values())
        lines = [RULE, f"{'... Execution time report ...':^79}", RULE, f"  Total Execution Time: {total:.4f} seconds"]
        lines += ["", "  ----Wall Time----  ----Nodes in -> out----  ----Name----"]

        def line(seconds: float, name: str, count: str = "") -> str:
            return f"  {seconds:8.4f} ({100 * seconds / total:5.1f}%)  {count:^23}  {name}"

        parts = dict(self.parts)
        if "Parser" in parts:
            lines.append(line(parts.pop("Parser"), "Parser"))
        lines += [line(s, name, f"{a} -> {b}") for name, s, a, b in self.passes]
        lines += [line(s, name) for name, s in parts.items()]
        lines += [line(max(total - spent, 0.0), "Rest"), line(total, "Total")]
        return "\n".join(lines) + "\n"


def nodes(module: Module) -> int:
    """Nodes of all functions and kernels."""
    return sum(len(g.nodes) for g in module.graphs.values())
