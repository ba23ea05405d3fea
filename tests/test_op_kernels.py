"""Every elementwise record through the whole compiler: its value and gradients by the emitted kernels, on NumPy tiles
and as Triton text under the interpreter, against the reference."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import BASE_SEED

import gradc
from gradc.ir.op import ELEMENTWISE, REGISTRY, Op
from gradc.ir.types import dtype, tensor
from gradc.methods import FUNCTIONS

pytest.importorskip("triton", reason="the emitted text runs under Triton's interpreter")

SPELLED = [
    op
    for name, op in sorted(REGISTRY.items())
    if name.startswith("grad.")
    and op.kind == ELEMENTWISE
    and op.sample is not None
    and "detach" not in op.traits
    and any(t.names for t in op.torch)
]
INTERNAL = ("scale", "input_scale")
"""Attributes that are no parameters of the first spelling: elu's, which selu sets."""


def first_entry(op: Op) -> tuple[list[Any], dict[str, Any]]:
    assert op.sample is not None
    xs, attrs, *_ = op.sample(np.random.default_rng(zlib.crc32(op.name.encode()) ^ BASE_SEED))[0]
    return [np.asarray(x) for x in xs], attrs


def arrays(result: Any, gradients: bool) -> list[Any]:
    if not gradients:
        return [np.asarray(result[0] if isinstance(result, tuple) else result)]
    value, grads = result
    many = grads if isinstance(grads, (tuple, list)) else [grads]
    return [np.asarray(value), *(np.asarray(g) for g in many if g is not None)]


def build(op: Op, xs: list[Any], attrs: dict[str, Any]) -> tuple[Any, bool, list[Any]]:
    """The program of the op's value, or of its weighted sum and gradients; whether it has gradients; its inputs."""
    name = next(n for t in op.torch for n in t.names)
    # torch's polygamma takes the order before the tensor; the method takes it after.
    function = FUNCTIONS[name] if name != "polygamma" else lambda x, n: x.polygamma(n)
    given = {k: v for k, v in attrs.items() if k not in INTERNAL}
    result = op.infer(*[tensor(x.shape, dtype(x.dtype)) for x in xs], **attrs)
    active = [x.dtype.kind == "f" and op.operand_name(i) in op.adjoint for i, x in enumerate(xs)]
    gradients = result.dtype.is_float and any(active) and op.grad_fn != "NotImplemented"
    if not gradients:
        specs = [gradc.spec(x.shape, str(x.dtype)) for x in xs]
        return gradc.build(lambda *ts: function(*ts, **given), *specs, name=op.short), False, xs
    weight = np.random.default_rng(5).standard_normal(result.shape).astype(np.float32)
    specs = [gradc.spec(x.shape, str(x.dtype), requires_grad=a) for x, a in zip(xs, active, strict=True)]
    specs.append(gradc.spec(weight.shape, "float32"))
    return build_weighted(function, given, specs, op.short), True, [*xs, weight]


def build_weighted(function: Callable[..., Any], given: dict[str, Any], specs: list[Any], name: str) -> Any:
    return gradc.build(lambda *ts: (function(*ts[:-1], **given) * ts[-1]).sum(), *specs, name=name)


@pytest.mark.parametrize("op", SPELLED, ids=lambda op: op.short)
def test_kernels_agree_with_the_reference(op: Op) -> None:
    xs, attrs = first_entry(op)
    program, gradients, inputs = build(op, xs, attrs)
    want = arrays(program(*inputs, executor="reference"), gradients)
    for executor in ("tiled", "triton-interpreter"):
        got = arrays(program(*inputs, executor=executor), gradients)
        for g, w in zip(got, want, strict=True):
            assert g.shape == w.shape
            assert g.dtype == w.dtype
            np.testing.assert_allclose(
                g.astype(np.float64), w.astype(np.float64), rtol=2e-5, atol=2e-6, err_msg=executor
            )
