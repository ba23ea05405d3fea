"""The repository as the tests of its shape see it: the package table of pyproject and the files of every package."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXPECTED_FAILURES: pytest.StashKey[dict[str, str]] = pytest.StashKey()
"""Test id -> reason, as conftest.py read tests/expected_failures.txt."""

ROOT = Path(__file__).resolve().parent.parent


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages() -> dict[str, Path]:
    """Import name -> folder for every row of the table; a row without a folder of its own lies in its parent's."""
    table = pyproject()["tool"]["setuptools"]
    folders: dict[str, Path] = {}
    for name in sorted(table["packages"]):
        parent, _, last = name.rpartition(".")
        own = table["package-dir"].get(name)
        folders[name] = ROOT / own if own else folders[parent] / last
    return folders


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the package as (import name, file); a package's own module has the package's name."""
    for name, folder in packages().items():
        for path in sorted(folder.glob("*.py")):
            yield (name if path.stem == "__init__" else f"{name}.{path.stem}"), path
