"""Writing a folder or a file as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradc.ir.errors import GradValueError

MARK = "report.json"
"""Every folder that `gradc build` wrote has this file: only such folders (and empty ones) are replaced."""


@contextmanager
def folder(out: str) -> Iterator[Path]:
    """A temporary folder beside `out`, renamed to it at the end; removed if anything is raised."""
    target = Path(out)
    if target.exists() and not target.is_dir():
        raise GradValueError(f"{out} exists and is not a folder")
    if target.is_dir() and any(target.iterdir()) and not (target / MARK).exists():
        raise GradValueError(f"{out} holds files that gradc did not write", hint="give an empty or a new folder")
    _check_parents(out)
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=parent))
    try:
        yield made
        os.chmod(made, 0o777 & ~_umask())
        if target.exists():
            shutil.rmtree(target)
        os.replace(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def check_file(out: str) -> None:
    """Refuse what cannot become a file, before any work is done for it."""
    target = Path(out)
    if target.is_dir() or not target.name:
        raise GradValueError(f"{out} is a folder")
    _check_parents(out)


def _check_parents(out: str) -> None:
    for parent in Path(out).absolute().parents:
        if parent.exists():
            if not parent.is_dir():
                raise GradValueError(f"{out}: {parent} is not a folder")
            break


def write(out: str, content: str | bytes) -> None:
    """A file, written under another name first."""
    check_file(out)
    target = Path(out)
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.absolute().parent)
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
