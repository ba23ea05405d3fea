"""One section of `python -m benchmarks gpu`, in a process of its own: it appends a line of JSON per row to the file
GRADC_ROWS, as soon as it has it, and starts nothing new after GRADC_SECONDS."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from . import checkout

checkout.use()

import numpy as np  # noqa: E402

Row: TypeAlias = dict[str, Any]
COPY_BYTES = 1 << 30
WARM, TIMED = 5, 30
LIMITS = {"f32": 2e-3, "bf16": 2e-2}
"""The norm of the difference to torch's result over its norm, at most."""


def emit(row: Row) -> None:
    with Path(os.environ["GRADC_ROWS"]).open("a") as file:
        file.write(json.dumps(row) + "\n")


def left(start: float) -> float:
    return float(os.environ["GRADC_SECONDS"]) - (time.monotonic() - start)


def checked(checks: Iterable[tuple[str, Callable[[], str | None]]], start: float) -> None:
    """One row per check: its name, and the error or why it was skipped."""
    for name, check in checks:
        if left(start) < 2:
            emit({"name": name, "skipped": "no time was left"})
            continue
        begun, row = time.monotonic(), {"name": name}
        try:
            reason = check()
            if reason is not None:
                row["skipped"] = reason
        except Exception as error:  # noqa: BLE001
            row["error"] = f"{type(error).__name__}: {error}"
        emit({**row, "seconds": time.monotonic() - begun})


def median_us(call: Callable[[], Any], mark: Callable[[], Any], between: Callable[[Any, Any], float]) -> float:
    """The median over TIMED spans of the time of one call. `mark` records an event, `between` waits for the second of
    two and gives milliseconds. A span holds so many calls that it takes a millisecond, else the time that Python needs
    between two of them would be counted where the device is done sooner."""

    def span(calls: int) -> tuple[Any, Any]:
        start = mark()
        for _ in range(calls):
            call()
        return start, mark()

    warm = between(*span(WARM)) and between(*span(WARM))
    calls = max(1, min(WARM * 10, int(WARM / max(warm, 1e-3))))
    spans = [span(calls) for _ in range(TIMED)]
    return float(np.median([between(*each) for each in spans])) / calls * 1e3


def own_us(call: Callable[[], Any], dev: Any, stream: Any) -> float:
    """On a stream of gradc's."""

    def mark() -> Any:
        event = dev.event()
        event.record(stream)
        return event

    return median_us(call, mark, lambda start, end: end.milliseconds_since(start))


def copy() -> None:
    """Bytes read and written per second by the device's own copy."""
    from ctypes import c_size_t, c_uint64

    from gradc.runtime.cuda import device

    dev = device()
    one, other, stream = dev.allocate(COPY_BYTES), dev.allocate(COPY_BYTES), dev.stream()
    one.fill(1, stream)
    to, source, size = c_uint64(other.address), c_uint64(one.address), c_size_t(COPY_BYTES)
    us = own_us(lambda: dev.call("cuMemcpyDtoDAsync_v2", to, source, size, stream.handle), dev, stream)
    emit({"copy": "device to device", "bytes": 2 * COPY_BYTES, "us": us, "gb_per_s": 2 * COPY_BYTES / us / 1e3})


def inputs(case: Any) -> list[Any]:
    """Random arrays for a case, positive where a logarithm may be taken of them; labels are its small integers."""
    import gradc as gc

    rng = np.random.default_rng(11)
    shapes = [*case.args, *([case.args[0]] if case.vjp else [])]
    out = []
    for shape, dtype in shapes:
        if dtype == "i64":
            out.append(rng.integers(0, 10, shape))
        else:
            numbers = rng.random(shape, np.float32) + np.float32(0.1)
            out.append(numbers.astype(gc.spec((), {"f32": "float32", "bf16": "bfloat16"}[dtype]).type.dtype.numpy))
    return out


def timed_gradc(case: Any, arrays: list[Any], row: Row) -> list[Any]:
    """Its results; times replays over memory that is on the device already."""
    from gradc.runtime.cuda import device
    from gradc.runtime.executors import OnDevice

    dev = device()
    begun = time.monotonic()
    program = case.build(dev.target.name)
    ready = OnDevice(program.modules[0])
    roles = [attrs.get("role") for attrs in program.modules[0].main.output_attrs]
    results = [r for r, role in zip(ready(arrays), roles, strict=True) if role != "check"]
    row["first_seconds"] = time.monotonic() - begun
    row["launches"], row["bytes_moved"] = len(program.kernels), program.bytes_moved
    row["us"] = own_us(ready.held.launch, dev, ready.held.stream)
    return results


def timed_torch(case: Any, arrays: list[Any], row: Row, mode: str | None, place: str = "cuda") -> list[Any]:
    """The same of torch: eager, or compiled with a mode."""
    import torch

    tensors = [_to_torch(a, place) for a in arrays]
    values, cotangent = (tensors[:-1], tensors[-1]) if case.vjp else (tensors, None)
    for i in case.wrt:
        values[i].requires_grad_()

    run = case.run

    def plain(*given: Any) -> Any:
        return run(torch, *given)

    function = plain if mode is None else torch.compile(plain, **({} if mode == "default" else {"mode": mode}))

    def call() -> list[Any]:
        if mode == "max-autotune":
            torch.compiler.cudagraph_mark_step_begin()
        value = function(*values)
        wanted = [values[i] for i in case.wrt]
        return [value, *(torch.autograd.grad(value, wanted, cotangent) if wanted else ())]

    begun = time.monotonic()
    results = [r.detach().clone() for r in call()]
    row["first_seconds"] = time.monotonic() - begun
    if place == "cuda":
        row["us"] = _torch_us(call)
    return [r.float().cpu().numpy() for r in results]


def _to_torch(array: Any, place: str) -> Any:
    import torch

    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).to(place)
    return torch.from_numpy(array).to(place)


def _torch_us(call: Callable[[], Any]) -> float:
    import torch

    def mark() -> Any:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(start: Any, end: Any) -> float:
        end.synchronize()
        return float(start.elapsed_time(end))

    return median_us(call, mark, between)


def compared(case: Any, start: float) -> None:
    """One row per variant; torch's eager results are what the others must agree with. Without torch gradc is alone."""
    arrays = inputs(case)
    least = case.build("cuda:90").bytes_min
    results: dict[str, list[Any]] = {}
    variants: list[tuple[str, Callable[[Row], list[Any]]]] = [
        ("eager", lambda row: timed_torch(case, arrays, row, None)),
        ("gradc", lambda row: timed_gradc(case, arrays, row)),
        ("compile", lambda row: timed_torch(case, arrays, row, "default")),
        ("max-autotune", lambda row: timed_torch(case, arrays, row, "max-autotune")),
    ]
    limit = max(LIMITS[dtype] for _, dtype in case.args if dtype in LIMITS)
    if find_spec("torch") is None:
        variants = variants[1:2]
    for name, measure in variants:
        if left(start) < 5:
            return
        row: Row = {"variant": name, "bytes_min": least}
        try:
            results[name] = measure(row)
            if "eager" in results:
                row["off_by"] = differences(results[name], results["eager"])
                worst = max(row["off_by"])
                if not worst <= limit:
                    row["error"] = f"its results are off by {worst:.3g} of torch's"
            row["gb_per_s"] = least / row["us"] / 1e3
        except Exception as error:  # noqa: BLE001
            row["error"] = f"{type(error).__name__}: {error}"
        emit(row)


def differences(got: list[Any], wanted: list[Any]) -> list[float]:
    """For each result the norm of the difference over the norm of what is wanted."""
    out = []
    for one, other in zip(got, wanted, strict=True):
        a, b = np.asarray(one).astype(np.float32), np.asarray(other).astype(np.float32)
        if a.shape != b.shape:
            raise AssertionError(f"a result of shape {a.shape} where torch gives {b.shape}")
        out.append(float(np.linalg.norm((a - b).ravel()) / max(float(np.linalg.norm(b.ravel())), 1e-30)))
    return out


def main(name: str) -> int:
    start = time.monotonic()
    if name in ("checks", "ops"):
        sys.path.append(str(checkout.ROOT / "tests"))
        from on_device import CHECKS, op_checks

        checked(CHECKS.items() if name == "checks" else op_checks(), start)
    elif name == "copy":
        copy()
    else:
        from .bytes import CASES

        compared(next(case for case in CASES if case.name == name), start)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
