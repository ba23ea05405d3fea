"""What the page knows beside the drawings: kernels with their source, the memory plan, remarks, the user's lines."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gradc.ir.graph import Graph, Module
from gradc.ir.plan import slots
from gradc.ir.print import print_graph
from gradc.runtime.target import Target

from ..kernels import Kernel, buffer_names, input_names, kernels_of, launches
from .steps import KERNEL_STATES, History

LINE_LIMIT = 600
"""Longest IR line shown: constants hold their data."""
AROUND = 2
"""Lines of the user's source shown before and after one."""
_PLACE = re.compile(r"\s*# (.+):(\d+)$")


def ir_lines(graph: Graph) -> list[str]:
    """The text of every node of a graph, regions included."""
    out: list[str] = []
    for line in print_graph(graph).split("\n")[1:]:
        if line.startswith("  ") and line[2:3] not in (" ", "}"):
            out.append(line[2:])
        elif out and line.startswith("  "):
            out[-1] += "\n" + line[2:]
    return [line if len(line) <= LINE_LIMIT else line[: LINE_LIMIT - 1] + "…" for line in out[: len(graph.nodes)]]


def kernels(found: History, target: Target) -> list[dict[str, Any]]:
    """Per launch its counts, its source, and the source line behind each line of it."""
    out: list[dict[str, Any]] = []
    names = input_names(found.modules[0].main)
    for module, phase in zip(found.modules, found.phases, strict=True):
        if module.state not in KERNEL_STATES:
            continue
        for k in kernels_of(module, phase, target, names):
            data = k.to_json()
            out.append({**data, "source": k.source, "places": places(k), "launch": len(out)})
    return out


def places(kernel: Kernel) -> list[str]:
    """For every line of the Triton text the user's line that its comment names, or ""."""
    out, at = [], ""
    for line in kernel.source.split("\n"):
        found = _PLACE.fullmatch(line)
        if found is not None:
            at = f"{found[1]}:{found[2]}"
        elif line.startswith("def "):
            at = ""
        out.append(at)
    return out


def memory(found: History) -> dict[str, Any]:
    """The arena: its size, its bound, every slot with the kernel that writes it, and the launches in order."""
    arena = bound = first = 0
    shown: list[dict[str, Any]] = []
    order: list[str] = []
    for module in found.modules:
        if module.state != "planned":
            continue
        main = module.main
        arena = max(arena, int(main.attrs.get("arena_bytes", 0)))
        bound = max(bound, int(main.attrs.get("lower_bound_bytes", 0)))
        names = buffer_names(main, input_names(found.modules[0].main))
        position = _launch_positions(module)
        writer = {r: n.attrs["kernel"] for n in launches(main) for r in n.results}
        for s in slots(main):
            data = s.to_json()
            data["name"], data["kernel"] = names[s.value], writer.get(s.value, "")
            data["type"] = str(main.types[s.value])
            data["first"], data["last"] = first + position[s.first], first + position[s.last]
            shown.append(data)
        order += [n.attrs["kernel"] for n in launches(main)]
        first = len(order)
    return {"arena": arena, "bound": bound, "slots": shown, "launches": order}


def _launch_positions(module: Module) -> list[int]:
    """For every node of a planned main function the number of launches before it."""
    out, count = [], 0
    for node in module.main.nodes:
        out.append(count)
        count += node.op.name == "tile.launch"
    return out


def source_lines(places: Iterable[tuple[str, int]], folders: list[Path]) -> dict[str, dict[int, str]]:
    """The user's lines with a few around each. Only Python files inside the given folders are read: a location in IR
    text from elsewhere must not pull other files into a page that is passed on."""
    wanted: dict[str, set[int]] = {}
    for file, line in places:
        wanted.setdefault(file, set()).update(range(line - AROUND, line + AROUND + 1))
    out: dict[str, dict[int, str]] = {}
    for file, numbers in wanted.items():
        path = next((p for f in folders if (p := _inside(f, file)) is not None), None)
        if path is None:
            continue
        text = path.read_text(encoding="utf-8", errors="replace").split("\n")
        out[file] = {n: text[n - 1][:LINE_LIMIT] for n in sorted(numbers) if 0 < n <= len(text)}
    return out


def _inside(folder: Path, file: str) -> Path | None:
    root = folder.resolve()
    try:
        path = (root / file).resolve()
        return path if path.suffix == ".py" and path.is_relative_to(root) and path.is_file() else None
    except (OSError, ValueError):
        return None
