"""Where things stand: forward flows down on the left, backward flows up on the right beside it, so that an adjoint op
stands about where the op it differentiates stands, and gradients come out beside the inputs. Deep programs are cut into
columns as a newspaper is. The same arrangement is used for nodes, for the inside of a kernel and for kernels.

Links that would run far, and those of values that many others read, are not drawn but written into the reader's label
(`far`). Rows are the generations of a topological sort (networkx).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from .layers import Drawing, draw

FORWARD, BACKWARD = 0, 1
SPAN = 5
"""Rows that a drawn link may cross."""
ACROSS = 4
"""Rows that a drawn link from forward to backward may cross."""
CROSSINGS = 3
"""Drawn links from one forward value to backward."""
ROW_GAP, SIDE_GAP, COLUMN_GAP = 20.0, 64.0, 110.0
WIDE = 2.0
"""Width to height that columns aim at."""
TALL = 1500.0
"""Height up to which everything stays in one column."""


@dataclass
class Item:
    """`size(far)` gives width and height once it is known which operands are written and not drawn."""

    side: int
    size: Callable[[list[int]], tuple[float, float]]
    source: bool = False
    """An input: it stands just above its first reader."""


@dataclass
class Plan:
    """Centres and sizes per item; routes of the drawn links as points; what is written instead of drawn."""

    at: list[tuple[float, float]]
    sizes: list[tuple[float, float]]
    routes: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    far: list[list[int]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


def arrange(items: list[Item], links: Iterable[tuple[int, int]], span: int = SPAN) -> Plan:
    """Lay items out, in as many columns as make the whole about twice as wide as it is high."""
    links = list(dict.fromkeys(links))
    row = rows_of(items, links)
    depth = max(row, default=0) + 1
    per_column = depth
    plan = _lay_out(items, links, row, per_column, span)
    while plan.height > max(TALL, plan.width) and per_column > 1:
        wanted = max(per_column * math.sqrt((plan.width + COLUMN_GAP) / plan.height / WIDE), 1.0)
        rows = math.ceil(depth / math.ceil(depth / wanted))
        if rows >= per_column * 0.9:
            break
        per_column = rows
        plan = _lay_out(items, links, row, per_column, span)
    return plan


def _lay_out(items: list[Item], links: list[tuple[int, int]], row: list[int], per_column: int, span: int) -> Plan:
    drawn, far = _near(items, links, row, per_column, span)
    sizes = [item.size(far[i]) for i, item in enumerate(items)]
    plan = Plan([(0.0, 0.0)] * len(items), sizes, far=far)
    members: dict[int, list[int]] = {}
    for i, r in enumerate(row):
        members.setdefault(r // per_column, []).append(i)
    drawn_in: dict[int, list[tuple[int, int]]] = {}
    for a, b in drawn:
        drawn_in.setdefault(row[a] // per_column, []).append((a, b))
    left = 0.0
    for column in sorted(members):
        left = _column(plan, items, members[column], drawn_in.get(column, []), row, left) + COLUMN_GAP
    plan.width = max(left - COLUMN_GAP, 0.0)
    return plan


def rows_of(items: list[Item], links: list[tuple[int, int]]) -> list[int]:
    """A row per item: forward links go down, backward links go up, and values stand near their use in backward."""
    import networkx as nx

    down, up = nx.DiGraph(), nx.DiGraph()
    down.add_nodes_from(i for i, t in enumerate(items) if t.side == FORWARD)
    up.add_nodes_from(i for i, t in enumerate(items) if t.side == BACKWARD)
    uses: dict[int, list[int]] = {}
    used: dict[int, list[int]] = {}
    for a, b in links:
        if items[a].side == items[b].side == FORWARD:
            down.add_edge(a, b)
        elif items[a].side == items[b].side == BACKWARD:
            up.add_edge(b, a)
        elif items[a].side == FORWARD and not items[a].source:
            uses.setdefault(a, []).append(b)
            used.setdefault(b, []).append(a)
    row = [0] * len(items)
    climb = [n for generation in nx.topological_generations(up) for n in generation]
    for n in climb:
        row[n] = max((row[m] + 1 for m in up.predecessors(n)), default=0)
    for n in (n for generation in nx.topological_generations(down) for n in generation):
        above = max((row[m] + 1 for m in down.predecessors(n)), default=0)
        row[n] = max(above, min((row[b] for b in uses.get(n, ())), default=0))
    for n in climb:
        below = max((row[m] + 1 for m in up.predecessors(n)), default=0)
        row[n] = max([below, *(row[a] for a in used.get(n, ()))])
    for n in reversed(climb):
        makers = list(up.successors(n))
        if makers and up.in_degree(n) <= len(makers):
            row[n] = max(row[n], min(row[m] for m in makers) - 1)
    for n in down:
        readers = list(down.successors(n))
        if items[n].source and not down.in_degree(n):
            row[n] = max(min((row[m] for m in readers), default=1) - 1, 0)
    order = {r: i for i, r in enumerate(sorted(set(row)))}
    return [order[r] for r in row]


def _near(
    items: list[Item], links: list[tuple[int, int]], row: list[int], per_column: int, span: int
) -> tuple[list[tuple[int, int]], list[list[int]]]:
    """The links to draw, and per item the operands to write."""
    crossings: dict[int, int] = {}
    for a, b in links:
        crossings[a] = crossings.get(a, 0) + (items[a].side != items[b].side)
    drawn, far = [], [list[int]() for _ in items]
    for a, b in links:
        steps = row[b] - row[a]
        if items[a].side != items[b].side:
            near = items[a].side == FORWARD and abs(steps) <= ACROSS and crossings[a] <= CROSSINGS
        else:
            near = 0 < (steps if items[a].side == FORWARD else -steps) <= span
        if near and row[a] // per_column == row[b] // per_column:
            drawn.append((a, b))
        else:
            far[b].append(a)
    return drawn, far


def _column(
    plan: Plan, items: list[Item], ids: list[int], links: list[tuple[int, int]], row: list[int], left: float
) -> float:
    """Draw both sides of one column from x = left; returns its right edge."""
    heights: dict[int, float] = {}
    for i in ids:
        heights[row[i]] = max(heights.get(row[i], 0.0), plan.sizes[i][1])
    middle: dict[int, float] = {}
    at = 0.0
    for r in range(min(heights), max(heights) + 1):
        h = heights.get(r, 20.0)
        middle[r] = at + h / 2
        at += h + ROW_GAP
    plan.height = max(plan.height, at - ROW_GAP)
    shift = {FORWARD: left, BACKWARD: left}
    right = left
    drawings: dict[int, Drawing] = {}
    for side in (FORWARD, BACKWARD):
        own = [i for i in ids if items[i].side == side]
        if not own:
            continue
        pairs = [(a, b) if row[a] < row[b] else (b, a) for a, b in links if items[a].side == items[b].side == side]
        drawing = drawings[side] = draw({i: row[i] for i in own}, {i: plan.sizes[i][0] for i in own}, pairs)
        start = right + (SIDE_GAP if side == BACKWARD and drawings.get(FORWARD) else 0.0)
        shift[side] = start - drawing.left
        right = start + drawing.right - drawing.left
        for i in own:
            plan.at[i] = (drawing.x[i] + shift[side], middle[row[i]])
    for a, b in links:
        plan.routes[(a, b)] = _route(plan, items, drawings, shift, middle, row, a, b)
    return right


def _route(
    plan: Plan, items: list[Item], drawings: dict[int, Any], shift: dict[int, float], middle: dict[int, float],
    row: list[int], a: int, b: int,
) -> list[float]:  # fmt: skip
    (ax, ay), (bx, by) = plan.at[a], plan.at[b]
    (aw, ah), (bw, bh) = plan.sizes[a], plan.sizes[b]
    if items[a].side != items[b].side:
        return [ax + aw / 2, ay, bx - bw / 2, by]
    side, sign = items[a].side, 1 if row[a] < row[b] else -1
    bends = drawings[side].bends[(a, b) if sign > 0 else (b, a)]
    points = [ax, ay + sign * ah / 2]
    for r, x in bends if sign > 0 else reversed(bends):
        points += [x + shift[side], middle[r]]
    return [*points, bx, by - sign * bh / 2]
