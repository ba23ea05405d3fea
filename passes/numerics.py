"""Whether a pass kept what a program computes: the interpreter runs before and after it, on drawn inputs.

Every output of the module before the pass must come first among those after it, with the same values: NaN at the same
places, infinities equal, numbers within what rounding explains (a shadow in float64 says how much that is). The adjoint
pass adds gradients: those are held against differences of the value in float64. What fails is shrunk (`reduce.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradc.ir.errors import GradcError
from gradc.ir.graph import Module, Node
from gradc.ir.interpret import run_module
from gradc.ir.laws import verify
from gradc.ir.types import TensorType

from .draws import DRAWS, SMOOTH, array
from .pipeline import Pass
from .reduce import cones, reduce_module
from .slopes import wrong_gradient

REFUSED = (GradcError, ArithmeticError, IndexError, ValueError)
"""What the interpreter raises on inputs that an op does not take: there is nothing to compare then."""

RELATIVE = {"f64": 1e-9, "f32": 3e-5, "f16": 4e-3, "bf16": 3e-2}
SHADOW = 16.0
"""Rounding errors of the program before the pass, by which the one after it may be off too."""


class Mismatch(NamedTuple):
    """Output `output` differs on inputs drawn as `draw` says."""

    output: int
    label: str
    draw: str
    message: str


class Finding(NamedTuple):
    """A pass that changed what a program computes, and the smallest program found on which it does."""

    row: Pass
    mismatch: Mismatch
    before: Module
    reduced: Module
    shrunk: Mismatch
    node: Node | None
    """The operation of the reduced program whose result differs."""
    part: bool
    """Whether the whole program hides it, and only a part, run by itself, shows it."""

    def __str__(self) -> str:
        n, m = len(self.before.main.nodes), len(self.reduced.main.nodes)
        ops = ", ".join(_spelt(x) for x in self.reduced.main.nodes)
        lines = [
            f"pass {self.row.name} changed what the program computes",
            f"  {'in a part of the program, ' * self.part}{self.mismatch.label}: {self.mismatch.message} "
            f"(inputs: {self.mismatch.draw})",
            f"  shrunk from {n} operations to {m}: {ops}",
        ]
        if self.node is not None:
            lines.append(f"  the operation: {_spelt(self.node)}: {self.shrunk.message} (inputs: {self.shrunk.draw})")
        return "\n".join(lines)


def _spelt(node: Node) -> str:
    return f"{node.op.name} at {node.loc}" if node.loc is not None else node.op.name


class Checker:
    """Compares modules before and after passes, on inputs from one seed."""

    def __init__(self, seed: int = 0, seconds: float = 60.0) -> None:
        self.seed, self.seconds = seed, seconds
        self._last: tuple[Module, dict[str, Any]] | None = None

    def check(self, row: Pass, before: Module, after: Module) -> Finding | None:
        """None if the pass kept the meaning, else what it broke, shrunk within the time given.

        A NaN that one operation loses is hidden where another puts one into the same output: so the pass also runs on
        every operation with the few before it, as a program of its own, equal ones once, while the time lasts."""
        start = before
        found = self.compare(before, after)
        if found is None:
            deadline = time.monotonic() + self.seconds
            for part in cones(before):
                if time.monotonic() > deadline:
                    return None
                found = self._after(row, part)
                if found is not None:
                    start = part
                    break
            else:
                return None

        def fails(module: Module) -> bool:
            return self._after(row, module) is not None

        reduced = reduce_module(start, fails, self.seconds)
        shrunk = self._after(row, reduced) or found
        return Finding(row, found, before, reduced, shrunk, _producer(reduced, shrunk.output), start is not before)

    def _after(self, row: Pass, module: Module) -> Mismatch | None:
        """What the pass breaks in a smaller module; None too where that is no program or the pass refuses it."""
        try:
            verify(module)
            after = row.run(module, [])
            if row.leaves is not None:
                after.state = row.leaves
        except (*REFUSED, AssertionError, KeyError, TypeError):
            return None
        return Checker(self.seed).compare(module, after)

    def compare(self, before: Module, after: Module) -> Mismatch | None:
        """The first output that differs on any of the draws."""
        if len(after.main.outputs) < len(before.main.outputs):
            return Mismatch(len(after.main.outputs), "outputs", "", "there are fewer of them")
        relative = coarsest(before)
        for draw in DRAWS:
            inputs = self.inputs(draw, after)
            n = len(before.main.inputs)
            want = self._run(before, inputs[:n])
            if want is None or _flagged(before, want):
                continue
            wide = self._run(before, inputs[:n], wide=True) or want
            try:
                have = run_module(after, inputs)
            except REFUSED as e:
                return Mismatch(0, label(before, 0), draw, f"after the pass it is refused: {getattr(e, 'bare', e)}")
            for k, (w, h, s) in enumerate(zip(want, have, wide, strict=False)):
                message = differs(w, h, s, relative)
                if message is not None:
                    return Mismatch(k, label(before, k), draw, message)
            if before.state == "traced" and after.state == "joint" and draw in SMOOTH:
                off = wrong_gradient(before, after, inputs, self.seed)
                if off is not None:
                    return Mismatch(0, f"gradient of {off.name}", draw, off.message)
        return None

    def inputs(self, draw: str, module: Module) -> list[Any]:
        """The arrays of a draw; a module with more inputs gets the same ones first."""
        rng = np.random.default_rng([self.seed, sorted(DRAWS).index(draw)])
        types = [module.main.types[v] for v in module.main.inputs]
        return [array(draw, rng, t) for t in types if isinstance(t, TensorType)]

    @staticmethod
    def _run(module: Module, inputs: Sequence[Any], wide: bool = False) -> list[Any] | None:
        try:
            return run_module(module, inputs, wide=wide)
        except REFUSED:
            return None


def label(module: Module, k: int) -> str:
    """An output's name in messages: its role, and whose gradient it is."""
    graph = module.main
    attrs = graph.output_attrs[k]
    name = graph.names.get(graph.outputs[k])
    what = attrs.get("role", "value")
    if what == "grad" and "handed" not in graph.attrs:
        what = f"gradient of {graph.input_attrs[attrs['of']].get('name', attrs['of'])}"
    return f"output {k} ({what}{f' {name}' if name else ''})"


def _flagged(module: Module, results: Sequence[Any]) -> bool:
    roles = [a.get("role") for a in module.main.output_attrs]
    return any(r == "check" and bool(a) for r, a in zip(roles, results, strict=True))


def _producer(module: Module, output: int) -> Node | None:
    value = module.main.outputs[min(output, len(module.main.outputs) - 1)]
    return next((n for n in module.main.nodes if value in n.results), None)


def coarsest(module: Module) -> float:
    """The relative tolerance of the least precise dtype in the program: casts to it and back may go."""
    types = [t for g in module.graphs.values() for t in g.types if isinstance(t, TensorType)]
    return max((RELATIVE[t.dtype.name] for t in types if t.dtype.is_float), default=RELATIVE["f64"])


def differs(want: Any, have: Any, wide: Any, relative: float = RELATIVE["f32"]) -> str | None:
    """How two arrays differ beyond rounding: what stands at the first such place, before and after."""
    if want.shape != have.shape or want.dtype != have.dtype:
        return f"{want.dtype}{list(want.shape)} before, {have.dtype}{list(have.shape)} after"
    if not want.size:
        return None
    w, h = want.astype(np.float64), have.astype(np.float64)
    s = np.asarray(wide).astype(np.float64)
    relative = relative if _floats(want) else 0.0
    with np.errstate(all="ignore"):
        finite = np.isfinite(w)
        scale = float(np.abs(w[finite]).max()) if finite.any() else 0.0
        off = np.abs(w - s)
        slack = relative * (np.abs(w) + scale) + SHADOW * np.where(np.isfinite(off), off, 0.0)
        bad = np.where(finite & np.isfinite(h), ~(np.abs(w - h) <= slack), ~((w == h) | (np.isnan(w) & np.isnan(h))))
        bad &= ~(np.isfinite(w) & ~np.isfinite(s))
    if not bad.any():
        return None
    at = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
    place = f" at {list(at)}" if at else ""
    return f"{w[at]:.7g} before, {h[at]:.7g} after{place} ({int(bad.sum())} of {bad.size} elements)"


def _floats(a: Any) -> bool:
    return bool(a.dtype.kind == "f" or a.dtype.name == "bfloat16")
