"""Rules of the house that no tool knows: lengths of files, where names of ops may stand, what no file may mention."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree

MODULES = dict(tree.modules())
LINES = 300
LONGER = {
    "ir/build.py": "the three builders share one class of variables and its operators",
}
"""Files of the packages above `LINES` lines, and why. A file that became shorter leaves the list."""

STRUCTURAL = frozenset(
    {
        *("grad.constant", "grad.dense", "grad.iota", "grad.contract"),
        *("grad.slice", "grad.broadcast", "grad.permute", "grad.reshape"),
    }
)
"""Ops of the grad level that passes may ask for by name: where data comes from, products, and the views that every
other view is made of. Everything else that differs from op to op stands in its record or in a table keyed by name."""
ASSERTED = re.compile(r"\b(xfail|expectedFailure)\b")
FOREIGN = re.compile(r"(?<![\w.~}])/(?:work|home|root|Users)/\w|(?<![\w.])/tmp/\w")


def test_files_are_short() -> None:
    long = {}
    for path in MODULES.values():
        count = path.read_text().count("\n")
        if count > LINES:
            long[path.relative_to(tree.ROOT).as_posix()] = count
    assert set(long) == set(LONGER), f"longer than {LINES} lines: {long}; listed with a reason: {sorted(LONGER)}"


def compared(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every string that a comparison in this file mentions."""
    for node in ast.walk(ast.parse(path.read_text())):
        patterns = [node.pattern] if isinstance(node, ast.match_case) else []
        sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        for side in [*sides, *patterns]:
            for leaf in ast.walk(side):
                if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str):
                    yield leaf.lineno, leaf.value


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith("gradc.ir.ops")])
def test_no_code_branches_on_the_name_of_an_op(module: str) -> None:
    found = [(line, text) for line, text in compared(MODULES[module]) if re.fullmatch(r"grad\.[a-z_0-9]+", text)]
    assert {text for _, text in found} <= STRUCTURAL, f"{MODULES[module]}: {found}"


def test_ops_that_may_be_named_exist() -> None:
    from gradc.ir.ops import REGISTRY

    assert set(REGISTRY) >= STRUCTURAL


def written() -> Iterator[Path]:
    for folder in ("frontend", "ir", "passes", "codegen", "runtime", "tests", "examples", "benchmarks", "docs", ".ci"):
        for path in sorted((tree.ROOT / folder).rglob("*")):
            hidden = any(part.startswith((".hypothesis", "__pycache__")) for part in path.parts)
            if path.is_file() and not hidden and path.suffix in ("", ".py", ".md", ".ir", ".mlir", ".json", ".txt"):
                yield path
    yield from (tree.ROOT / name for name in ("README.md", "CHANGELOG.md", "pyproject.toml"))


def test_no_file_names_a_place_on_one_machine() -> None:
    found = []
    for path in written():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if FOREIGN.search(line) and path != Path(__file__):
                found.append(f"{path.relative_to(tree.ROOT)}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


def test_expected_failures_stand_on_one_list_that_only_shrinks(request: pytest.FixtureRequest) -> None:
    """conftest.py marks what the list holds, strictly: one that passes is a failure until it is taken off."""
    entries = request.config.stash[tree.EXPECTED_FAILURES]
    assert len(entries) <= 0, "the list may only shrink; lower this number with it"
    assert all(reason for reason in entries.values()), "every entry says why"
    own = (Path(__file__).name, "conftest.py")
    marked = [
        p.name for p in (tree.ROOT / "tests").glob("*.py") if p.name not in own and ASSERTED.search(p.read_text())
    ]
    assert not marked, f"{marked}: expected failures belong in tests/expected_failures.txt"
