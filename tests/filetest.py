"""Tests of passes as text: cases in tests/files/<subject>/*.ir, run by test_files.py.

A file holds cases separated by `// =====` lines. A case is

    // a title, as many lines as it takes
    // run: cse,dce                       a pipeline; `print`, `print-generic` and `verify` stand for none
    <input>
    // ----
    <expected>                            rewritten by `pytest --bless`

or, if its input must be refused, has `// error: <part of the message>` at the end of the offending line instead of an
expected half. A pass must keep meaning: every case is also executed before and after, on seeded ordinary inputs and on
special values, so that a wrong answer cannot be blessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradc.ir import GradcError, Module, TensorType, parse
from gradc.ir.interpret import run_module
from gradc.passes.pipeline import run_pipeline

FILES = Path(__file__).parent / "files"
SEPARATOR, HALVES = "// =====\n", "// ----\n"
SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan)
NO_PASSES = ("print", "print-generic", "verify")


@dataclass(frozen=True)
class Case:
    path: Path
    index: int
    line: int
    """Of the file, where the case starts."""
    source: str
    expected: str | None

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}-{self.index}"

    @property
    def run(self) -> str:
        found = re.search(r"^// run: *(.*?) *$", self.source, re.MULTILINE)
        if found is None:
            pytest.fail(f"{self.path}:{self.line}: a case says what it runs: // run: <pipeline>")
        return found[1]

    @property
    def error(self) -> tuple[int, str] | None:
        """Line within the case and message of the error that it expects."""
        for i, line in enumerate(self.source.splitlines(), 1):
            if "// error:" in line:
                return i, line.split("// error:")[1].strip()
        return None


def cases(root: Path = FILES) -> Iterator[Case]:
    for path in sorted(root.glob("*/*.ir")):
        line = 1
        for k, text in enumerate(path.read_text().split(SEPARATOR)):
            source, halves, expected = text.partition(HALVES)
            yield Case(path, k, line, source, expected if halves else None)
            line += text.count("\n") + 1


def check(case: Case, bless: bool) -> None:
    """Run one case; with `bless`, write what came out into its file."""
    if case.error is not None:
        refused(case, *case.error)
        return
    before, after = parse(case.source), transformed(case)
    assert parse(str(after)).to_text() == str(after)
    same_meaning(before, after, np.random.default_rng(0))
    got = "" if case.run == "verify" else after.to_text(generic=case.run == "print-generic")
    if bless and got != (case.expected or ""):
        write(case, got)
        return
    assert got == (case.expected or ""), f"{case.path}:{case.line} (pytest --bless writes what came out)"


def transformed(case: Case) -> Module:
    module = parse(case.source)
    return module if case.run in NO_PASSES else run_pipeline(module, case.run, verify=True).module


def refused(case: Case, line: int, message: str) -> None:
    with pytest.raises(GradcError) as e:
        transformed(case)
    where = f"{case.path}:{case.line + line - 1}"
    assert message in str(e.value), where
    assert getattr(e.value, "line", line) == line, f"{where}: the error is at line {case.line - 1} + {e.value.line}"


def write(case: Case, got: str) -> None:
    texts = case.path.read_text().split(SEPARATOR)
    texts[case.index] = case.source + (HALVES + got if got else "")
    case.path.write_text(SEPARATOR.join(texts))


def same_meaning(before: Module, after: Module, rng: np.random.Generator) -> None:
    """Every output of `before` comes first among those of `after`, with the same values (an adjoint adds its own)."""
    types = [before.main.types[v] for v in before.main.inputs]
    if not all(isinstance(t, TensorType) for t in types):
        return
    n = len(before.main.outputs)
    for draw in (ordinary, special):
        inputs = [draw(rng, t) for t in types]
        want = run_module(before, inputs)
        have = run_module(after, inputs)[:n]
        for w, h in zip(want, have, strict=True):
            assert (w.shape, w.dtype) == (h.shape, h.dtype)
            np.testing.assert_allclose(h, w, rtol=1e-5, atol=1e-6, equal_nan=True, err_msg=f"inputs {inputs}")


def ordinary(rng: np.random.Generator, t: Any) -> Any:
    if t.dtype.is_float:
        return rng.uniform(0.5, 1.5, t.shape).astype(t.dtype.numpy)
    return rng.integers(0, 2, t.shape).astype(t.dtype.numpy)


def special(rng: np.random.Generator, t: Any) -> Any:
    return rng.choice(SPECIAL, t.shape).astype(t.dtype.numpy) if t.dtype.is_float else ordinary(rng, t)
