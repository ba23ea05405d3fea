"""Every pass alone keeps a program's meaning, on random programs and at every state it may start from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fuzz_graphs import grow
from fuzz_oracle import Untame, bound, cotangents, joint_of

from gradc.ir import parse
from gradc.ir.errors import NotDifferentiableError
from gradc.ir.interpret import run_module
from gradc.ir.laws import verify
from gradc.passes.pipeline import PIPELINE, Pass, run_pipeline

SEEDS = range(40, 52)
PREFIX = {
    "joint": "inline,adjoint",
    "decomposed": "inline,adjoint,decompose",
    "simplified": "inline,adjoint,decompose,simplify",
    "scheduled": "inline,adjoint,decompose,simplify,fuse",
}
"""The shortest way to each state: later passes must not rely on cse and dce having run."""
ROWS = [(row, state) for row in PIPELINE for state in row.needs if state in PREFIX]


@pytest.mark.parametrize(("row", "state"), ROWS, ids=[f"{r.name}-{s}" for r, s in ROWS])
def test_pass_alone(row: Pass, state: str) -> None:
    compared = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        p = grow(rng, 14)
        try:
            joint = joint_of(p.module)
            inputs = [*p.arrays, *cotangents(joint, len(p.arrays), rng)]
            limits = bound(joint, inputs, rng)
        except (Untame, NotDifferentiableError):
            continue
        before = run_pipeline(p.module, PREFIX[state]).module
        after = row.run(before, [])
        limits.check(f"{row.name} from {state}, seed {seed}", run_module(after, inputs))
        compared += 1
    assert compared > len(SEEDS) // 2


@pytest.mark.parametrize("seed", SEEDS)
def test_passes_that_find_nothing_more_change_nothing(seed: int) -> None:
    p = grow(np.random.default_rng(seed), 14)
    try:
        once = run_pipeline(p.module, "inline,adjoint,decompose,simplify,cse,dce").module
    except NotDifferentiableError as e:
        pytest.skip(str(e))
    for name in ("cse", "dce"):
        again: Any = run_pipeline(once, name).module
        assert again.to_text() == once.to_text()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pass_leaves_its_input_alone_and_goes_by_what_the_text_says(seed: int) -> None:
    """Passes share nodes with the module they start from, and number values as they like: neither may show."""
    module = grow(np.random.default_rng(seed), 14).module
    for row in PIPELINE:
        text = module.to_text()
        try:
            after = row.run(module, [])
        except NotDifferentiableError as e:
            pytest.skip(str(e))
        assert module.to_text() == text, row.name
        verify(after)
        assert row.run(parse(text), []).to_text() == after.to_text(), row.name
        module = after
