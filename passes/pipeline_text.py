"""Pipelines as text: `adjoint{cotangents=inputs},decompose,simplify`, with a pass's options in braces, as mlir-opt has
them. `builtin.module(...)` or `gradc.module(...)` around it all is read too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, Protocol

from gradc.ir.errors import GradValueError
from gradc.ir.lexer import closest

ITEM = re.compile(r"\s*([\w.-]+)\s*(?:\{([^{}]*)\})?\s*")
OPTION = re.compile(r"\s*([\w-]+)=([^\s{}]+)\s*")
ANCHOR = re.compile(r"\s*(?:builtin|gradc)\.module\((.*)\)\s*", re.DOTALL)


class Named(Protocol):
    """What a row of the pipeline has that matters here."""

    @property
    def name(self) -> str: ...

    @property
    def options(self) -> Mapping[str, Callable[[str], Any]]: ...


def read(text: str, rows: Iterable[Named]) -> list[tuple[str, dict[str, Any]]]:
    """Names and options in order; raises GradValueError with the column."""
    known = {row.name: row for row in rows}
    anchored = ANCHOR.fullmatch(text)
    start, end = anchored.span(1) if anchored else (0, len(text))
    out: list[tuple[str, dict[str, Any]]] = []
    at = start
    while text[at:end].strip():
        found = ITEM.match(text, at, end)
        if found is None:
            fail(text, at, "expected the name of a pass")
        name = found[1]
        if name not in known:
            guess = closest(name, known)
            fail(text, found.start(1), f"unknown pass {name!r}", f"{guess}; the passes are {', '.join(known)}"
                 if guess else f"one of {', '.join(known)}")  # fmt: skip
        options = _options(text, found, known[name])
        out.append((name, options))
        at = found.end()
        if at < end:
            if text[at] != ",":
                fail(text, at, f"expected ',' after {name}")
            at += 1
    return out


def _options(text: str, item: re.Match[str], row: Named) -> dict[str, Any]:
    if item[2] is None:
        return {}
    out: dict[str, Any] = {}
    at, end = item.span(2)
    while text[at:end].strip():
        found = OPTION.match(text, at, end)
        if found is None:
            fail(text, at, f"expected name=value in the options of {row.name}")
        name, value = found[1], found[2]
        if name not in row.options:
            has = f"it has {', '.join(row.options)}" if row.options else "it has none"
            fail(text, found.start(1), f"pass {row.name} has no option {name!r}", has)
        try:
            out[name] = row.options[name](value)
        except ValueError as e:
            fail(text, found.start(2), f"option {name} of pass {row.name}: {e}")
        at = found.end()
    return out


def fail(text: str, at: int, message: str, hint: str | None = None) -> NoReturn:
    """Raise with line and column, and the place marked."""
    line = text.count("\n", 0, at) + 1
    start = text.rfind("\n", 0, at) + 1
    shown = text[start:].split("\n", 1)[0]
    column = at - start
    raise GradValueError(f"{line}:{column + 1}: {message}\n    {shown}\n    {' ' * column}^", hint=hint)
