"""Constant tensors as text: `dense<"0x..."> : tensor<4xf32>` holds the bytes; MLIR's lists and splats are read too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from .graph import Dense
from .lexer import Tokens
from .literals import number
from .types import DType, TensorType, tensor
from .typetext import read_type

_HEX = re.compile(r'"0x(?:[0-9A-Fa-f]{2})*"', re.ASCII)
MAX_BYTES = 1 << 28
"""A splat or list longer than this is refused: a few characters must not ask for all memory."""


def format_dense(v: Dense) -> str:
    """MLIR's own spelling. Booleans, whose packing differs between its versions, print as a list."""
    t = tensor(v.shape, v.dtype)
    if not v.data:
        return f"dense<> : {t}"
    if v.dtype.kind == "bool":
        words = ["true" if b else "false" for b in v.data]
        return f"dense<{_nest(words, v.shape)}> : {t}"
    return f'dense<"0x{v.data.hex().upper()}"> : {t}'


def _nest(words: Sequence[str], shape: Sequence[int]) -> str:
    """Words in row-major order bracketed by shape."""
    for d in reversed(shape):
        words = [f"[{', '.join(words[i : i + d])}]" for i in range(0, len(words), d)]
    return words[0]


def read_dense(t: Tokens) -> Dense:
    """What follows the word `dense`."""
    start = t.i - 1
    t.expect("<")
    first = t.i
    raw: str | None = None
    words: list[str] = []
    if len(t.items[t.i]) > 1 and t.items[t.i][0] == '"':
        raw = t.next()
    else:
        words = _read_words(t)
    t.expect(">")
    t.expect(":")
    kind = read_type(t.items[t.i])
    if not isinstance(kind, TensorType):
        raise t.expected("the tensor type of the constant")
    t.i += 1
    if kind.nbytes > MAX_BYTES:
        raise t.error(f"a constant of {kind} takes more than {MAX_BYTES} bytes", start)
    data = _bytes(t, raw, kind, first) if raw is not None else _values(t, words, kind, first)
    return Dense(data, kind.shape, kind.dtype)


def _read_words(t: Tokens) -> list[str]:
    """The literals of a nested list, in order; brackets must pair."""
    words: list[str] = []
    depth, after_value = 0, False
    while True:
        token = t.items[t.i]
        if token == "[" and not after_value:
            depth += 1
        elif token == "]" and depth:
            depth, after_value = depth - 1, True
        elif token == "," and after_value and depth:
            after_value = False
        elif token == ">" and not depth:
            return words
        elif not after_value and (token[0].isdigit() or token[0] == "-" or token in ("true", "false")):
            words.append(token)
            after_value = True
        else:
            raise t.expected("a number, '[', ']' or '>'")
        t.i += 1


def _bytes(t: Tokens, raw: str, kind: TensorType, at: int) -> bytes:
    if not _HEX.fullmatch(raw):
        raise t.error('the bytes of a constant are hex digits: "0x0000803F"', at)
    data, n = bytes.fromhex(raw[3:-1]), kind.numel
    if kind.dtype.kind == "bool" and len(data) in (n, (n + 7) // 8):
        flags = np.frombuffer(data, np.uint8)
        return ((flags & 1) if len(data) == n else np.unpackbits(flags, count=n, bitorder="little")).tobytes()
    if len(data) == kind.nbytes:
        return data
    if len(data) == kind.dtype.itemsize:
        return data * n
    raise t.error(f"{kind} takes {kind.nbytes} bytes as hex digits after 0x, got {len(raw) - 4} digits", at)


def _values(t: Tokens, words: list[str], kind: TensorType, at: int) -> bytes:
    if len(words) != kind.numel and len(words) != 1:
        raise t.error(f"{kind} takes {kind.numel} values, got {len(words)}", at)
    dtype = kind.dtype
    values: list[Any] = []
    if dtype.kind == "bool":
        if any(w not in ("true", "false") for w in words):
            raise t.error("the values of an i1 constant are true and false", at)
        values = [w == "true" for w in words]
    else:
        if "true" in words or "false" in words:
            raise t.error(f"the values of a {dtype} constant are numbers", at)
        if dtype.is_float and any(w.startswith(("0x", "-0x")) for w in words):
            return b"".join([_float_bytes(t, w, dtype, at) for w in words]) * (kind.numel if len(words) == 1 else 1)
        values = [number(t, w, dtype.name, at) for w in words]
    try:
        with np.errstate(all="ignore"):
            a = np.array(values, np.float64 if dtype.is_float else dtype.numpy).astype(dtype.numpy)
    except (OverflowError, ValueError):
        raise t.error(f"a value does not fit in {dtype}", at) from None
    return a.tobytes() * (kind.numel if len(words) == 1 else 1)


def _float_bytes(t: Tokens, word: str, dtype: DType, at: int) -> bytes:
    """One float; hex digits are its bits, kept as they are (the payload of a NaN too)."""
    value = number(t, word, dtype.name, at)
    if word.startswith("0x"):
        return int(word, 16).to_bytes(dtype.itemsize, "little")
    with np.errstate(all="ignore"):
        return bytes(np.float64(value).astype(dtype.numpy).tobytes())
