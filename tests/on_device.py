"""What must hold on a machine with a CUDA device, as plain functions that raise AssertionError: pytest runs them as
tests/test_cuda_device.py, and `python -m benchmarks gpu` without pytest."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from op_modules import single_op_module
from triton_texts import row_sum, scale

import gradc as gc
from gradc.ir.errors import NotDifferentiableError
from gradc.ir.ops import REGISTRY
from gradc.passes.pipeline import run_pipeline
from gradc.runtime import cuda
from gradc.runtime.compile import compile_kernels
from gradc.runtime.cuda import Stream
from gradc.runtime.cuda_launch import CudaProgram, device_address, run_on_arrays
from gradc.runtime.executors import EXECUTORS
from gradc.runtime.launch import Launch, Pointer

F = gc.nn.functional


def mean(x: Any, y: Any) -> Any:
    return ((x * 2).sin() * y + y.exp()).tanh().mean()


def norm(x: Any, w: Any) -> Any:
    y = F.layer_norm(x, (x.shape[-1],), w)
    return (y * y * y).sum()


def logistic(x: Any, w: Any) -> Any:
    return F.binary_cross_entropy_with_logits(x @ w, (w * 0 + 1).sum() * (x[:, 0] > 0))


def attention(q: Any, k: Any, v: Any) -> Any:
    return (F.softmax(q @ k.transpose(-1, -2) * 0.125, -1) @ v).square().mean()


def rows(x: Any, bias: Any) -> Any:
    return (F.softmax(x + bias, 1) * F.gelu(x)).logsumexp(0).sum()


def permuted(x: Any, y: Any) -> Any:
    return (x.permute(2, 0, 1).reshape(-1, x.shape[1]) * y).cumsum(0).mean()


def picked(table: Any, w: Any) -> Any:
    ids = gc.arange(0, 300) % table.shape[0]
    return (F.embedding(ids, table) * w).square().sum()


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "mean": (mean, ((1000,), (1000,))),
    "mean of many": (mean, ((1_000_001,), (1_000_001,))),
    "norm": (norm, ((37, 50), (50,))),
    "norm of long rows": (norm, ((64, 40_000), (40_000,))),
    "logistic": (logistic, ((129, 30), (30,))),
    "product": (lambda x, y: (x @ y).tanh().mean(), ((513, 257), (257, 129))),
    "attention": (attention, ((4, 100, 64), (4, 100, 64), (4, 100, 64))),
    "rows and columns": (rows, ((515, 1025), (1025,))),
    "permuted": (permuted, ((7, 30, 11), (77, 30))),
    "picked": (picked, ((17, 33), (300, 33))),
}
"""Name -> a function of float32 arguments and their shapes."""


def check_program(
    function: Callable[..., Any],
    shapes: tuple[tuple[int, ...], ...],
    dtype: str = "float32",
    executor: str = "cuda",
) -> None:
    """Value and gradients as the reference computes them, and the same bits in every run on the same arrays: the
    first launches, the second is recorded, those after it are replayed."""
    rng = np.random.default_rng(7)
    specs = [gc.spec(shape, dtype, requires_grad=True) for shape in shapes]
    target = cuda.device().target.name if executor == "cuda" else "cpu"
    prog = gc.build(function, *specs, target=target, name="checked")
    arrays = [rng.standard_normal(shape).astype(specs[0].type.dtype.numpy) for shape in shapes]
    for _ in range(2):
        arrays = [array + array.dtype.type(0.125) for array in arrays]
        results = []
        for _ in range(3):
            value, grads = prog(*arrays, executor=executor)
            results.append([np.asarray(r) for r in (value, *grads)])
        for again in results[1:]:
            for one, other in zip(results[0], again, strict=True):
                assert one.tobytes() == other.tobytes(), "two runs on the same arrays differ"
        value, grads = prog(*arrays, executor="reference")
        for got, wanted in zip(results[0], (value, *grads), strict=True):
            close(got, wanted, 2e-2 if got.dtype.itemsize == 2 else 1e-3)


def close(got: Any, wanted: Any, limit: float) -> None:
    """The norm of the difference against that of what is wanted."""
    a, b = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    assert a.shape == b.shape, f"{a.shape} is not {b.shape}"
    both = np.isnan(a) & np.isnan(b) | (a == b)
    error, whole = np.linalg.norm((a - b)[~both]), np.linalg.norm(b[np.isfinite(b)])
    assert error <= limit * max(whole, 1e-6), f"off by {error:.3g} of {whole:.3g}"


def check_launches_and_replays() -> None:
    dev = cuda.device()
    kernels = [scale(1024), row_sum(1000, 1024)]
    x = np.random.default_rng(3).standard_normal((64, 1000)).astype(np.float32)
    doubled, total = np.full_like(x, np.nan), np.full(64, np.nan, np.float32)
    launches = [
        Launch(kernels[0], (-(-x.size // 1024),), [Pointer(0), Pointer(1), x.size, 2.0]),
        Launch(kernels[1], (64,), [Pointer(1), Pointer(2)]),
    ]
    run = CudaProgram(dev, launches, compile_kernels(kernels, dev.target))
    run_on_arrays(run, [x, doubled, total])
    np.testing.assert_array_equal(doubled, x * 2)
    np.testing.assert_allclose(total, doubled.sum(1), rtol=1e-4, atol=1e-4)
    stream = dev.stream()
    memory = [dev.allocate(array.nbytes) for array in (x, doubled, total)]
    memory[0].upload(x, stream)
    first = None
    for _ in range(4):
        memory[2].fill(0xFF, stream)
        run.run([place.address for place in memory], stream)
        memory[2].download(total, stream)
        stream.synchronize()
        first = total.copy() if first is None else first
        np.testing.assert_array_equal(total, first)


def check_torch_tensors() -> str | None:
    """torch's memory and stream are used as they are; the reason where there is no such torch."""
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    if not torch.cuda.is_available():
        return "torch has no CUDA support here"
    dev = cuda.device()
    x = torch.arange(1000, dtype=torch.float32, device="cuda")
    y = torch.empty_like(x)
    launch = Launch(scale(256, aligned=False), (4,), [Pointer(0), Pointer(1), 1000, 3.0])
    run = CudaProgram(dev, [launch], compile_kernels([launch.kernel], dev.target))
    stream = Stream(dev, torch.cuda.current_stream().cuda_stream)
    for _ in range(3):
        y.zero_()
        run.run([device_address(x), device_address(y)], stream)
        assert torch.equal(y, x * 3)
    return None


def _of(name: str, dtype: str = "float32") -> Callable[[], None]:
    return lambda: check_program(*PROGRAMS[name], dtype)


CHECKS: dict[str, Callable[[], str | None]] = {
    "launches and replays": check_launches_and_replays,
    "torch tensors": check_torch_tensors,
    **{name: _of(name) for name in PROGRAMS},
    "norm in bfloat16": _of("norm", "bfloat16"),
    "product in bfloat16": _of("product", "bfloat16"),
    "rows and columns in float16": _of("rows and columns", "float16"),
    "mean in float64": _of("mean", "float64"),
}
"""Name -> a check, which gives back why it could not be made, or None."""


def op_checks() -> Iterator[tuple[str, Callable[[], None]]]:
    """For every op of the table: the kernels of its value and, where it has them, of its gradients, on the device and
    by the reference, on the op's own first sample."""
    for name, op in sorted(REGISTRY.items()):
        if name.startswith("grad.") and op.sample is not None:
            yield op.short, partial(_check_op, name)


def _check_op(name: str) -> None:
    op = REGISTRY[name]
    assert op.sample is not None
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    xs, attrs, *_ = op.sample(rng)[0]
    arrays = [np.asarray(x) for x in xs]
    try:
        result = run_pipeline(single_op_module(name, arrays, attrs, gradients=bool(op.adjoint)))
    except NotDifferentiableError:
        result = run_pipeline(single_op_module(name, arrays, attrs, gradients=False))
    joint = result.stages["joint"]
    for v in joint.main.inputs[len(arrays) :]:
        t: Any = joint.main.types[v]
        arrays.append(rng.standard_normal(t.shape).astype(t.dtype.numpy))
    got, wanted = EXECUTORS["cuda"](result.module)(arrays), EXECUTORS["reference"](joint)(arrays)
    for attrs_, one, other in zip(result.module.main.output_attrs, got, [*wanted, *got[len(wanted) :]], strict=True):
        if attrs_.get("role") != "check":
            close(one, other, 1e-4)
