"""One step as a drawing: boxes for nodes, inputs and outputs, frames for kernels, and the lines between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .arrange import BACKWARD, FORWARD, Item, Plan, arrange
from .steps import Step
from .vertices import Vertex, vertices_of

CHAR, SMALL, HEIGHT, PAD = 8.0, 6.7, 38.0, 24.0
"""Width of a letter in a label's first and second line, a label's height, and its margins."""
NARROWEST = 78.0
FRAME, HEAD = 16.0, 30.0
"""A frame's margin, and the height of its title."""


@dataclass
class Scene:
    vertices: list[Vertex]
    texts: list[tuple[str, str]]
    at: list[tuple[float, float]]
    sizes: list[tuple[float, float]]
    routes: list[tuple[int, int, list[float], str]]
    """From, to, points, and what it is: a line within a side, across, or a buffer between kernels."""
    frames: list[dict[str, Any]]
    width: float
    height: float


def scene(step: Step, before: Step | None) -> Scene:
    """Lay a step out."""
    vertices = vertices_of(step, before)
    links = [(a, b) for b, v in enumerate(vertices) for a in v.reads if a != b]
    if any(v.kernel for v in vertices):
        return _framed(vertices, links)
    items = [_item(vertices, i) for i in range(len(vertices))]
    plan = arrange(items, links)
    texts = [(v.first(_written(vertices, far)), v.second()) for v, far in zip(vertices, plan.far, strict=True)]
    routes = [(a, b, points, _style(vertices, a, b)) for (a, b), points in plan.routes.items()]
    return Scene(vertices, texts, plan.at, plan.sizes, routes, [], plan.width, plan.height)


def _written(vertices: list[Vertex], far: list[int]) -> list[str]:
    return [(vertices[a].name or vertices[a].label) for a in far]


def _size(vertex: Vertex, far: list[str]) -> tuple[float, float]:
    width = max(len(vertex.first(far)) * CHAR, len(vertex.second()) * SMALL) + PAD
    return max(width, NARROWEST), HEIGHT if vertex.second() else HEIGHT - 12


def _item(vertices: list[Vertex], i: int) -> Item:
    v = vertices[i]
    return Item(v.side, lambda far: _size(v, _written(vertices, far)), v.source)


def _framed(vertices: list[Vertex], links: list[tuple[int, int]]) -> Scene:
    """Every kernel laid out for itself, then the kernels among inputs and outputs."""
    groups: dict[str, list[int]] = {}
    for i, v in enumerate(vertices):
        groups.setdefault(f"k:{v.kernel}" if v.kernel else v.key, []).append(i)
    where = {i: g for g, own in groups.items() for i in own}
    inner: dict[str, list[tuple[int, int]]] = {g: [] for g in groups}
    outside: list[list[int]] = [[] for _ in vertices]
    between: dict[tuple[str, str], list[int]] = {}
    for a, b in links:
        if where[a] == where[b]:
            inner[where[a]].append((a, b))
        else:
            outside[b].append(a)
            between.setdefault((where[a], where[b]), []).append(a)
    plans: dict[str, Plan] = {}
    items: list[Item] = []
    names = list(groups)
    for g, own in groups.items():
        local = {v: k for k, v in enumerate(own)}
        parts = [_inner_item(vertices, v, [own, outside[v]]) for v in own]
        plan = plans[g] = arrange(parts, [(local[a], local[b]) for a, b in inner[g]])
        framed = g.startswith("k:")
        room = (plan.width + 2 * FRAME, plan.height + HEAD + 2 * FRAME) if framed else (plan.width, plan.height)
        side = _side(vertices, own)
        first = vertices[own[0]]
        if not framed and first.reads and vertices[first.reads[0]].kernel:
            # A gradient stands below the kernel that makes it, if that makes forward values too.
            side = _side(vertices, groups[where[first.reads[0]]])
        items.append(Item(side, lambda far, room=room: room, vertices[own[0]].source))  # type: ignore[misc]
    position = {g: i for i, g in enumerate(names)}
    pairs = [(position[a], position[b]) for a, b in between if a != b]
    outer = arrange(items, _acyclic(pairs, len(items)), span=3)
    return _compose(vertices, groups, plans, outside, outer, names, between)


def _spread(
    points: list[float], at: tuple[float, float], size: tuple[float, float], to: tuple[float, float],
    to_size: tuple[float, float],
) -> None:  # fmt: skip
    """Let a line leave and enter frames where that is nearest, not all in the middle."""
    ends = ((0, at, size, points[2]), (len(points) - 2, to, to_size, points[-4]))
    for k, (x, _), (w, _), toward in ends:
        reach = max(w / 2 - 28.0, 0.0)
        points[k] = min(max(toward, x - reach), x + reach)


def _side(vertices: list[Vertex], own: list[int]) -> int:
    return BACKWARD if all(vertices[v].side == BACKWARD for v in own) else FORWARD


def _style(vertices: list[Vertex], a: int, b: int) -> str:
    if "removed" in (vertices[a].status, vertices[b].status):
        return "ghost" if vertices[a].side == vertices[b].side else "ghost across"
    return "flow" if vertices[a].side == vertices[b].side else "across"


def _acyclic(pairs: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """Without the links that would close a cycle: those of values that several kernels compute for themselves."""
    import networkx as nx

    graph = nx.DiGraph(pairs)
    graph.add_nodes_from(range(count))
    group = {n: k for k, c in enumerate(nx.strongly_connected_components(graph)) for n in c}
    return [(a, b) for a, b in pairs if group[a] != group[b]]


def _inner_item(vertices: list[Vertex], i: int, context: list[list[int]]) -> Item:
    own, outside = context
    v = vertices[i]
    return Item(v.side, lambda far: _size(v, _written(vertices, [*outside, *(own[k] for k in far)])), v.source)


def _compose(
    vertices: list[Vertex], groups: dict[str, list[int]], plans: dict[str, Plan], outside: list[list[int]],
    outer: Plan, names: list[str], between: dict[tuple[str, str], list[int]],
) -> Scene:  # fmt: skip
    n = len(vertices)
    at, sizes, texts = [(0.0, 0.0)] * n, [(0.0, 0.0)] * n, [("", "")] * n
    routes: list[tuple[int, int, list[float], str]] = []
    frames: list[dict[str, Any]] = []
    for k, g in enumerate(names):
        plan, own, (cx, cy), (w, h) = plans[g], groups[g], outer.at[k], outer.sizes[k]
        framed = g.startswith("k:")
        dx, dy = cx - w / 2 + (FRAME if framed else 0), cy - h / 2 + (HEAD + FRAME if framed else 0)
        for i, v in enumerate(own):
            at[v], sizes[v] = (plan.at[i][0] + dx, plan.at[i][1] + dy), plan.sizes[i]
            far = [*outside[v], *(own[j] for j in plan.far[i])] if framed else []
            texts[v] = vertices[v].first(_written(vertices, far)), vertices[v].second()
        for (a, b), points in plan.routes.items():
            moved = [c + (dy if j % 2 else dx) for j, c in enumerate(points)]
            routes.append((own[a], own[b], moved, _style(vertices, own[a], own[b])))
        if framed:
            frames.append({"kernel": g[2:], "x": cx - w / 2, "y": cy - h / 2, "w": w, "h": h})
    for (a, b), points in outer.routes.items():
        makers = between[(names[a], names[b])]
        points = list(points)
        across = _side(vertices, groups[names[a]]) != _side(vertices, groups[names[b]])
        routes.append((makers[0], groups[names[b]][0], points, "buffer across" if across else "buffer"))
        if not across:
            _spread(points, outer.at[a], outer.sizes[a], outer.at[b], outer.sizes[b])
    return Scene(vertices, texts, at, sizes, routes, frames, outer.width, outer.height)

