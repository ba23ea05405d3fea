"""mypy --strict over the package. mypy does not read the table that maps folders to import names: it gets a throw-away
tree of links in the layout of the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tree


def link_tree(root: Path) -> None:
    for name, folder in tree.packages().items():
        package = root.joinpath(*name.split("."))
        package.mkdir(parents=True)
        for path in [*folder.glob("*.py"), *folder.glob("py.typed")]:
            (package / path.name).symlink_to(path)


def test_mypy_strict_is_clean(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    link_tree(tmp_path)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(tree.ROOT / "pyproject.toml")]
    command += ["--cache-dir", str(tree.ROOT / ".mypy_cache"), "-p", "gradc"]
    run = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"MYPYPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
