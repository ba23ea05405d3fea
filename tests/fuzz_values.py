"""A program that grows node by node, with the values of every node, and the test that keeps those tame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradc.ir.build import GraphBuilder, type_of_array
from gradc.ir.errors import GradcError
from gradc.ir.graph import Graph, Module
from gradc.ir.interpret import evaluate
from gradc.ir.op import REGISTRY
from gradc.ir.types import DType, bf16, f16, f32, f64

LARGEST = 60_000
BIG_VALUE = 300.0
GAP = 1e-4
"""Least distance of an operand from a point where an op jumps or has a kink, relative to its size."""


@dataclass
class Program:
    """A traced module and the arrays of its inputs."""

    module: Module
    arrays: list[Any]


@dataclass
class Grower:
    rng: np.random.Generator
    dtype: DType = f32
    shape: tuple[int, ...] = ()
    graph: Graph = field(default_factory=lambda: Graph("f"))
    arrays: list[Any] = field(default_factory=list)
    plain: dict[int, Any] = field(default_factory=dict)
    wide: dict[int, Any] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.b = GraphBuilder(self.graph)

    # -- values ------------------------------------------------------------------------------------------------------

    def input(self, a: Any, active: bool = False) -> int:
        extra = {"requires_grad": True} if active and a.dtype.kind not in "biu" else {}
        v = self.graph.add_input(type_of_array(a), f"a{len(self.arrays)}", **extra)
        self.arrays.append(a)
        self.plain[v] = a
        self.wide[v] = a.astype(np.float64) if self.t(v).dtype.is_float else a
        return v

    def number(self, value: Any, d: DType) -> int:
        v: int = self.b.scalar(value, d).v
        self.plain[v] = np.asarray(value).astype(d.numpy)
        self.wide[v] = self.plain[v].astype(np.float64) if d.is_float else self.plain[v]
        return v

    def t(self, v: int) -> Any:
        return self.graph.types[v]

    def reals(self, shape: tuple[int, ...], d: DType | None = None) -> Any:
        return np.asarray(self.rng.standard_normal(shape)).astype((d or self.dtype).numpy)

    def pick(self, seq: Any) -> Any:
        return seq[int(self.rng.integers(len(seq)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def floats(self) -> list[int]:
        return [v for v in self.plain if self.t(v).dtype.is_float]

    def recent(self, want: Callable[[Any], bool] = lambda t: True) -> int | None:
        """A float value, recent ones more often."""
        found = [v for v in self.floats() if want(self.t(v))]
        if not found:
            return None
        if self.chance(0.5):
            fresh = [v for v in found if v not in self.used]
            found = fresh or found
        weights = np.linspace(1, 4, len(found))
        return int(self.rng.choice(found, p=weights / weights.sum()))

    def partner(self, shape: tuple[int, ...]) -> int:
        """A value that broadcasts with this shape: one there is, or a new input."""
        found = [v for v in self.floats() if self.t(v).shape != () and fits(self.t(v).shape, shape)]
        if found and self.chance(0.75):
            return int(self.pick(found))
        if self.chance(0.3):
            return self.number(float(np.round(self.rng.uniform(0.5, 2), 3)), self.dtype)
        d = self.dtype if self.chance(0.9) else self.pick((f32, f64, bf16, f16))
        return self.input(self.reals(smaller(self, shape), d), active=self.chance(0.7))

    # -- nodes -------------------------------------------------------------------------------------------------------

    def add(self, name: str, operands: tuple[int, ...], **attrs: Any) -> int | None:
        """Append the node if its values are tame; returns its (first) result."""
        op = REGISTRY[f"grad.{name}"]
        attrs = {k: a for k, a in attrs.items() if a is not None}
        try:
            types = op.infer(*[self.t(o) for o in operands], **attrs)
        except GradcError:
            return None
        types = types if isinstance(types, tuple) else (types,)
        if any(t.numel > LARGEST for t in types):
            return None
        if not smooth(name, [self.wide[o] for o in operands], attrs, self.eps(operands)):
            return None
        try:
            plain = evaluate(op, [self.plain[o] for o in operands], attrs, types=types)
            wide = evaluate(op, [self.wide[o] for o in operands], attrs, wide=True, types=types)
        except GradcError:
            return None
        for p, w in zip(plain, wide, strict=True):
            if not tame(p, w, 0.02 if self.eps(operands) > 1e-4 else 1e-4):
                return None
        out = self.b.run(op, operands, attrs)
        ids = out if isinstance(out, tuple) else (out,)
        for v, p, w in zip(ids, plain, wide, strict=True):
            self.plain[v], self.wide[v] = p, w
        self.used.update(operands)
        return int(ids[0])

    def eps(self, operands: tuple[int, ...]) -> float:
        half = any(self.t(o).dtype.is_half for o in operands)
        return 4e-2 if half else GAP

    def finish(self) -> Program:
        """The module: unread values and a few others are outputs."""
        read = {o for n in self.graph.nodes for o in n.operands}
        made = [n.results[0] for n in self.graph.nodes if n.op.kind != "source"]
        sinks = [v for v in made if v not in read]
        chosen = sinks[-6:] or made[-1:]
        chosen += [v for v in made if v not in chosen and self.chance(0.08)][:3]
        for v in dict.fromkeys(chosen):
            self.graph.add_output(v, role="value")
        if not any(a.get("requires_grad") for a in self.graph.input_attrs):
            for v, a in zip(self.graph.inputs, self.graph.input_attrs, strict=True):
                if self.t(v).dtype.is_float:
                    a["requires_grad"] = True
                    break
        return Program(Module("traced", {"f": self.graph}, "f", {"cotangents": "inputs"}), self.arrays)


def fits(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(x == y or x == 1 or y == 1 for x, y in zip(reversed(a), reversed(b), strict=False))


def smaller(g: Grower, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to this one (usually the same)."""
    if g.chance(0.5):
        return shape
    cut = int(g.rng.integers(0, len(shape) + 1))
    return tuple(1 if g.chance(0.3) else d for d in shape[cut:])


def tame(plain: Any, wide: Any, slack: float) -> bool:
    if plain.dtype.kind in "biu":
        return bool(np.array_equal(plain, wide)) and (
            plain.size == 0 or int(np.abs(plain.astype(np.int64)).max()) < 1 << 20
        )
    if plain.size == 0:
        return True
    p = plain.astype(np.float64)
    top = float(np.abs(wide).max())
    return bool(np.isfinite(p).all() and top < BIG_VALUE and np.abs(p - wide).max() <= slack * max(top, 1e-2))


KINK_AT_ZERO = {
    "abs", "relu", "leaky_relu", "elu", "celu", "prelu", "sign", "logsigmoid", "reciprocal", "log", "sqrt", "rsqrt",
    "log2", "log10", "xlogy", "mish", "vector_norm", "frac",
}  # fmt: skip
POSITIVE = {"log", "sqrt", "rsqrt", "log2", "log10"}
INTEGER_STEPS = {"floor", "ceil", "trunc", "frac"}
COMPARING = {"maximum", "minimum", "fmax", "fmin", "lt", "le", "gt", "ge", "eq", "ne"}
PICKING = {"amax", "amin", "max", "min", "max_all", "min_all", "argmax", "argmin", "sort", "argsort", "topk", "median",
           "median_all", "kthvalue", "cummax", "cummin"}  # fmt: skip
DIVIDING = {"div", "reciprocal", "atan2"}


def smooth(name: str, arrays: list[Any], attrs: dict[str, Any], gap: float) -> bool:
    """Whether the op is well away from kinks, jumps and poles at these values."""
    if not arrays or arrays[0].dtype.kind in "biu" or any(a.size == 0 for a in arrays):
        return True
    x = arrays[0]
    if name in POSITIVE:
        return bool(x.min() > 0.05)
    if name in KINK_AT_ZERO:
        return bool(np.abs(x).min() > max(gap, 0.01 if name == "reciprocal" else 0))
    if name in INTEGER_STEPS:
        return bool(np.abs(x - np.rint(x)).min() > gap)
    if name in COMPARING:
        return bool(np.abs(x - arrays[1]).min() > gap)
    if name in DIVIDING:
        return bool(np.abs(arrays[1]).min() > 0.1)
    if name in ("clamp", "hardtanh", "huber_loss", "smooth_l1_loss", "where_gap", "hardsigmoid", "hardswish"):
        points = {"clamp": (attrs.get("min", 0), attrs.get("max", 0)), "hardtanh": (-1, 1)}.get(name, (-3, 3))
        if name in ("huber_loss", "smooth_l1_loss"):
            x, points = np.abs(x - arrays[1]), (attrs["knee"], attrs["knee"])
        return bool(min(np.abs(x - p).min() for p in points) > gap)
    if name == "prod":
        return bool(np.abs(x).min() > 0.05)
    if name in PICKING:
        flat = np.sort(np.unique(x))
        return x.size < 2000 and flat.size == x.size and (x.size < 2 or bool(np.diff(flat).min() > gap))
    if name in ("acos", "asin", "atanh"):
        return bool(np.abs(x).max() < 0.9)
    if name in ("log1p",):
        return bool(x.min() > -0.7)
    if name in ("tan",):
        return bool(np.abs(np.cos(x)).min() > 0.1)
    if name == "std":
        return bool(x.std(axis=attrs["dims"]).min() > 1e-2)
    if name == "vector_norm":
        return bool(np.linalg.norm(x.reshape(-1)) > 1e-2 and np.abs(x).min() > gap)
    return True
