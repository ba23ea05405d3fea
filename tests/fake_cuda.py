"""A stand-in for NVIDIA's driver library: device memory is host memory, kernels are Python functions, calls are noted.

It decodes what it is given through the same raw pointers as the real one, so that a wrong width, order or address
shows.
"""

# ruff: noqa: N802, N815 - the names are CUDA's

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.runtime.binary import Binary
from gradc.runtime.cuda import Device
from gradc.runtime.cuda_driver import Driver
from gradc.runtime.facts import Facts, Instructions

WIDTHS = {"i1": 1, "i8": 1, "u8": 1, "i16": 2, "i32": 4, "u32": 4, "i64": 8, "u64": 8, "fp32": 4, "fp64": 8}
FORMATS = {"fp32": "f4", "fp64": "f8", "u8": "u1", "u32": "u4", "u64": "u8"}


def binary(name: str, parameters: tuple[str, ...], target: str = "cuda:90", shared: int = 0, **facts: Any) -> Binary:
    metadata = {"name": name, "shared": shared, "num_warps": 4, "num_ctas": 1, **facts}
    facts_of_it = Facts(32, 0, {}, {}, Instructions(1, 0, 0, 0, ""))
    return Binary(target, "", name.encode() + b"\0" * 8, facts_of_it, metadata, parameters)


class FakeCuda:
    """`kernels[name] = (parameters, function)`; the function gets the decoded arguments and the grid."""

    def __init__(self, capability: tuple[int, int] = (9, 0)) -> None:
        self.attributes = {16: 132, 75: capability[0], 76: capability[1], 97: 227 * 1024}
        self.kernels: dict[str, tuple[tuple[str, ...], Callable[..., None]]] = {}
        self.calls: list[str] = []
        self.memory: dict[int, Any] = {}
        self.things: dict[int, Any] = {}
        self.captured: list[tuple[Any, ...]] | None = None
        self.context: list[int] = []
        self.fail: dict[str, int] = {}
        self.shared_set: list[int] = []
        self.threads: list[int] = []

    def device(self) -> Device:
        return Device(0, Driver(self))

    def count(self, name: str) -> int:
        return self.calls.count(name)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name in self.fail:
                return self.fail[name]
            result: int | None = getattr(self, "do_" + name, lambda *a: None)(*arguments)
            return result or 0

        return call

    def _new(self, out: Any, thing: Any) -> None:
        number = 0x1000 + len(self.things) * 16
        self.things[number] = thing
        out._obj.value = number

    def do_cuGetErrorName(self, code: Any, out: Any) -> int:
        out._obj.value = {2: b"CUDA_ERROR_OUT_OF_MEMORY"}.get(code.value)
        return 0

    def do_cuGetErrorString(self, code: Any, out: Any) -> int:
        out._obj.value = {2: b"out of memory"}.get(code.value)
        return 0

    def do_cuDeviceGetCount(self, out: Any) -> None:
        out._obj.value = 1

    def do_cuDeviceGet(self, out: Any, ordinal: Any) -> None:
        out._obj.value = ordinal.value

    def do_cuDeviceGetName(self, text: Any, size: Any, device: Any) -> None:
        text.value = b"Fake H100"

    def do_cuDeviceGetAttribute(self, out: Any, number: Any, device: Any) -> None:
        out._obj.value = self.attributes[number.value]

    def do_cuDevicePrimaryCtxRetain(self, out: Any, device: Any) -> None:
        self._new(out, "context")

    def do_cuCtxPushCurrent_v2(self, context: Any) -> None:
        self.context.append(context.value)

    def do_cuCtxPopCurrent_v2(self, out: Any) -> None:
        out._obj.value = self.context.pop()

    def do_cuMemAlloc_v2(self, out: Any, size: Any) -> None:
        assert self.context
        block = ctypes.create_string_buffer(size.value)
        out._obj.value = ctypes.addressof(block)
        self.memory[ctypes.addressof(block)] = block

    def do_cuMemFree_v2(self, address: Any) -> None:
        del self.memory[address.value]

    def do_cuMemcpyHtoDAsync_v2(self, to: Any, source: Any, size: Any, stream: Any) -> None:
        ctypes.memmove(to.value, source.value, size.value)

    do_cuMemcpyDtoHAsync_v2 = do_cuMemcpyHtoDAsync_v2

    def do_cuMemsetD8Async(self, to: Any, value: Any, size: Any, stream: Any) -> None:
        ctypes.memset(to.value, value.value, size.value)

    def do_cuStreamCreate(self, out: Any, flags: Any) -> None:
        assert flags.value == 1
        self._new(out, "stream")

    def do_cuEventCreate(self, out: Any, flags: Any) -> None:
        self._new(out, "event")

    def do_cuEventElapsedTime(self, out: Any, start: Any, end: Any) -> None:
        out._obj.value = 1.5

    def do_cuModuleLoadData(self, out: Any, image: Any) -> None:
        self._new(out, bytes(image._obj))

    def do_cuModuleGetFunction(self, out: Any, module: Any, name: Any) -> int:
        if name.value + b"\0" not in self.things[module.value]:
            return 500
        self._new(out, name.value.decode())
        return 0

    def do_cuFuncSetAttribute(self, function: Any, attribute: Any, value: Any) -> None:
        assert attribute.value == 8
        self.shared_set.append(value.value)

    def do_cuStreamBeginCapture_v2(self, stream: Any, mode: Any) -> None:
        assert stream.value is not None
        self.captured = []

    def do_cuStreamEndCapture(self, stream: Any, out: Any) -> None:
        self._new(out, self.captured)
        self.captured = None

    def do_cuGraphInstantiateWithFlags(self, out: Any, graph: Any, flags: Any) -> None:
        self._new(out, self.things[graph.value])

    def do_cuGraphLaunch(self, graph: Any, stream: Any) -> None:
        for name, arguments, grid in self.things[graph.value]:
            self.kernels[name][1](*arguments, grid)

    def do_cuLaunchKernel(self, function: Any, *rest: Any) -> None:
        *sizes, _shared, _stream, pointers, extra = rest
        assert self.context
        assert extra.value is None
        name = self.things[function.value]
        parameters, run = self.kernels[name]
        arguments = []
        for kind, pointer in zip((*parameters, "*", "*"), pointers, strict=True):
            width = 8 if kind.startswith("*") else WIDTHS[kind]
            raw = ctypes.string_at(pointer, width)
            kind = "u8_" if kind.startswith("*") else kind
            arguments.append(np.frombuffer(raw, FORMATS.get(kind, f"{'u' if kind == 'u8_' else 'i'}{width}"))[0].item())
        assert arguments[-2:] == [0, 0]
        threads, *others = (s.value for s in sizes[3:])
        assert threads % 32 == 0
        assert others == [1, 1]
        self.threads.append(threads)
        job = (name, tuple(arguments[:-2]), tuple(s.value for s in sizes[:3]))
        if self.captured is not None:
            self.captured.append(job)
        else:
            run(*job[1], job[2])


def at(address: int, count: int, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    """The `count` elements at an address."""
    size = count * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype)
