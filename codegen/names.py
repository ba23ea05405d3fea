"""Identifiers for printed code. Whatever text a name comes from, what is printed is a plain ASCII identifier that is no
keyword and no name the printed code relies on."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from functools import lru_cache

from gradc.ir.graph import Loc

RESERVED = frozenset((*keyword.kwlist, *keyword.softkwlist, "tl", "triton", "torch", "np", "float", "range"))


@lru_cache(maxsize=4096)
def identifier(text: str, default: str = "v") -> str:
    """A legal identifier as close to the text as ASCII allows."""
    name = text
    if not (text.isascii() and text.isidentifier()):
        name = re.sub(r"[^A-Za-z0-9_]+", "_", text)
    name = name.strip("_")[:60]
    if not name:
        return default
    if name[0].isdigit():
        name = f"{default}{name}"
    return f"{name}_" if name in RESERVED else name


def location_comment(loc: Loc) -> str:
    """`# file.py:12`, with nothing of the file's name that could end the comment."""
    return "# " + re.sub(r"[^ -~]", "?", f"{loc.file}:{loc.line}")


class Names:
    """Hands out identifiers, each one once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def fresh(self, hint: str) -> str:
        """The hint itself if it is free, else the hint with the least free number."""
        base = identifier(hint)
        name = base
        while name in self._taken:
            n = self._next.get(base, 0) + 1
            self._next[base] = n
            name = f"{base.rstrip('_')}_{n}"
        self._taken.add(name)
        return name
