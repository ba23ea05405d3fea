"""Who may import whom, and how: read from the syntax trees, so that code that is never run counts too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree

MODULES = dict(tree.modules())
LAYERS = {"ir": (), "passes": ("ir",), "codegen": ("ir",), "runtime": ("ir", "passes", "codegen")}
LATE = ("triton", "torch")
BARE = ("frontend", "ir", "passes", "codegen", "runtime")


def layer(module: str) -> str:
    part = module.split(".")[1] if "." in module else ""
    return part if part in LAYERS else "frontend"


def imports(path: Path) -> Iterator[tuple[ast.stmt, int, str, bool]]:
    """(statement, level of dots, imported name, whether it runs when the module is imported)."""
    late: set[ast.AST] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        guard = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if guard or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            late.update(ast.walk(node))
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, 0, alias.name, node not in late
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names] if base in ("", "gradc") else [base]
            for name in names:
                yield node, node.level, name.lstrip("."), node not in late


@pytest.mark.parametrize("module", MODULES)
def test_imports_obey_the_layers(module: str) -> None:
    own = layer(module)
    for node, level, name, at_import in imports(MODULES[module]):
        where = f"{MODULES[module].relative_to(tree.ROOT)}:{node.lineno}"
        top = name.split(".")[0]
        if level:
            depth = len(module.split(".")) - (MODULES[module].stem != "__init__")
            package = module.split(".")[: depth - (level - 1)]
            target = layer(".".join([*package, name]))
            assert target == own, f"{where}: a relative import leaves {own}/; write gradc.{target}"
            continue
        assert top not in BARE, f"{where}: `{name}` would be a second, different module; write gradc.{name}"
        assert not (at_import and top in LATE), f"{where}: {top} is imported inside functions, where first needed"
        if top != "gradc":
            continue
        target = layer(name)
        if own == "frontend":
            continue
        assert target == own or target in LAYERS[own], f"{where}: {own}/ may not import {target}/"
        subpackage = module.startswith("gradc.ir.ops")
        assert target != own or subpackage, f"{where}: inside {own}/ imports are relative"


def test_every_layer_has_modules() -> None:
    assert {layer(module) for module in MODULES} == {"frontend", *LAYERS}
