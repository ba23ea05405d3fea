"""The tokens of the text form: one compiled expression, strings in, strings out.

A token is a plain string whose first character tells its kind (`%` a value, `"` a string, `@` a symbol, `!` or
`tensor<` a type, a digit or `-` a number, ...). Positions are not kept: an error finds its own by reading again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .errors import ParseError

TOKEN = re.compile(
    r"""\s*+(?://[^\n]*+\s*+)*+
    ( %(?:[\w$.]|-(?!>))++(?:\#\d++)?+(?::\d++)?+
    | tensor<[^<>"\n]*+>
    | [A-Za-z_][\w$.]*+
    | "(?:[^"\\\n]++|\\[^\n])*+"
    | -?0x[0-9A-Fa-f]++
    | -?\d++(?:\.\d*+(?:[eE][+-]?\d++)?+)?+
    | ->
    | ![A-Za-z_][\w$.]*+(?:<[^<>\n]*+>)?+
    | @(?:[A-Za-z_][\w$.]*+|"(?:[^"\\\n]++|\\[^\n])*+")
    | [\#^][\w$.]++
    | \S )""",
    re.ASCII | re.VERBOSE,
)
"""Possessive throughout, and its last branch takes any character: it matches everywhere, in linear time."""

END = "\0"
WIDTH = 100
"""Characters of the offending line that an error shows."""


class Tokens:
    """The tokens of a text and a place among them; `items` ends with `END`."""

    __slots__ = ("i", "items", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.items: list[str] = TOKEN.findall(text + "\n" + END)
        self.i = 0

    def at_end(self) -> bool:
        return self.i == len(self.items) - 1

    def next(self) -> str:
        token = self.items[self.i]
        if self.i < len(self.items) - 1:
            self.i += 1
        return token

    def take(self, token: str) -> bool:
        """Step over `token` if it is next."""
        if self.items[self.i] == token:
            self.i += 1
            return True
        return False

    def expect(self, token: str, what: str = "") -> None:
        if self.items[self.i] != token:
            raise self.expected(what or f"'{token}'")
        self.i += 1

    def expected(self, what: str, index: int | None = None) -> ParseError:
        i = self.i if index is None else index
        got = "the end of the text" if i >= len(self.items) - 1 else f"'{shorten(self.items[i])}'"
        return self.error(f"expected {what}, got {got}", i)

    def error(self, message: str, index: int | None = None, hint: str | None = None) -> ParseError:
        """The error at a token (the next one by default), with its line, column and a caret below its text."""
        start, end = self.span(self.i if index is None else index)
        line, column = self.text.count("\n", 0, start) + 1, start - self.text.rfind("\n", 0, start)
        stop = self.text.find("\n", start)
        left = start - column + 1
        source = self.text[left : len(self.text) if stop < 0 else stop].rstrip("\r").replace("\t", " ")
        cut = max(0, column - 1 - WIDTH * 2 // 3) if len(source) > WIDTH else 0
        shown = source[cut : cut + WIDTH]
        caret = "^" * max(1, min(end - start, cut + WIDTH - column + 1))
        excerpt = f"{line}:{column}: {message}\n  {shown}\n  {' ' * (column - 1 - cut)}{caret}"
        return ParseError(excerpt, line=line, column=column, hint=hint)

    def span(self, index: int) -> tuple[int, int]:
        """Where a token starts and ends in the text."""
        index = min(index, len(self.items) - 1)
        for k, m in enumerate(TOKEN.finditer(self.text + "\n" + END)):
            if k == index:
                start = m.start(1)
                return (start, m.end(1)) if start < len(self.text) else (len(self.text), len(self.text))
        return len(self.text), len(self.text)

    def line(self, index: int) -> int:
        return self.text.count("\n", 0, self.span(index)[0]) + 1


def shorten(token: str, limit: int = 40) -> str:
    return token if len(token) <= limit else token[: limit - 3] + "..."


def closest(name: str, known: Iterable[str]) -> str | None:
    """A hint naming the known word nearest to a misspelt one."""
    import difflib  # only an error needs it, and it is slow to import

    near = difflib.get_close_matches(name[:64], known, 1)
    return f"did you mean {near[0]}?" if near else None
