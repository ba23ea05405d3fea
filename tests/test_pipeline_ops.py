"""Every op of the table, alone, through the whole pipeline: value and gradients of the planned kernels, run by the
NumPy meaning of the tile level, by the tiled executor and by Triton's interpreter on the emitted text, against the
reference meaning of the joint graph in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from op_modules import single_op_module

from gradc.ir.errors import NotDifferentiableError
from gradc.ir.interpret import run_module
from gradc.ir.ops import REGISTRY
from gradc.ir.types import TensorType
from gradc.passes.pipeline import run_pipeline
from gradc.runtime.executors import EXECUTORS

SEED = 20260


def cases() -> list[Any]:
    out = []
    for name, op in sorted(REGISTRY.items()):
        if op.sample is None or not name.startswith("grad."):
            continue
        for i, entry in enumerate(op.sample(np.random.default_rng(SEED))):
            out.append(pytest.param(name, i, id=f"{op.short}-{i}"))
            del entry
    return out


@pytest.mark.parametrize("executor", ["reference", "tiled", "triton-interpreter"])
@pytest.mark.parametrize(("name", "index"), cases())
def test_op_through_the_pipeline(name: str, index: int, executor: str) -> None:
    rng = np.random.default_rng(SEED + index)
    entry = REGISTRY[name].sample(np.random.default_rng(SEED))[index]  # type: ignore[misc]
    arrays, attrs = [np.asarray(a) for a in entry[0]], entry[1]
    module = single_op_module(name, arrays, attrs, gradients=bool(REGISTRY[name].adjoint))
    try:
        result = run_pipeline(module)
    except NotDifferentiableError as error:
        if "not implemented" not in str(error):
            raise
        result = run_pipeline(single_op_module(name, arrays, attrs, gradients=False))
    joint = result.stages["joint"]
    inputs = list(arrays)
    for v in joint.main.inputs[len(arrays) :]:
        t = joint.main.types[v]
        assert isinstance(t, TensorType)
        inputs.append(rng.standard_normal(t.shape).astype(t.dtype.numpy))
    expected = run_module(joint, inputs)
    wide = run_module(joint, inputs, wide=True)
    actual = EXECUTORS[executor](result.module)(inputs)
    roles = [a["role"] for a in result.module.main.output_attrs]
    for role, attrs_, flag in zip(roles, result.module.main.output_attrs, actual, strict=True):
        if role == "check":
            assert not flag, attrs_["message"]
    for k, (e, w, got) in enumerate(zip(expected, wide, actual, strict=False)):
        assert got.shape == e.shape
        assert got.dtype == e.dtype
        if e.dtype.kind in "biu":
            np.testing.assert_array_equal(got, e)
            continue
        tolerance = {2: 2e-2, 4: 2e-5, 8: 1e-11}[e.dtype.itemsize]
        near = e.astype(np.float64)
        w = np.where(np.abs(w) < 1e30, w, near)
        with np.errstate(invalid="ignore"):
            plain = np.where((near == w) | np.isnan(w), 0.0, np.abs(near - w))
        scale = float(np.max(np.abs(w), initial=0.0, where=np.abs(w) < 1e30)) + 1e-30
        slack = 8 * float(np.max(plain, initial=0.0)) + tolerance * scale
        np.testing.assert_allclose(
            got.astype(np.float64), w, rtol=0, atol=slack, equal_nan=True, err_msg=f"output {k} ({roles[k]})"
        )
