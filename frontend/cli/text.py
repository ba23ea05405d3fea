"""IR text in files and on stdin."""

from __future__ import annotations

import sys
from pathlib import Path

from gradc.ir.errors import GradValueError, ParseError
from gradc.ir.graph import Module
from gradc.ir.parse_module import parse


def source(file: str) -> str:
    """The text of a file, or of stdin for "-"."""
    if file == "-":
        return sys.stdin.read()
    if not Path(file).is_file():
        raise GradValueError(f"no such file: {file}")
    return Path(file).read_text(encoding="utf-8")


def parsed(text: str, file: str, check: bool = True) -> Module:
    """The module that a text spells; parse errors start with file:line:column."""
    try:
        return parse(text, check=check)
    except ParseError as e:
        name = "<stdin>" if file == "-" else file
        raise ParseError(f"{name}:{e.bare}", line=e.line, column=e.column, loc=e.loc, hint=e.hint) from None


def read(file: str, check: bool = True) -> Module:
    """The module in a file, or on stdin for "-"."""
    return parsed(source(file), file, check)
