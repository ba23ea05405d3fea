"""The package as it is installed: its table, its version, its typing mark, and what importing it costs."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import tree
from speed import slowdown


def test_the_table_is_the_tree() -> None:
    on_disk = set()
    for folder in tree.pyproject()["tool"]["setuptools"]["package-dir"].values():
        on_disk |= {path.parent for path in (tree.ROOT / folder).rglob("*.py")}
    assert set(tree.packages().values()) == on_disk
    for folder in on_disk:
        assert (folder / "__init__.py").exists(), f"{folder} lacks __init__.py"


def test_a_frontend_module_does_not_hide_a_folder() -> None:
    table = tree.pyproject()["tool"]["setuptools"]["package-dir"]
    folders = {name.split(".")[1] for name in table if "." in name}
    assert not folders & {path.stem for path in (tree.ROOT / "frontend").iterdir()}


def test_the_version_stands_in_one_place() -> None:
    version = tree.pyproject()["project"]["version"]
    assert importlib.metadata.version("gradc") == version
    repeated = [path for _, path in tree.modules() if f'"{version}"' in path.read_text()]
    assert not repeated, f"{repeated} repeat the version of pyproject.toml; read importlib.metadata"


def test_types_are_shipped() -> None:
    assert (tree.ROOT / "frontend" / "py.typed").exists()
    assert tree.pyproject()["tool"]["setuptools"]["package-data"]["gradc"] == ["py.typed"]


def _import_seconds(module: str, bytecode: Path) -> float:
    """CPU seconds of one import in a fresh process that finds compiled bytecode, as an installed package does."""
    code = f"import time; t = time.process_time(); import {module}; print(time.process_time() - t)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return float(run.stdout)


def test_importing_gradc_costs_little_more_than_numpy(tmp_path: Path) -> None:
    """At most 0.05 s, more on a slow or busy machine; the best of up to ten tries each."""
    for module in ("numpy", "gradc"):
        _import_seconds(module, tmp_path)
    numpy_best = gradc_best = float("inf")
    for _ in range(10):
        numpy_best = min(numpy_best, _import_seconds("numpy", tmp_path))
        gradc_best = min(gradc_best, _import_seconds("gradc", tmp_path))
        if gradc_best - numpy_best <= 0.05 * slowdown():
            return
    raise AssertionError(f"import gradc takes {gradc_best:.3f} s of CPU, import numpy {numpy_best:.3f} s")


def test_importing_gradc_leaves_the_heavy_packages_alone() -> None:
    code = "import sys, gradc; print([m for m in ('torch', 'triton', 'networkx', 'scipy') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_importing_gradc_loads_what_eager_programs_need() -> None:
    """Beside NumPy: the IR with its ops and the tensors, and little else, counted in modules."""
    code = "import numpy, sys; before = set(sys.modules); import gradc; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    own = [m for m in loaded if m.startswith("gradc")]
    compiler = ("passes", "codegen", "runtime", "cli", "view", "nn", "optim", "compiled", "builder", "tracing", "reach")
    assert not [m for m in own if m.split(".")[1:2] and m.split(".")[1] in compiler]
    assert len(set(loaded) - set(own)) <= 12, set(loaded) - set(own)


def test_the_lint_rule_bans_every_bare_folder_name() -> None:
    config = tree.pyproject()["tool"]
    folders = {Path(folder).parts[0] for folder in config["setuptools"]["package-dir"].values()}
    assert set(config["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]) == folders
