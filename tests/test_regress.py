"""Programs that once were compiled wrongly, reduced: every state and executor agrees with the reference in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_oracle import differ

from gradc.ir.graph import Module
from gradc.ir.parse_module import parse

FILES = sorted((Path(__file__).parent / "regress").glob("*.ir"))


def arrays_of(module: Module, rng: np.random.Generator) -> list[Any]:
    """Positive reals, masks, and small indices."""
    out = []
    for v in module.main.inputs:
        t: Any = module.main.types[v]
        a = rng.uniform(0.5, 1.5, t.shape) if t.dtype.is_float else rng.integers(0, 2, t.shape)
        out.append(np.asarray(a).astype(t.dtype.numpy))
    return out


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_program(path: Path) -> None:
    module = parse(path.read_text(encoding="utf-8"))
    differ(module, arrays_of(module, np.random.default_rng(1)), 1, ("tiled", "triton-interpreter"))
