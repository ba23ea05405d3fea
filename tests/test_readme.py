"""The README's promises: its two commands have the agreed form, its python examples run, what it shows is what they
print, the op and the pass it adds work in a copy of the package, its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tree

TEXT = (tree.ROOT / "README.md").read_text()
BLOCKS = [(m[1], m[2]) for m in re.finditer(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)]
PYTHON = [code for tag, code in BLOCKS if tag == "python" and not code.startswith("# ")]
FILES = {code.split("\n")[0][2:]: code for tag, code in BLOCKS if tag == "python" and code.startswith("# ")}
"""Blocks whose first line names a file show that file, or a row of it."""


def test_the_first_two_blocks_after_start_are_one_line_commands() -> None:
    heading = re.search(r"^#+ .*\bStart\b.*$", TEXT, re.MULTILINE)
    assert heading is not None
    after = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT[heading.end() :], re.MULTILINE | re.DOTALL)[:2]
    assert [tag for tag, _ in after] == ["sh", "sh"]
    for _, code in after:
        assert code.count("\n") == 1
        program, script = code.split()
        assert program == "python3"
        assert (tree.ROOT / script).is_file()


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_examples_run(number: int, tmp_path: Path) -> None:
    script = tmp_path / f"example_{number}.py"
    script.write_text(PYTHON[number])
    run = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


SHOWN = """
from pathlib import Path
Path("mlir").write_text(prog.stages["simplified"].strip() + chr(10))
Path("py").write_text(prog.kernels[0].source.strip() + chr(10))
Path("text").write_text(str(prog.report()).strip() + chr(10))
"""


def test_what_is_shown_is_what_the_example_prints(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """`pytest --bless` writes them into the README."""
    (tmp_path / "loss.py").write_text(PYTHON[0] + SHOWN)
    run = subprocess.run([sys.executable, "loss.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    text = TEXT
    for tag in ("mlir", "py", "text"):
        new = f"```{tag}\n{(tmp_path / tag).read_text()}```\n"
        text = re.sub(rf"^```{tag}\n.*?^```\n", lambda _, new=new: new, text, flags=re.MULTILINE | re.DOTALL)
    if request.config.getoption("--bless"):
        (tree.ROOT / "README.md").write_text(text)
        return
    # Another Triton may need other registers and instructions.
    compiled = re.compile(r"^ +(cuda:90: |[0-9]+ of [0-9]+ warps).*$", re.MULTILINE)
    assert compiled.sub("", text) == compiled.sub("", TEXT), (
        "the README shows old text: `pytest --bless tests/test_readme.py` writes the new"
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package in the layout of the wheel, its files linked, so that a file can be added."""
    for name, folder in tree.packages().items():
        package = tmp_path.joinpath(*name.split("."))
        package.mkdir(parents=True)
        for path in folder.glob("*.py"):
            (package / path.name).symlink_to(path)
    return tmp_path


def run(copy: Path, *command: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tree.ROOT,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_op_is_one_file(copy: Path) -> None:
    (copy / "gradc" / "ir" / "ops" / "isru.py").write_text(FILES["ir/ops/isru.py"])
    code = "import gradc as gc; x = gc.tensor([1.0, 2.0], requires_grad=True); print(gc.isru(x), x.isru_)"
    assert "grad_fn=<IsruBackward0>" in run(copy, "-c", code)
    tables = [tree.ROOT / "tests" / f"test_{name}.py" for name in ("op_table", "op_kernels", "pipeline_ops")]
    out = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "isru", *tables)
    assert int(re.search(r"(\d+) passed", out)[1]) > 5  # type: ignore[index]


def test_a_pass_is_one_file_and_one_row(copy: Path) -> None:
    passes = copy / "gradc" / "passes"
    (passes / "log_of_exp.py").write_text(FILES["passes/log_of_exp.py"])
    table = (passes / "pipeline.py").read_text()
    (passes / "pipeline.py").unlink()
    row = FILES["passes/pipeline.py"].split("\n", 1)[1]
    start = "PIPELINE: tuple[Pass, ...] = (\n"
    assert start in table
    table = table.replace(start, start + row).replace(
        "from .memory", "from .log_of_exp import log_of_exp\nfrom .memory"
    )
    (passes / "pipeline.py").write_text(table)
    module = copy / "module.mlir"
    module.write_text(
        "grad.func @f(%x: tensor<4xf32>) -> (tensor<4xf32>) {\n  %0 = grad.exp %x : tensor<4xf32>\n"
        "  %1 = grad.log %0 : tensor<4xf32>\n  gradc.return %1 : tensor<4xf32>\n}\n"
    )
    out = run(copy, "-m", "gradc", "opt", "--pass-pipeline=log-of-exp,dce", module)
    assert "gradc.return %x" in out
    assert "grad.exp" not in out


def test_the_layout_table_lists_the_packages() -> None:
    rows = dict(re.findall(r"^\| `([\w/]+)/` \| `(gradc[\w.]*)` \|", TEXT, re.MULTILINE))
    assert {name: tree.ROOT / folder for folder, name in rows.items()} == tree.packages()


PAGES = [tree.ROOT / "README.md", *(p for d in ("docs", "examples") for p in sorted((tree.ROOT / d).glob("*.md")))]


@pytest.mark.parametrize("page", PAGES, ids=[p.relative_to(tree.ROOT).as_posix() for p in PAGES])
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in t]
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_every_page_is_listed() -> None:
    index = (tree.ROOT / "docs" / "index.md").read_text()
    pages = {p.name for p in (tree.ROOT / "docs").glob("*.md")} - {"index.md"}
    assert {name for name in pages if f"({name})" not in index} == set()
