"""The table of tile scalar ops in Triton, with reductions, element types and literals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gradc.ir.errors import UnsupportedError
from gradc.ir.types import DType, f32

from .constants import Number, float_text

COMPARE, OR, XOR, AND, SHIFT, ADD, MUL, UNARY, ATOM = 1, 2, 3, 4, 5, 6, 7, 8, 10

_SUFFIX = {"f64": "fp64", "f32": "fp32", "f16": "fp16", "bf16": "bf16"}
_TYPE = {"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16"}

SOME_NAN = 0x7FD1E5A5
"""`again` gives way to its second operand where that is this NaN or the one before: never, but no compiler knows. A
range, because from equality a compiler would know the operand, and compute with both sides of the choice apart."""


def pointer_type(dtype: DType) -> str:
    """Triton's spelling of a pointer argument: `*fp32`, `*i64`, `*u8`."""
    return "*" + (_SUFFIX.get(dtype.name) or dtype.name.replace("ui", "u"))


def type_text(dtype: DType) -> str:
    """`tl.float32`, `tl.int64`, `tl.uint32`, `tl.int1`."""
    return "tl." + (_TYPE.get(dtype.name) or dtype.name.replace("ui", "uint").replace("i", "int", dtype.name[0] == "i"))


class Form(NamedTuple):
    """How one op prints: a template over {a} {b} {c}, how tightly it binds, how tightly each operand must, which
    operands it repeats (they are given names first), and whether literals must be made tensors first."""

    template: str
    level: int = ATOM
    need: tuple[int, ...] = (0, 0, 0)
    repeats: str = ""
    tensors: bool = False
    helper: str | None = None


def _infix(symbol: str, level: int) -> Form:
    left = level + 1 if level == COMPARE else level
    return Form(f"{{a}} {symbol} {{b}}", level, (left, level + 1, 0))


def _call(name: str, arity: int = 1, **more: Any) -> Form:
    return Form(f"{name}({', '.join('{' + 'abc'[i] + '}' for i in range(arity))})", **more)


def _nan_aware(name: str) -> Callable[..., Form]:
    bools = {"minimum": _infix("&", AND), "maximum": _infix("|", OR)}

    def form(types: tuple[DType, ...], attrs: dict[str, Any]) -> Form:
        if types[0].kind == "bool":
            return bools[name]
        nan = ", propagate_nan=tl.PropagateNan.ALL" if types[0].is_float else ""
        return Form(f"tl.{name}({{a}}, {{b}}{nan})")

    return form


def _bitwise_not(types: tuple[DType, ...], attrs: dict[str, Any]) -> Form:
    (d,) = types
    if d.name.startswith("ui"):
        # `~` is an exclusive or with -1, which the interpreter of Triton 3.7 cannot make of an unsigned type.
        return Form(f"{{a}} ^ {2**d.bits - 1}", XOR, (XOR, 0, 0))
    return Form("~{a}", UNARY, (UNARY, 0, 0))


def _rint(types: tuple[DType, ...], attrs: dict[str, Any]) -> Form:
    big = 2.0**52 if types[0].bits == 64 else 2.0**23
    near = f"tl.where({{a}} < 0, ({{a}} - {big}) + {big}, ({{a}} + {big}) - {big})"
    return Form(f"tl.where(tl.abs({{a}}) < {big}, {near}, {{a}})", need=(SHIFT, 0, 0), repeats="a")


def _convert(types: tuple[DType, ...], attrs: dict[str, Any]) -> Form:
    source, target = types[0], attrs["dtype"]
    if source is target:
        return Form("{a}", 0)
    if source.name == "bf16" and target.name != "f32":
        inner = _convert((f32,), attrs)
        return Form(inner.template.replace("{a}", "{a}.to(tl.float32)"), inner.level, (ATOM, 0, 0))
    if target.name == "bf16" and source.name != "f32":
        return Form("{a}.to(tl.float32).to(tl.bfloat16)", need=(ATOM, 0, 0))
    if target.kind == "bool":
        return Form("{a} != 0", COMPARE, (COMPARE + 1, 0, 0))
    return Form(f"{{a}}.to({type_text(target)})", need=(ATOM, 0, 0))


def _bitcast(types: tuple[DType, ...], attrs: dict[str, Any]) -> Form:
    if types[0] is attrs["dtype"]:
        return Form("{a}", 0)
    return Form(f"{{a}}.to({type_text(attrs['dtype'])}, bitcast=True)", need=(ATOM, 0, 0))


def _again(types: tuple[DType, ...], attrs: dict[str, Any]) -> Form:
    bits = "{b}" if types[1].bits == 32 else "{b}.to(tl.float32)"
    never = f"({bits}.to(tl.int32, bitcast=True) ^ {SOME_NAN ^ 0x7FFFFFFF}) >= {0x7FFFFFFE}"
    return Form(f"tl.where({never}, {{b}}, {{a}})", need=(0, ATOM, 0), repeats="b", tensors=True)


_FIXED: dict[str, Form] = {
    "add": _infix("+", ADD),
    "sub": _infix("-", ADD),
    "mul": _infix("*", MUL),
    "div": _infix("/", MUL),
    "bitwise_and": _infix("&", AND),
    "bitwise_or": _infix("|", OR),
    "bitwise_xor": _infix("^", XOR),
    "shift_left": _infix("<<", SHIFT),
    "shift_right": _infix(">>", SHIFT),
    "eq": _infix("==", COMPARE),
    "ne": _infix("!=", COMPARE),
    "lt": _infix("<", COMPARE),
    "le": _infix("<=", COMPARE),
    "gt": _infix(">", COMPARE),
    "ge": _infix(">=", COMPARE),
    "neg": Form("-{a}", UNARY, (UNARY, 0, 0)),
    "abs": _call("tl.abs"),
    "floor": _call("tl.floor"),
    "ceil": _call("tl.ceil"),
    "trunc": Form("tl.where({a} < 0, tl.ceil({a}), tl.floor({a}))", need=(COMPARE + 1, 0, 0), repeats="a"),
    "sqrt": _call("tl.sqrt"),
    "rsqrt": _call("tl.rsqrt"),
    "exp": _call("tl.exp"),
    "exp2": _call("tl.exp2"),
    "log": _call("tl.log"),
    "log2": _call("tl.log2"),
    "erf": _call("tl.erf"),
    "fresh": Form("tl.where(tl.program_id(0) < tl.num_programs(0), {a}, 0)"),
    "fma": _call("tl.fma", 3, tensors=True),
    "umulhi": _call("tl.umulhi", 2, tensors=True),
    "select": _call("tl.where", 3),
    "idiv": Form("c_div({a}, {b})", tensors=True, helper="c_div"),
    "rem": Form("c_rem({a}, {b})", tensors=True, helper="c_rem"),
}
_BY_TYPE: dict[str, Callable[[tuple[DType, ...], dict[str, Any]], Form]] = {
    "minimum": _nan_aware("minimum"),
    "maximum": _nan_aware("maximum"),
    "bitwise_not": _bitwise_not,
    "rint": _rint,
    "convert": _convert,
    "bitcast": _bitcast,
    "again": _again,
}

HELPERS: dict[str, str] = {
    "c_div": (
        "@triton.jit\ndef c_div(a, b):\n"
        "    # truncates; 0 for a zero divisor\n"
        "    return tl.where(b == 0, 0, a // tl.where(b == 0, 1, b))\n"
    ),
    "c_rem": (
        "@triton.jit\ndef c_rem(a, b):\n"
        "    # has the sign of a; 0 for a zero divisor\n"
        "    return tl.where(b == 0, 0, a % tl.where(b == 0, 1, b))\n"
    ),
    "nan_max": "@triton.jit\ndef nan_max(a, b):\n    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)\n",
    "nan_min": "@triton.jit\ndef nan_min(a, b):\n    return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)\n",
    "exp_below": ("@triton.jit\ndef exp_below(x, top):\n    return tl.where(x == top, 1.0, tl.exp(x - top))\n"),
    "product": "@triton.jit\ndef product(a, b):\n    return a * b\n",
}


def form(name: str, types: tuple[DType, ...], attrs: dict[str, Any]) -> Form:
    """The form of a tile scalar op (without its dialect) on operands of these element types."""
    fixed = _FIXED.get(name)
    return fixed if fixed is not None else _BY_TYPE[name](types, attrs)


def scalar_ops() -> frozenset[str]:
    """The ops this table knows."""
    return frozenset(_FIXED) | frozenset(_BY_TYPE)


def reduction(monoid: str, dtype: DType) -> Form:
    """How a reduction of {a} along axis {b} prints."""
    narrow = f".to({type_text(dtype)})" if dtype.bits < 32 and dtype.kind == "int" else ""
    if dtype.kind == "bool":
        way = {"any": "tl.max({a}.to(tl.int32), {b}) > 0", "all": "tl.min({a}.to(tl.int32), {b}) > 0"}
        way |= {"max": way["any"], "min": way["all"]}
        if monoid not in way:
            raise UnsupportedError(f"codegen: a {monoid} over i1")
        return Form(way[monoid], COMPARE, (ATOM, 0, 0))
    if monoid == "sum":
        return Form(f"tl.sum({{a}}, {{b}}){narrow}")
    if monoid == "prod":
        return Form("tl.reduce({a}, {b}, product)", helper="product")
    if dtype.is_float:
        return Form(f"tl.reduce({{a}}, {{b}}, nan_{monoid})", helper=f"nan_{monoid}")
    return Form(f"tl.{monoid}({{a}}, {{b}}){narrow}")


def literal(value: Number, dtype: DType) -> str:
    """A number as printed beside a tensor of this dtype."""
    if dtype.kind == "bool":
        return "True" if value else "False"
    if dtype.kind == "int":
        return str(int(value))
    text = float_text(float(value), dtype)
    return text if text[-1].isdigit() else f'float("{text}")'
