"""Attributes as text, both ways, in MLIR's spelling:

    bool   true                     tuple of ints   array<i64: 0, 1>
    int    3 : i64  (or : ui64)     other tuple     [1.0 : f64, "a"]
    float  0.5 : f64                dict            {dims = array<i64: 0>, name = "x"}
    str    "line\\0A"               DType           f32
    Dense  dense<"0x..."> : t       types           tensor<4xf32>

Floats print shortest-exact, NaN and infinities as their bits in hex; dictionaries print sorted by key.
"""

from __future__ import annotations

import re
from typing import Any

from .dense import format_dense, read_dense
from .errors import GradTypeError, GradValueError
from .graph import Attr, Dense
from .lexer import Tokens, shorten
from .literals import format_float, format_int, number, parse_number
from .types import BufferType, DType, TensorType, TileType
from .typetext import DTYPE_NAMES, generic_type, read_type

MAX_DEPTH = 64
"""Levels of lists and dictionaries inside one attribute."""
TEXT_DEPTH = MAX_DEPTH + 8
"""The same in text, where the generic form wraps the headers of graphs and regions in levels of its own."""

_BARE = re.compile(r"[A-Za-z_][\w$.]*", re.ASCII)
_PLAIN = re.compile(r"[ !#-\[\]-~]*", re.ASCII)
_ESCAPE = re.compile(rb'\\(?:([0-9A-Fa-f]{2})|(["\\nt])|(.?))', re.DOTALL)


def format_string(s: str) -> str:
    if _PLAIN.fullmatch(s):
        return f'"{s}"'
    data = s.encode("utf-8", "surrogatepass")
    return '"' + "".join(chr(c) if 32 <= c < 127 and c not in b'"\\' else f"\\{c:02X}" for c in data) + '"'


def format_key(key: Any) -> str:
    if type(key) is not str or not key:
        raise GradTypeError(f"an attribute's name must be a string that is not empty, got {key!r}")
    return key if _BARE.fullmatch(key) else format_string(key)


def format_attr(v: Attr, generic: bool = False, depth: int = 0) -> str:
    """One attribute value; raises GradTypeError for what is no attribute."""
    t = type(v)
    if t is bool:
        return "true" if v else "false"
    if t is int:
        return format_int(v)
    if t is str:
        return format_string(v)
    if t is float:
        return format_float(v)
    if t is DType:
        return str(v.name)
    if depth > TEXT_DEPTH:
        raise GradValueError(f"attributes nest deeper than {TEXT_DEPTH} levels")
    if t is tuple:
        if all(type(x) is int and -(2**63) <= x < 2**63 for x in v):
            return f"array<i64: {', '.join(map(str, v))}>" if v else "array<i64>"
        return f"[{', '.join([format_attr(x, generic, depth + 1) for x in v])}]"
    if t is dict:
        return format_dict(v, generic, depth + 1)
    if t is Dense:
        return format_dense(v)
    if t is TensorType or t is TileType or t is BufferType:
        return generic_type(v) if generic else str(v)
    raise GradTypeError(f"{shorten(repr(v))} of type {t.__name__} cannot be an attribute")


def format_dict(attrs: dict[str, Attr], generic: bool = False, depth: int = 0) -> str:
    items = sorted(attrs.items(), key=_first)
    return "{" + ", ".join([f"{format_key(k)} = {format_attr(v, generic, depth)}" for k, v in items]) + "}"


def _first(item: tuple[str, Attr]) -> str:
    return str(item[0])


def unescape(t: Tokens, token: str) -> str:
    """The string a `"..."` token stands for."""
    if "\\" not in token:
        return token[1:-1]

    def one(m: re.Match[bytes]) -> bytes:
        if m[1] is not None:
            return bytes([int(m[1], 16)])
        if m[2] is not None:
            return {b"n": b"\n", b"t": b"\t"}.get(m[2], m[2])
        raise t.error("unknown escape in a string, known are \\\", \\\\, \\n, \\t and two hex digits", t.i - 1)

    data = _ESCAPE.sub(one, token[1:-1].encode("utf-8", "surrogatepass"))
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise t.error("a string must be UTF-8", t.i - 1) from None


def parse_string(t: Tokens, what: str) -> str:
    token = t.items[t.i]
    if len(token) < 2 or token[0] != '"':
        raise t.expected(what)
    t.i += 1
    return unescape(t, token)


def parse_dict(t: Tokens, depth: int = 0) -> dict[str, Attr]:
    """`{key = value, ...}`."""
    t.expect("{")
    out: dict[str, Attr] = {}
    if t.take("}"):
        return out
    items = t.items
    while True:
        key = items[t.i]
        if key[0].isalpha() or key[0] == "_":
            if "<" in key:
                raise t.expected("an attribute's name")
            t.i += 1
        else:
            key = parse_string(t, "an attribute's name")
            if not key:
                raise t.error("an attribute's name must not be empty", t.i - 1)
        if key in out:
            raise t.error(f"attribute {shorten(key)!r} is given twice", t.i - 1)
        t.expect("=")
        out[key] = parse_attr(t, depth)
        if items[t.i] == ",":
            t.i += 1
            continue
        t.expect("}", "',' or '}'")
        return out


def parse_attr(t: Tokens, depth: int = 0) -> Attr:
    """One attribute value at the cursor."""
    token = t.items[t.i]
    c = token[0]
    if c.isdigit() or (c == "-" and len(token) > 1 and token != "->"):
        return parse_number(t)
    if c == '"':
        return parse_string(t, "a string closed on its line")
    if depth >= TEXT_DEPTH:
        raise t.error(f"attributes nest deeper than {TEXT_DEPTH} levels")
    if c == "[":
        t.i += 1
        return _parse_list(t, depth)
    if c == "{":
        return parse_dict(t, depth + 1)
    if token in ("true", "false"):
        t.i += 1
        return token == "true"
    if token in DTYPE_NAMES:
        t.i += 1
        return DTYPE_NAMES[token]
    if token == "array":
        t.i += 1
        return _parse_array(t)
    if token == "dense":
        t.i += 1
        return read_dense(t)
    if c == "!" or token.startswith("tensor<"):
        found = read_type(token)
        if isinstance(found, str):
            raise t.error(found)
        t.i += 1
        return found
    raise t.expected("an attribute's value")


def _parse_list(t: Tokens, depth: int) -> tuple[Attr, ...]:
    out: list[Attr] = []
    if t.take("]"):
        return ()
    while True:
        out.append(parse_attr(t, depth + 1))
        if not t.take(","):
            t.expect("]", "',' or ']'")
            return tuple(out)


def _parse_array(t: Tokens) -> tuple[Attr, ...]:
    t.expect("<")
    kind = t.next()
    if kind not in DTYPE_NAMES:
        raise t.expected("an element type", t.i - 1)
    out: list[Attr] = []
    if t.take(">"):
        return ()
    t.expect(":")
    while True:
        token = t.items[t.i]
        if kind == "i1" and token in ("true", "false"):
            out.append(token == "true")
            t.i += 1
        else:
            out.append(number(t, t.next(), kind))
        if not t.take(","):
            t.expect(">", "',' or '>'")
            return tuple(out)
