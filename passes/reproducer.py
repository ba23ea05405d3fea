"""Files that run again by themselves: a module with the command line that shows what went wrong, as comments on top.

    // gradc-reproducer: --pass-pipeline="fuse,plan-memory" --check-numerics
    // gradc-note: pass fuse ...
    gradc.module @loss ...

`gradc opt FILE` runs such a file with the options that its first comment holds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from gradc.ir.graph import Module

MARK = "// gradc-reproducer:"
NOTE = "// gradc-note:"


def reproducer(module: Module, pipeline: str, options: Iterable[str] = (), note: str = "") -> str:
    """The text of a reproducer."""
    words = " ".join([f'--pass-pipeline="{pipeline}"', *options])
    notes = [f"{NOTE} {line}".rstrip() for line in note.splitlines()]
    return "\n".join([f"{MARK} {words}", *notes, module.to_text()])


def options_of(text: str) -> list[str]:
    """The options that a reproducer holds; none for other text."""
    found = re.match(rf"{re.escape(MARK)}(.*)", text)
    return shlex.split(found[1]) if found else []


def rest_of(text: str, position: int) -> str:
    """The rows of a pipeline's text from one on, as text."""
    bare = re.sub(r"^\s*\w+\.module\((.*)\)\s*$", r"\1", text, flags=re.DOTALL)
    rows = re.findall(r"[\w.-]+\s*(?:\{[^{}]*\})?", bare)
    return ",".join(r.strip() for r in rows[position:])
