"""The cuda executor from a program to its launches: on the fake driver, whose kernels run under Triton's interpreter on
the memory that the launches point to, and on a real device where there is one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeCuda, at

import gradc as gc
from gradc.runtime import cuda
from gradc.runtime.worker import shared_worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="triton exists for Linux only")


def mean(x: Any, y: Any) -> Any:
    return ((x * 2).sin() * y + y.exp()).tanh().mean()


def norm(x: Any, w: Any) -> Any:
    y = gc.nn.functional.layer_norm(x, (x.shape[-1],), w)
    return (y * y * y).sum()


def logistic(x: Any, w: Any) -> Any:
    return gc.nn.functional.binary_cross_entropy_with_logits(x @ w, (w * 0 + 1).sum() * (x[:, 0] > 0))


CASES: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "mean": (mean, ((1000,), (1000,))),
    "norm": (norm, ((37, 50), (50,))),
    "logistic": (logistic, ((129, 30), (30,))),
}


def interpreted(fake: FakeCuda, kernel: Any) -> Callable[..., None]:
    """The kernel as a function of device addresses: each points into an allocation of the fake."""

    def run(*arguments: Any) -> None:
        *addresses, grid = arguments
        arrays = []
        for address in addresses:
            start = max(a for a in fake.memory if a <= address)
            arrays.append(at(address, (start + len(fake.memory[start]) - address) // 4))
        shared_worker().launch(kernel.text, grid, *arrays)

    return run


@pytest.mark.parametrize("name", CASES)
def test_programs_launch_with_the_right_buffers(
    name: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    function, shapes = CASES[name]
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    fake = FakeCuda()
    device = fake.device()
    monkeypatch.setattr(cuda, "device", lambda: device)
    specs = [gc.spec(shape, "float32", requires_grad=True) for shape in shapes]
    prog = gc.build(function, *specs, target="cuda:90", name=name)
    for kernel in prog.kernels:
        fake.kernels[kernel.name] = (kernel.binary("cuda:90").parameters, interpreted(fake, kernel))
    for _ in range(3):
        arrays = [array + np.float32(0.125) for array in arrays]
        value, grads = prog(*arrays, executor="cuda")
        wanted, wanted_grads = prog(*arrays, executor="reference")
        np.testing.assert_allclose(value, wanted, rtol=1e-4)
        for grad, wanted_grad in zip(grads, wanted_grads, strict=True):
            np.testing.assert_allclose(grad, wanted_grad, rtol=1e-3, atol=1e-4 * np.abs(wanted_grad).max())
    assert fake.count("cuGraphLaunch") >= 1
    assert fake.context == []


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_programs_run_on_the_device(name: str, rng: np.random.Generator) -> None:
    function, shapes = CASES[name]
    specs = [gc.spec(shape, "float32", requires_grad=True) for shape in shapes]
    prog = gc.build(function, *specs, target=cuda.device().target.name, name=name)
    for _ in range(3):
        arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        value, grads = prog(*arrays, executor="cuda")
        wanted, wanted_grads = prog(*arrays, executor="reference")
        np.testing.assert_allclose(value, wanted, rtol=1e-4)
        for grad, wanted_grad in zip(grads, wanted_grads, strict=True):
            np.testing.assert_allclose(grad, wanted_grad, rtol=1e-3, atol=1e-4 * np.abs(wanted_grad).max())
