"""Builders: the only way to apply an op. Rules, decompositions and formulas are written once against `Var` and run
through any builder: into a graph (`GraphBuilder`), at once on arrays (`NumpyBuilder`), on types alone (`TypeBuilder`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .errors import GradcError, TraceError
from .graph import NO_ATTRS, Graph, Loc, Node
from .op import REGISTRY, Op
from .types import DType, TensorType, TileType, Type, dtype, f32, i1, i64, tensor, tile

Number: TypeAlias = bool | int | float


class Var:
    """A value of a builder with Python's operators. `v` is the builder's own handle (an id, an array, a type)."""

    __slots__ = ("b", "v")

    def __init__(self, b: Builder, v: Any) -> None:
        self.b, self.v = b, v

    @property
    def type(self) -> Any:
        return self.b.type_of(self.v)

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.b.type_of(self.v).shape
        return shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> DType:
        d: DType = self.b.type_of(self.v).dtype
        return d

    def __add__(self, other: Var | Number) -> Any:
        return self.b.call("add", self, other)

    def __radd__(self, other: Number) -> Any:
        return self.b.call("add", other, self)

    def __sub__(self, other: Var | Number) -> Any:
        return self.b.call("sub", self, other)

    def __rsub__(self, other: Number) -> Any:
        return self.b.call("sub", other, self)

    def __mul__(self, other: Var | Number) -> Any:
        return self.b.call("mul", self, other)

    def __rmul__(self, other: Number) -> Any:
        return self.b.call("mul", other, self)

    def __truediv__(self, other: Var | Number) -> Any:
        return self.b.call("div", self, other)

    def __rtruediv__(self, other: Number) -> Any:
        return self.b.call("div", other, self)

    def __neg__(self) -> Any:
        return self.b.call("neg", self)

    def __lt__(self, other: Var | Number) -> Any:
        return self.b.call("lt", self, other)

    def __le__(self, other: Var | Number) -> Any:
        return self.b.call("le", self, other)

    def __gt__(self, other: Var | Number) -> Any:
        return self.b.call("gt", self, other)

    def __ge__(self, other: Var | Number) -> Any:
        return self.b.call("ge", self, other)

    def eq(self, other: Var | Number) -> Any:
        return self.b.call("eq", self, other)

    def ne(self, other: Var | Number) -> Any:
        return self.b.call("ne", self, other)

    def __and__(self, other: Var | Number) -> Any:
        return self.b.call("bitwise_and", self, other)

    def __or__(self, other: Var | Number) -> Any:
        return self.b.call("bitwise_or", self, other)

    def __xor__(self, other: Var | Number) -> Any:
        return self.b.call("bitwise_xor", self, other)

    def __invert__(self) -> Any:
        return self.b.call("bitwise_not", self)

    def __lshift__(self, other: Var | Number) -> Any:
        return self.b.call("shift_left", self, other)

    def __rshift__(self, other: Var | Number) -> Any:
        return self.b.call("shift_right", self, other)

    def __bool__(self) -> bool:
        raise TraceError("a value of a builder has no truth value: rules must not branch on data")


class Builder:
    """Applies ops of one dialect. `b.mul(x, y)` and `x * y` are the same; Python numbers become scalar constants of
    the dtype of the first Var beside them that is not a mask (of the default dtype of the number's kind where torch
    would promote)."""

    dialect = "grad"

    def type_of(self, v: Any) -> Any:
        raise TypeError(f"{type(self).__name__} has no types")

    def run(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Apply on raw handles; returns a handle, or a tuple of them for several results."""
        raise TypeError(f"{type(self).__name__} cannot apply {op.name}")

    def scalar(self, value: Number, like: DType) -> Var:
        """A zero-dimensional constant of element type `like`."""
        op = REGISTRY[self.dialect + ".constant"]
        return Var(self, self.run(op, (), {"value": coerce(value, like), "dtype": like}))

    def number(self, x: Var) -> Number | None:
        """The number that a value is everywhere, where that is known."""
        return None

    def apply(self, op: Op, operands: Sequence[Var | Number], attrs: dict[str, Any] | None = None) -> Any:
        raw = []
        for x in operands:
            if type(x) is Var:
                raw.append(x.v)
                continue
            lifted = self._lift(x, op, operands)
            if lifted is None:
                return self._widened(op, operands, attrs)
            raw.append(lifted.v)
        if attrs:
            attrs = {k: a for k, a in attrs.items() if a is not None}
        out = self.run(op, tuple(raw), attrs or NO_ATTRS)
        if len(op.results) == 1:
            return Var(self, out)
        return tuple(Var(self, o) for o in out)

    def _widened(self, op: Op, operands: Sequence[Var | Number], attrs: dict[str, Any] | None) -> Any:
        """An op on half scalars and numbers, computed in float32."""
        (half,) = {x.dtype for x in operands if isinstance(x, Var)}
        wide = [self.call("convert", x, dtype=half.compute) if isinstance(x, Var) else x for x in operands]
        return self.call("convert", self.apply(op, wide, attrs), dtype=half)

    def _lift(self, x: Any, op: Op, operands: Sequence[Any]) -> Var | None:
        """A number as a constant; None if it needs more bits than the operands beside it, all single numbers, have."""
        if isinstance(x, Var):
            return x
        like: DType | None = None
        for o in operands:
            if isinstance(o, Var) and (like is None or like.kind == "bool"):
                d = o.dtype
                like = d if like is None or d.kind != "bool" else like
        if like is None:
            raise TypeError(f"an op needs at least one value, got {operands!r}")
        if isinstance(x, float) and not like.is_float:
            like = f32
        elif like.kind == "bool" and not isinstance(x, bool):
            like = i64
        if like.is_half and "opmath" in op.traits:
            # Having no dimensions, a constant does not promote what has some.
            beside = [o for o in operands if isinstance(o, Var)]
            if not any(o.ndim for o in beside) and all(o.dtype is like for o in beside):
                return None
            like = like.compute
        return self.scalar(x, like)

    def call(self, name: str, *operands: Var | Number, **attrs: Any) -> Any:
        return self.apply(REGISTRY[f"{self.dialect}.{name}"], operands, attrs)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        op = REGISTRY.get(f"{self.dialect}.{name.rstrip('_')}")
        if op is None:
            raise AttributeError(f"no op {self.dialect}.{name}")

        def apply(*operands: Var | Number, **attrs: Any) -> Any:
            return self.apply(op, operands, attrs)

        self.__dict__[name] = apply
        return apply


def coerce(value: Number, like: DType) -> Number:
    """A Python number as a constant of this dtype holds it."""
    if like.is_float:
        return float(value)
    if like.kind == "bool":
        return bool(value)
    return int(value)


class TypeBuilder(Builder):
    """Runs decompositions on types alone: `infer` of composite ops comes from it."""

    def type_of(self, v: Any) -> Any:
        return v

    def run(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        return op.infer(*operands, **attrs)


def infer_by_decomposition(decompose: Callable[..., Any]) -> Callable[..., Any]:
    """The type rule of a composite op: its decomposition run on types."""

    def infer(*types: TensorType, **attrs: Any) -> Any:
        b = TypeBuilder()
        out = decompose(b, *[Var(b, t) for t in types], **attrs)
        return tuple(o.v for o in out) if isinstance(out, tuple) else out.v

    return infer


class NumpyBuilder(Builder):
    """Executes at once on arrays, by the records' NumPy meaning. With `wide`, all floats are float64."""

    def __init__(self, wide: bool = False) -> None:
        self.wide = wide

    def type_of(self, v: Any) -> Any:
        return tensor(v.shape, dtype(v.dtype))

    def run(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        from .interpret import evaluate

        out = evaluate(op, operands, attrs, wide=self.wide)
        return out[0] if len(out) == 1 else out


class GraphBuilder(Builder):
    """Appends typed nodes to a graph. `loc` and `no_grad` are given to each node made; equal scalar constants are made
    once per builder."""

    def __init__(self, graph: Graph, dialect: str = "grad") -> None:
        self.graph = graph
        self.dialect = dialect
        self.loc: Loc | None = None
        self.no_grad = False
        self._scalars: dict[Any, Var] = {}

    def type_of(self, v: Any) -> Any:
        return self.graph.types[v]

    def var(self, v: int) -> Var:
        return Var(self, v)

    def scalar(self, value: Number, like: DType) -> Var:
        value = coerce(value, like)
        key = (like, value if value == value and value != 0 else repr(value))
        found = self._scalars.get(key)
        if found is None:
            op = REGISTRY[self.dialect + ".constant"]
            attrs = {"value": value, "dtype": like}
            types = self.graph.types
            self.graph.nodes.append(Node(op, (), attrs, (len(types),)))
            found = self._scalars[key] = Var(self, len(types))
            types.append(op.infer(**attrs))
        return found

    def run(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        types = self.graph.types
        try:
            out = op.infer(*[types[o] for o in operands], **attrs)
        except GradcError as e:
            raise e.at(self.loc) from None
        if len(op.results) == 1:
            v = len(types)
            types.append(out)
            self.graph.nodes.append(Node(op, operands, attrs, (v,), self.loc, self.no_grad))
            return v
        ids = tuple(range(len(types), len(types) + len(out)))
        types.extend(out)
        self.graph.nodes.append(Node(op, operands, attrs, ids, self.loc, self.no_grad))
        return ids

    def emit(
        self,
        op: Op,
        operands: tuple[int, ...],
        attrs: dict[str, Any],
        types: Sequence[Type],
        regions: tuple[Graph, ...] = (),
    ) -> tuple[int, ...]:
        """Append a node whose result types are known (copies by passes, ops with regions); returns its results."""
        start = len(self.graph.types)
        self.graph.types.extend(types)
        ids = tuple(range(start, start + len(types)))
        self.graph.nodes.append(Node(op, operands, attrs, ids, self.loc, self.no_grad, regions))
        return ids


def type_of_array(a: np.ndarray[Any, Any]) -> TensorType:
    return tensor(a.shape, dtype(a.dtype))


def tile_result(*types: TileType, dtype: DType | None = None) -> TileType:
    """Type rule of tile scalar ops: the union of the operands' spaces, the first operand's dtype unless given."""
    first = types[0]
    space = first.space
    for t in types[1:]:
        if t.space != space:
            space = "".join(sorted(set(space) | set(t.space)))
    return tile(space, dtype or first.dtype)


__all__ = [
    "Builder",
    "GraphBuilder",
    "NumpyBuilder",
    "TypeBuilder",
    "Var",
    "coerce",
    "i1",
    "i64",
    "infer_by_decomposition",
    "tile_result",
    "type_of_array",
]
