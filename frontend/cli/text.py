"""IR text in files and on stdin."""

from __future__ import annotations

import sys
from pathlib import Path

from gradc.ir.errors import GradValueError, ParseError
from gradc.ir.graph import Module
from gradc.ir.parse_module import parse


def source(file: str) -> str:
    """The text of a file, or of stdin for "-"."""
    path, name = Path(file), "<stdin>" if file == "-" else file
    if file != "-" and not path.is_file():
        raise GradValueError(f"{file} is a folder, not a file" if path.is_dir() else f"no such file: {file}")
    try:
        return sys.stdin.read() if file == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise GradValueError(f"{name} is not IR text: its byte {e.start} is no UTF-8") from None


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
