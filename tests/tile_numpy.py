"""Formulas evaluated on NumPy arrays, one tile scalar op at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradc.ir.ops  # noqa: F401  (fills the registry)
from gradc.ir.build import Builder, Var
from gradc.ir.op import Op
from gradc.ir.types import dtype, tile


class TileNumpy(Builder):
    """Runs tile scalar ops at once; every op checks its operands' dtypes by its own type rule."""

    dialect = "tile"

    def type_of(self, v: Any) -> Any:
        return tile("x" if np.ndim(v) else "", dtype(v.dtype))

    def run(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        expected = op.infer(*[self.type_of(o) for o in operands], **attrs)
        with np.errstate(all="ignore"):
            out = np.asarray(op.numpy(*operands, **attrs))
        assert out.dtype == expected.dtype.numpy, f"{op.name} gave {out.dtype}, its type rule says {expected}"
        return out


def run_formula(formula: Any, *arrays: Any, **attrs: Any) -> Any:
    b = TileNumpy()
    out = formula(b, *[Var(b, np.asarray(a)) for a in arrays], **attrs)
    assert isinstance(out, Var), f"a formula must return a value, got {out!r}"
    return out.v
