"""What changed between two programs, by meaning: renaming, order and locations do not show.

Values are matched by structure (`structure.py`), operations as `diff_ops.py` says, kernels by their bodies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from gradc.ir.graph import Graph, Module
from gradc.ir.traffic import traffic

from .cost import Costs
from .diff_ops import Change, Operations
from .structure import Structure


def compare(old: Module, new: Module) -> list[Change]:
    """Every difference of two modules at one state; none if they compute the same in the same way."""
    out: list[Change] = []
    for a, b in zip(functions(old), functions(new), strict=False):
        out.extend(_Pair(old, new, a, b).changes())
    out.extend(_kernels(old, new))
    out.extend(_costs(old, new))
    return out


class _Pair:
    """One function before and after."""

    def __init__(self, old: Module, new: Module, a: Graph, b: Graph) -> None:
        structure = Structure()
        self.graphs = (a, b)
        self.numbers = (structure.values(a, old), structure.values(b, new))
        self.forward = tuple([g.attrs.get("forward_nodes") if m.state == "joint" else None
                              for m, g in ((old, a), (new, b))])  # fmt: skip
        """How many nodes are the forward ones, where that is known: the count is the adjoint pass's."""

    def changes(self) -> Iterator[Change]:
        yield from self._signature()
        yield from self._outputs()
        yield from self._residuals()
        yield from Operations(self.graphs, self.numbers, self.forward).changes()

    def _signature(self) -> Iterator[Change]:
        sides = []
        for g in self.graphs:
            attrs = zip(g.inputs, g.input_attrs, strict=True)
            sides.append([(str(g.types[v]), bool(a.get("requires_grad")), str(a.get("name", ""))) for v, a in attrs])
        for i, (x, y) in enumerate(zip(*sides, strict=False)):
            if x[:2] != y[:2]:
                was, now = (t + (" requires grad" if grad else "") for t, grad, _ in (x, y))
                yield Change("input", f"input {y[2] or i}: {was} -> {now}", {"input": i, "old": was, "new": now})
        n, m = (len(side) for side in sides)
        if n != m:
            yield Change("input", f"inputs: {n} -> {m}", {"old": n, "new": m})

    def _outputs(self) -> Iterator[Change]:
        found: dict[str, list[int]] = {}
        for side, (g, numbers) in enumerate(zip(self.graphs, self.numbers, strict=True)):
            for i, (v, attrs) in enumerate(zip(g.outputs, g.output_attrs, strict=True)):
                if attrs.get("role") != "residual":
                    found.setdefault(label(g, i), [-1, -1, i])[side] = numbers[v]
        for name, (x, y, i) in found.items():
            if x != y:
                said = "is new" if x < 0 else "is gone" if y < 0 else "is computed differently"
                kind = "adjoint" if name.startswith("gradient") else "output"
                yield Change(kind, f"output {i} ({name}) {said}", {"output": name, "change": said})

    def _residuals(self) -> Iterator[Change]:
        """Values that forward keeps for backward. One that is computed differently, but is of the same operation (or
        name) and type, is neither added nor removed."""
        kept = [self._kept(side) for side in (0, 1)]
        shared = set(kept[0]) & set(kept[1])
        sorts = [Counter([self._sort(side, v) for x, v in kept[side].items() if x not in shared]) for side in (0, 1)]
        gone, come = sorts[0] - sorts[1], sorts[1] - sorts[0]
        for sign, kind, more in (("-", "residual-removed", gone), ("+", "residual-added", come)):
            for (name, type_, size), n in more.items():
                data = {"name": name, "type": type_, "bytes": size, "count": n}
                times = f" x{n}" if n > 1 else ""
                yield Change(kind, f"{sign} residual {name}: {type_}, {size:,} bytes{times}", data)
        totals = [sum(self._sort(side, v)[2] for v in kept[side].values()) for side in (0, 1)]
        if totals[0] != totals[1]:
            text = f"bytes kept for backward: {totals[0]:,} -> {totals[1]:,}"
            yield Change("residual-bytes", text, {"old": totals[0], "new": totals[1]})

    def _kept(self, side: int) -> dict[int, int]:
        """The residuals of a split program, or what adjoint operations of a joint one read: values by number."""
        g, numbers, n = self.graphs[side], self.numbers[side], self.forward[side]
        kept = [v for v, a in zip(g.outputs, g.output_attrs, strict=True) if a.get("role") == "residual"]
        if n is not None:
            made = {r for node in g.nodes[:n] for r in node.results if node.operands}
            kept += [o for node in g.nodes[n:] for o in node.operands if o in made]
        return {numbers[v]: v for v in kept}

    def _sort(self, side: int, v: int) -> tuple[str, str, int]:
        """A residual's name (the user's, or its operation), type and bytes."""
        g = self.graphs[side]
        node = next((n for n in g.nodes if v in n.results), None)
        t: Any = g.types[v]
        return g.names.get(v) or (node.op.short if node is not None else "input"), str(t), t.nbytes


def label(g: Graph, i: int) -> str:
    """An output by its role: "value", "gradient of w"."""
    attrs = g.output_attrs[i]
    role = str(attrs.get("role", "value"))
    if role == "grad":
        of: Any = attrs.get("of")
        known = "handed" not in g.attrs and type(of) is int and of < len(g.inputs)
        name = g.input_attrs[of].get("name", of) if known else g.names.get(g.outputs[i], f"input {of}")
        return f"gradient of {str(name).removeprefix('grad_')}"
    others = sum(a.get("role", "value") == role for a in g.output_attrs[:i])
    return f"{role} {others}" if others else role


def functions(module: Module) -> list[Graph]:
    """The functions of a module: one, or the halves of a split program."""
    return [g for g in module.graphs.values() if g.kind != "kernel"]


def launches(module: Module) -> list[Graph]:
    """The kernels of a scheduled or planned module, one entry per launch."""
    nodes = [n for g in functions(module) for n in g.nodes]
    return [module.graphs[n.attrs["kernel"]] for n in nodes if n.op.name == "tile.launch"]


def _kernels(old: Module, new: Module) -> Iterator[Change]:
    sides = [launches(m) for m in (old, new)]
    if not any(sides):
        return
    n, m = len(sides[0]), len(sides[1])
    classes = [Counter(str(k.attrs.get("class", "")) for k in side) for side in sides]
    if n != m or classes[0] != classes[1]:
        was, now = (", ".join(f"{c} {k}" for k, c in sorted(side.items())) for side in classes)
        yield Change("kernels", f"kernels: {n} -> {m} ({was} -> {now})", {"old": n, "new": m})
    structure = Structure()
    exact = [Counter(_launched(structure, m)) for m in (old, new)]
    bodies = [Counter(structure.kernel(k) for k in side) for side in sides]
    same = max((exact[0] & exact[1]).total(), (bodies[0] & bodies[1]).total())
    if same < max(n, m):
        text = f"kernels with the same body: {same} of {n} -> {m}"
        yield Change("kernel-bodies", text, {"same": same, "old": n, "new": m})


def _launched(structure: Structure, module: Module) -> Iterator[tuple[int, ...]]:
    """What each launch leaves, as a number per result."""
    for g in functions(module):
        values = structure.values(g, module)
        yield from (tuple(sorted(values[r] for r in n.results)) for n in g.nodes if n.op.name == "tile.launch")


def _costs(old: Module, new: Module) -> Iterator[Change]:
    for what, was, now in zip(("bytes", "flops", "arena bytes"), _cost(old), _cost(new), strict=True):
        if was != now:
            ratio = f" ({now / was:.3f} times)" if was else ""
            text = f"{what}: {was:,} -> {now:,}{ratio}"
            yield Change(f"cost-{what.replace(' ', '-')}", text, {"old": was, "new": now})


def _cost(module: Module) -> tuple[int, int, int]:
    """Bytes moved (of kernels) or written (by operations), operations, and the arena."""
    kernels = launches(module)
    if kernels:
        found = [traffic(k) for k in kernels]
        return sum(t.moved for t in found), sum(t.flops for t in found), module.main.attrs.get("arena_bytes", 0)
    costs = [c.forward(n) for g in functions(module) for c in [Costs(g)] for n in g.nodes]
    return sum(c.bytes for c in costs), sum(c.flops for c in costs), 0
