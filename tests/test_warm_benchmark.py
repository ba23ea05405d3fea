"""`python -m benchmarks warm`: what it makes of the rows its processes print. `test_compile.py` counts what they do."""

from __future__ import annotations

import sys

import pytest
import tree

if not (tree.ROOT / "benchmarks" / "warm.py").is_file():
    pytest.skip("the benchmarks are not part of the wheel", allow_module_level=True)

sys.path.insert(0, str(tree.ROOT))
sys.modules.pop("benchmarks", None)
from benchmarks import warm, warm_child  # noqa: E402


def row(*times: float) -> dict[str, object]:
    facts = {"forward ops": 94, "kernels": 6, "spills": 0, "modules imported": 226, "triton imported": False}
    return {**dict(zip((*warm_child.STEPS, "fixed loop"), times, strict=True)), **facts}


def test_each_step_is_the_least_of_its_column_and_the_build_is_one_process() -> None:
    found = warm.least([row(9, 1, 20, 3, 4, 50), row(8, 2, 10, 30, 5, 40)])
    assert [found[step] for step in (*warm_child.STEPS, "fixed loop")] == [8, 1, 10, 3, 4, 40]
    assert found["build"] == 1 + 20 + 3 + 4
    text = warm.table(found)
    assert text.startswith("94 forward ops, 6 kernels, 226 modules of gradc, triton not imported\n")
    assert "  build              28.0 ms\n" in text


def test_the_program_it_times_is_of_the_size_it_says() -> None:
    import gradc as gc

    wide, line = gc.spec("f32[8,4]", requires_grad=True), gc.spec("f32[4]", requires_grad=True)
    program = gc.build(warm_child.loss, wide, line, gc.spec("f32[8,4]"), name="loss")
    ops = len(program.stages.modules["traced"].main.nodes)
    assert f"{ops} forward ops" in str(warm_child.loss.__doc__)
    assert ops <= 100
    assert len(program.kernels) <= 20
