"""Numbers as text, both ways: floats shortest-exact, NaN and infinities as the hex digits of their bits."""

from __future__ import annotations

import struct

from .errors import GradValueError
from .lexer import Tokens
from .typetext import DTYPE_NAMES

MAX_DIGITS = 400
_FLOAT_BITS = {"f64": ">d", "f32": ">f", "f16": ">e"}


def format_int(v: int) -> str:
    if -(2**63) <= v < 2**63:
        return f"{v} : i64"
    if 0 <= v < 2**64:
        return f"{v} : ui64"
    raise GradValueError("an integer attribute must fit in 64 bits")


def format_float(v: float) -> str:
    if v - v != 0.0:
        return f"0x{struct.unpack('>Q', struct.pack('>d', v))[0]:016X} : f64"
    r = repr(v)
    if "." not in r:
        mantissa, _, exponent = r.partition("e")
        r = f"{mantissa}.0e{exponent}"
    return f"{r} : f64"


def parse_number(t: Tokens) -> int | float:
    token = t.next()
    if t.items[t.i] != ":":
        return number(t, token, "f64" if "." in token else "i64")
    at = t.i - 1
    t.i += 1
    kind = t.next()
    if kind not in DTYPE_NAMES and kind != "index":
        raise t.expected("a number's type (i64, f64, ...)", t.i - 1)
    return number(t, token, kind, at)


def number(t: Tokens, token: str, kind: str, at: int | None = None) -> int | float:
    """The number that a token spells as a value of an element type."""
    at = t.i - 1 if at is None else at
    if len(token) > MAX_DIGITS or not (token[0].isdigit() or token[0] == "-") or token in ("-", "->"):
        raise t.expected("a number", at)
    hexadecimal = "x" in token
    if kind in _FLOAT_BITS or kind == "bf16":
        if not hexadecimal:
            return float(token)
        size = DTYPE_NAMES[kind].itemsize
        bits = int(token, 16)
        if not 0 <= bits < 1 << (8 * size):
            raise t.error(f"the bits of {kind} take {2 * size} hex digits", at)
        if kind == "bf16":
            return float(struct.unpack(">f", struct.pack(">I", bits << 16))[0])
        return float(struct.unpack(_FLOAT_BITS[kind], bits.to_bytes(size, "big"))[0])
    if "." in token:
        raise t.error(f"a number of type {kind} has no fraction", at)
    value = int(token, 16) if hexadecimal else int(token)
    low, high = (0, 2**64) if kind == "ui64" else (-(2**63), 2**63)
    if not low <= value < high:
        raise t.error(f"a number of type {kind} must fit in 64 bits", at)
    return value
