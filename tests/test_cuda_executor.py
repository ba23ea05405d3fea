"""The cuda executor from a program to its launches: on the fake driver, whose kernels run under Triton's interpreter on
the memory that the launches point to. The checks are those that a machine with a GPU runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import ml_dtypes
import numpy as np
import on_device
import pytest
from fake_cuda import FakeCuda, at
from on_device import CHECKS, PROGRAMS, check_program, op_checks

from gradc.runtime import compile as compile_module
from gradc.runtime import cuda
from gradc.runtime.binary import Binary
from gradc.runtime.compile import compile_kernels
from gradc.runtime.launch import KernelText
from gradc.runtime.worker import shared_worker

TYPES = {
    **{"i1": np.bool_, "fp16": np.float16, "fp32": np.float32, "fp64": np.float64, "bf16": ml_dtypes.bfloat16},
    **{f"i{n}": f"i{n // 8}" for n in (8, 16, 32, 64)},
    **{f"u{n}": f"u{n // 8}" for n in (8, 16, 32, 64)},
}
"""Triton's spelling of a type -> NumPy's."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="triton exists for Linux only")


def interpreted(fake: FakeCuda, kernel: KernelText) -> Callable[..., None]:
    """The kernel as a function of device addresses: each points into an allocation of the fake."""

    def run(*arguments: Any) -> None:
        *given, grid = arguments
        values: list[Any] = []
        for kind, value in zip(kernel.parameters, given, strict=True):
            if kind.startswith("*"):
                start = max(a for a in fake.memory if a <= value)
                dtype = np.dtype(TYPES[kind[1:]])
                value = at(value, (start + len(fake.memory[start]) - value) // dtype.itemsize, dtype)
            values.append(value)
        shared_worker().launch(kernel, grid, *values)

    return run


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A device that interprets what was compiled for it."""
    made = FakeCuda()
    device = made.device()
    monkeypatch.setattr(cuda, "device", lambda: device)

    def compiled(kernels: Iterable[KernelText], *args: Any, **more: Any) -> list[Binary]:
        kernels = list(kernels)
        binaries = compile_kernels(kernels, *args, **more)
        for kernel, binary in zip(kernels, binaries, strict=True):
            made.kernels[kernel.name] = (binary.parameters, interpreted(made, kernel))
        return binaries

    monkeypatch.setattr(compile_module, "compile_kernels", compiled)
    monkeypatch.setattr(on_device, "compile_kernels", compiled)
    return made


@pytest.mark.parametrize("name", ["mean", "norm", "logistic", "launches and replays"])
def test_the_checks_for_a_gpu_pass_on_the_fake(name: str, fake: FakeCuda) -> None:
    assert CHECKS[name]() is None
    assert fake.count("cuGraphLaunch") >= 1
    assert fake.context == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_programs_for_a_gpu_on_tiles(name: str) -> None:
    check_program(*PROGRAMS[name], executor="tiled")


def test_the_checks_notice_a_wrong_result(fake: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    replay = FakeCuda.do_cuGraphLaunch

    def spoilt(self: FakeCuda, graph: Any, stream: Any) -> None:
        replay(self, graph, stream)
        for block in self.memory.values():
            block[0] = bytes([block.raw[0] ^ 1])

    monkeypatch.setattr(FakeCuda, "do_cuGraphLaunch", spoilt)
    with pytest.raises(AssertionError, match="two runs on the same arrays differ"):
        CHECKS["mean"]()


def test_the_check_of_an_op_passes_on_the_fake(fake: FakeCuda) -> None:
    checks = dict(op_checks())
    assert len(checks) > 150
    checks["tanh"]()
    assert fake.count("cuLaunchKernel") >= 1
