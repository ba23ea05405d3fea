"""Random programs through the whole compiler; see fuzz_graphs.py (what is grown) and fuzz_oracle.py (what holds)."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from fuzz_graphs import grow
from fuzz_oracle import (
    NotDifferentiableError,
    Untame,
    WrongError,
    cotangents,
    count_bytes,
    differ,
    joint_of,
    second_order,
)
from fuzz_reduce import reduce_program, same_failure

from gradc.ir.graph import Module

SEED = int(os.environ.get("GRADC_SEED", "20260101"))
SECONDS = float(os.environ.get("GRADC_FUZZ_SECONDS", "8"))
"""Time per batch."""
LEAST = 4


def executors(k: int) -> tuple[str, ...]:
    return ("tiled", "triton-interpreter") if k % 5 == 0 else ("tiled",)


def run(seed: int, k: int) -> str:
    """One program: "ok", or why nothing could be said of it. A wrong one raises; its seed is in the message."""
    rng = np.random.default_rng(seed)
    p = grow(rng)
    module, arrays = p.module, p.arrays
    try:
        if k % 5 == 3:
            joint = joint_of(module)
            twice = second_order(joint, rng)
            if twice is not None and len(twice.main.nodes) < 300:
                module, arrays = twice, [*arrays, *cotangents(joint, len(arrays), rng)]
        differ(module, arrays, seed, executors(k), texts=k % 4 == 0)
    except Untame:
        return "untame"
    except NotDifferentiableError:
        return "no derivative"
    except WrongError as e:
        fails = same_failure(e.stage, seed, executors(k))
        small, _ = reduce_program(module, arrays, fails, budget=80)
        raise AssertionError(f"seed {seed}: {e}\n{small.to_text(locations=False)}") from e
    return "ok"


@pytest.mark.parametrize("batch", range(5))
def test_random_programs(batch: int) -> None:
    stop = time.monotonic() + SECONDS
    outcomes = []
    k = 0
    while time.monotonic() < stop or k < LEAST:
        outcomes.append(run(SEED * 100 + batch * 20 + 1000 * k, k))
        k += 1
    print(f"batch {batch}: {len(outcomes)} programs, {outcomes.count('ok')} compared")
    assert outcomes.count("ok") >= len(outcomes) // 2


def test_traffic_counts_what_the_kernels_touch() -> None:
    """`traffic` is what `tiled` counts, but for accesses that overlap or that data decides, where it may say more."""
    differing = total = 0
    for k in range(12):
        rng = np.random.default_rng(SEED + k)
        p = grow(rng, 10)
        try:
            result = differ(p.module, p.arrays, SEED + k, (), texts=False)
        except (Untame, NotDifferentiableError):
            continue
        inputs = [*p.arrays, *cotangents(result.stages["joint"], len(p.arrays), rng)]
        off = count_bytes(result.module, inputs)
        total += sum(g.kind == "kernel" for g in result.module.graphs.values())
        differing += len(off)
        for name, counted, said in off:
            assert counted <= said, f"seed {SEED + k}: {name} touched {counted} bytes, traffic says {said}"
    assert differing <= total // 4


def test_a_failing_program_is_reduced() -> None:
    """What fails whenever a tanh is left comes down to that node."""
    p = next(q for q in (grow(np.random.default_rng(s), 20) for s in range(200)) if has_tanh(q.module))
    small, arrays = reduce_program(p.module, p.arrays, lambda m, a: has_tanh(m), budget=400)
    assert [n.op.name for n in small.main.nodes] == ["grad.tanh"]
    assert len(arrays) == 1


def has_tanh(module: Module) -> bool:
    return any(n.op.name == "grad.tanh" for n in module.main.nodes)
