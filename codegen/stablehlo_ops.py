"""How scalar ops and reductions are written in StableHLO: one row each.

`DIRECT` are ops of the grad level that StableHLO has itself; a row gives the text, or None where it does not fit the
element types. `SCALAR` are the tile scalar ops, which every other elementwise op's formula is made of; a row writes the
lines it needs and returns the name of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gradc.ir.formulas_erf import erf
from gradc.ir.graph import Node
from gradc.ir.literals import format_float
from gradc.ir.monoid import MONOIDS
from gradc.ir.types import DType, TensorType, i1, tensor, u32, u64

if TYPE_CHECKING:
    from .stablehlo import Writer

Names: TypeAlias = Sequence[str]
Dtypes: TypeAlias = Sequence[DType]
Shape: TypeAlias = tuple[int, ...]
Direct: TypeAlias = Callable[[Names, Dtypes, Shape, DType], str | None]
Scalar: TypeAlias = "Callable[[Writer, Names, Dtypes, Shape, DType], str]"


def literal(value: Any, d: DType) -> str:
    """A number as an element of a dense attribute."""
    if d.kind == "bool":
        return "true" if value else "false"
    if not d.is_float:
        return str(int(np.asarray(value).astype(d.numpy)))
    with np.errstate(all="ignore"):
        stored = np.asarray(value).astype(d.numpy)
    if not np.isfinite(stored):
        return "0x" + stored.tobytes()[::-1].hex().upper()
    return format_float(float(stored)).removesuffix(" : f64")


def constant(value: Any, d: DType) -> str:
    return f"stablehlo.constant dense<{literal(value, d)}> : {tensor((), d)}"


def plain(op: str, names: Names, t: TensorType) -> str:
    """An op whose operands and result have one type."""
    return f"stablehlo.{op} {', '.join(names)} : {t}"


def compare(way: str, names: Names, d: DType, shape: Shape) -> str:
    kind = "FLOAT" if d.is_float else "UNSIGNED" if d.kind == "bool" or d.name.startswith("ui") else "SIGNED"
    t, out = tensor(shape, d), tensor(shape, i1)
    return f"stablehlo.compare {way}, {', '.join(names)}, {kind} : ({t}, {t}) -> {out}"


def select(names: Names, d: DType, shape: Shape) -> str:
    return f"stablehlo.select {', '.join(names)} : {tensor(shape, i1)}, {tensor(shape, d)}"


def cast(op: str, name: str, d: DType, shape: Shape, to: DType) -> str:
    return f"stablehlo.{op} {name} : ({tensor(shape, d)}) -> {tensor(shape, to)}"


# -- ops of the grad level that StableHLO has itself ------------------------------------------------------------------


def _same(op: str, kinds: str = "float int bool") -> Direct:
    """Operands and result of one type, of one of these kinds."""

    def write(names: Names, dtypes: Dtypes, shape: Shape, to: DType) -> str | None:
        fits = to.kind in kinds.split() and all(d is to for d in dtypes)
        return plain(op, names, tensor(shape, to)) if fits else None

    return write


def _compared(way: str) -> Direct:
    return lambda names, dtypes, shape, to: compare(way, names, dtypes[0], shape) if dtypes[0] is dtypes[1] else None


def _finite(names: Names, dtypes: Dtypes, shape: Shape, to: DType) -> str | None:
    return cast("is_finite", names[0], dtypes[0], shape, to) if dtypes[0].is_float else None


DIRECT: dict[str, Direct] = {
    **{name: _same(op, "float") for name, op in {
        "add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "pow": "power", "atan2": "atan2",
        "neg": "negate", "abs": "abs", "sqrt": "sqrt", "rsqrt": "rsqrt", "exp": "exponential", "log": "log",
        "expm1": "exponential_minus_one", "log1p": "log_plus_one", "tanh": "tanh", "sigmoid": "logistic",
        "sin": "sine", "cos": "cosine", "tan": "tan", "floor": "floor", "ceil": "ceil", "round": "round_nearest_even",
    }.items()},
    **{name: _same(op) for name, op in {"maximum": "maximum", "minimum": "minimum"}.items()},
    **{name: _same(op, "bool") for name, op in {
        "logical_and": "and", "logical_or": "or", "logical_xor": "xor", "logical_not": "not",
    }.items()},
    **{name: _compared(name.upper()) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "isfinite": _finite,
    "where": lambda names, dtypes, shape, to: select(names, to, shape) if dtypes[1] is dtypes[2] is to else None,
    "convert": lambda names, dtypes, shape, to: cast("convert", names[0], dtypes[0], shape, to),
}  # fmt: skip


# -- the tile scalar ops ----------------------------------------------------------------------------------------------


def _as(op: str) -> Scalar:
    return lambda w, names, dtypes, shape, to: w.emit(plain(op, names, tensor(shape, to)))


def _way(way: str) -> Scalar:
    return lambda w, names, dtypes, shape, to: w.emit(compare(way, names, dtypes[0], shape))


def _number(w: Writer, value: Any, d: DType, shape: Shape) -> str:
    return w.broadcast(w.helper(constant(value, d)), tensor((), d), shape)


def _trunc(w: Writer, names: Names, dtypes: Dtypes, shape: Shape, to: DType) -> str:
    t, (x,) = tensor(shape, to), names
    negative = w.helper(compare("LT", (x, _number(w, 0.0, to, shape)), to, shape))
    up, down = w.helper(plain("ceil", (x,), t)), w.helper(plain("floor", (x,), t))
    return w.emit(select((negative, up, down), to, shape))


def _exp2(w: Writer, names: Names, dtypes: Dtypes, shape: Shape, to: DType) -> str:
    return w.emit(plain("power", (_number(w, 2.0, to, shape), names[0]), tensor(shape, to)))


def _log2(w: Writer, names: Names, dtypes: Dtypes, shape: Shape, to: DType) -> str:
    t = tensor(shape, to)
    log = w.helper(plain("log", names, t))
    return w.emit(plain("divide", (log, _number(w, float(np.log(2.0)), to, shape)), t))


def _fma(w: Writer, names: Names, dtypes: Dtypes, shape: Shape, to: DType) -> str:
    t = tensor(shape, to)
    return w.emit(plain("add", (w.helper(plain("multiply", names[:2], t)), names[2]), t))


def _guarded(op: str) -> Scalar:
    """Integer division, which is 0 for a zero divisor here and undefined there."""

    def write(w: Writer, names: Names, dtypes: Dtypes, shape: Shape, to: DType) -> str:
        t, (x, y) = tensor(shape, to), names
        zero, one = _number(w, 0, to, shape), _number(w, 1, to, shape)
        bad = w.helper(compare("EQ", (y, zero), to, shape))
        safe = w.helper(select((bad, one, y), to, shape))
        return w.emit(select((bad, zero, w.helper(plain(op, (x, safe), t))), to, shape))

    return write


def _rem(w: Writer, names: Names, dtypes: Dtypes, shape: Shape, to: DType) -> str:
    return (_as("remainder") if to.is_float else _guarded("remainder"))(w, names, dtypes, shape, to)


def _shift_right(w: Writer, names: Names, dtypes: Dtypes, shape: Shape, to: DType) -> str:
    way = "logical" if to.name.startswith("ui") else "arithmetic"
    return w.emit(plain(f"shift_right_{way}", names, tensor(shape, to)))


def _erf(w: Writer, names: Names, dtypes: Dtypes, shape: Shape, to: DType) -> str:
    return w.formula(erf, {}, list(zip(names, dtypes, strict=True)), tensor(shape, to))


def _umulhi(w: Writer, names: Names, dtypes: Dtypes, shape: Shape, to: DType) -> str:
    wide = tensor(shape, u64)
    x, y = (w.helper(cast("convert", n, u32, shape, u64)) for n in names)
    both = w.helper(plain("multiply", (x, y), wide))
    high = w.helper(plain("shift_right_logical", (both, _number(w, 32, u64, shape)), wide))
    return w.emit(cast("convert", high, u64, shape, u32))


SCALAR: dict[str, Scalar] = {
    **{name: _as(op) for name, op in {
        "add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "neg": "negate", "abs": "abs",
        "minimum": "minimum", "maximum": "maximum", "floor": "floor", "ceil": "ceil", "rint": "round_nearest_even",
        "sqrt": "sqrt", "rsqrt": "rsqrt", "exp": "exponential", "log": "log", "bitwise_and": "and",
        "bitwise_or": "or", "bitwise_xor": "xor", "bitwise_not": "not", "shift_left": "shift_left",
    }.items()},
    **{name: _way(name.upper()) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "rem": _rem,
    "idiv": _guarded("divide"),
    "trunc": _trunc,
    "erf": _erf,
    "exp2": _exp2,
    "log2": _log2,
    "fma": _fma,
    "shift_right": _shift_right,
    "umulhi": _umulhi,
    "fresh": lambda w, names, dtypes, shape, to: names[0],
    "again": lambda w, names, dtypes, shape, to: w.emit(plain("optimization_barrier", names[:1], tensor(shape, to))),
    "select": lambda w, names, dtypes, shape, to: w.emit(select(names, to, shape)),
    "convert": lambda w, names, dtypes, shape, to: w.emit(cast("convert", names[0], dtypes[0], shape, to)),
    "bitcast": lambda w, names, dtypes, shape, to: w.emit(cast("bitcast_convert", names[0], dtypes[0], shape, to)),
}  # fmt: skip


def reduction(w: Writer, operand: tuple[str, TensorType], result: TensorType, node: Node) -> str:
    """A reduction by a monoid, named by the record's trait."""
    name, t = operand
    monoid = MONOIDS[next(x for x in node.op.traits if x.startswith("monoid:")).partition(":")[2]]
    combine = {"add": "add", "mul": "multiply", "bitwise_or": "or", "bitwise_and": "and"}
    op = combine.get(monoid.combine, monoid.combine)
    dims = [d % t.ndim for d in node.attrs["dims"]]
    first = w.helper(constant(monoid.identity(t.dtype), t.dtype))
    out = tensor(tuple(n for i, n in enumerate(t.shape) if i not in dims), t.dtype)
    text = (
        f"stablehlo.reduce({name} init: {first}) applies stablehlo.{op} across dimensions = {dims} : "
        f"({t}, {tensor((), t.dtype)}) -> {out}"
    )
    if out == result:
        return w.emit(text)
    return w.emit(f"stablehlo.reshape {w.helper(text)} : ({out}) -> {result}")
