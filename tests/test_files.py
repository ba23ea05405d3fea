"""The cases of tests/files (see filetest.py), and the runner itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from filetest import HALVES, SEPARATOR, Case, cases, check

from gradc.ir import Graph, Module, Node
from gradc.ir.op import REGISTRY
from gradc.passes import pipeline

ALL = list(cases())


@pytest.mark.parametrize("case", ALL, ids=[c.name for c in ALL])
def test_case(case: Case, request: pytest.FixtureRequest) -> None:
    check(case, request.config.getoption("--bless"))


def test_every_pass_has_cases() -> None:
    assert {c.path.parent.name for c in ALL} >= {p.name for p in pipeline.PIPELINE} | {"print", "verify"}


TEXT = """// run: {run}
grad.func @f(%x: tensor<4xf32>) -> (tensor<4xf32>) {{
  %0 = grad.add %x, %x : tensor<4xf32>
  gradc.return %0 : tensor<4xf32>
}}
"""


def file(tmp_path: Path, text: str) -> Path:
    (tmp_path / "some").mkdir()
    path = tmp_path / "some" / "case.ir"
    path.write_text(text)
    return path


def test_bless_writes_the_expected_half_of_each_case(tmp_path: Path) -> None:
    path = file(tmp_path, SEPARATOR.join([TEXT.format(run="cse"), TEXT.format(run="dce"), TEXT.format(run="verify")]))
    with pytest.raises(AssertionError, match="--bless writes what came out"):
        check(next(cases(tmp_path)), bless=False)
    for case in cases(tmp_path):
        check(case, bless=True)
    assert path.read_text().count(HALVES) == 2
    blessed = path.read_text()
    for case in cases(tmp_path):
        check(case, bless=False)
        check(case, bless=True)
    assert path.read_text() == blessed


def test_a_wrong_answer_cannot_be_blessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(module: Module, remarks: object) -> Module:
        old = module.main
        graph = Graph(old.name)
        for slot in ("types", "inputs", "outputs", "input_attrs", "output_attrs", "names"):
            setattr(graph, slot, getattr(old, slot))
        graph.nodes = [Node(REGISTRY["grad.mul"], n.operands, n.attrs, n.results) for n in old.nodes]
        return module.with_main(graph)

    monkeypatch.setattr(pipeline, "PIPELINE", (pipeline.Pass("cse", wrong, ("traced",)),))
    path = file(tmp_path, TEXT.format(run="cse"))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check(next(cases(tmp_path)), bless=True)
    assert HALVES not in path.read_text()


def test_an_expected_error_is_held_to_its_line(tmp_path: Path) -> None:
    text = TEXT.format(run="verify").replace("grad.add", "grad.ad").replace("}", "} // error: unknown op")
    file(tmp_path, text)
    with pytest.raises(AssertionError, match="the error is at line 0 \\+ 3"):
        check(next(cases(tmp_path)), bless=False)
