"""The table of tile scalar ops in NumPy. A row names a ufunc, or is a template that allocates its result; templates
call the functions that `numpy_calls.py` gives to printed code."""

from __future__ import annotations

from gradc.ir.types import DType, f32

from .constants import Number, float_text

UFUNCS: dict[str, str] = {
    "add": "np.add",
    "sub": "np.subtract",
    "mul": "np.multiply",
    "div": "np.divide",
    "minimum": "np.minimum",
    "maximum": "np.maximum",
    "bitwise_and": "np.bitwise_and",
    "bitwise_or": "np.bitwise_or",
    "bitwise_xor": "np.bitwise_xor",
    "bitwise_not": "np.invert",
    "shift_left": "np.left_shift",
    "shift_right": "np.right_shift",
    "eq": "np.equal",
    "ne": "np.not_equal",
    "lt": "np.less",
    "le": "np.less_equal",
    "gt": "np.greater",
    "ge": "np.greater_equal",
    "neg": "np.negative",
    "abs": "np.absolute",
    "floor": "np.floor",
    "ceil": "np.ceil",
    "trunc": "np.trunc",
    "rint": "np.rint",
    "sqrt": "np.sqrt",
    "exp": "np.exp",
    "exp2": "np.exp2",
    "log": "np.log",
    "log2": "np.log2",
}
CALLS: dict[str, str] = {
    "rsqrt": "rsqrt({a})",
    "fresh": "{a}",
    "erf": "erf({a})",
    "fma": "fma({a}, {b}, {c})",
    "umulhi": "umulhi({a}, {b})",
    "idiv": "c_div({a}, {b})",
    "rem": "c_rem({a}, {b})",
    "select": "np.where({a}, {b}, {c})",
    "convert": "{a}.astype({dtype}, copy=False)",
    "bitcast": "{a}.view({dtype})",
    "again": "{a}",
}
TYPED_LITERALS = frozenset(("fma", "umulhi", "idiv", "rem", "select", "convert", "bitcast", "again"))
"""Ops whose literal operands must be scalars of their dtype: NumPy has no other operand to take it from."""

REDUCTIONS: dict[str, str] = {
    "sum": "np.add",
    "prod": "np.multiply",
    "max": "np.maximum",
    "min": "np.minimum",
    "any": "np.logical_or",
    "all": "np.logical_and",
}


def dtype_text(dtype: DType) -> str:
    return "bfloat16" if dtype.name == "bf16" else f"np.{dtype.numpy.name}" if dtype.kind != "bool" else "np.bool_"


def literal(value: Number, dtype: DType) -> str:
    """A bare number, which takes the dtype of the array beside it."""
    if dtype.kind == "bool":
        return "True" if value else "False"
    if dtype.kind == "int":
        return str(int(value))
    text = float_text(float(value), dtype if dtype.bits == 64 else f32)
    return text if text[-1].isdigit() else text.replace("inf", "np.inf").replace("nan", "np.nan")


def typed_literal(value: Number, dtype: DType) -> str:
    """The same number with its dtype."""
    return f"{dtype_text(dtype)}({literal(value, dtype)})"


def scalar_ops() -> frozenset[str]:
    """The ops this table knows."""
    return frozenset(UFUNCS) | frozenset(CALLS)
