"""Launches on a CUDA device: argument blocks that are packed once, and programs that replay as one CUDA graph."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping, Sequence
from ctypes import c_uint, c_uint64, c_void_p
from typing import Any, TypeAlias

import numpy as np

from gradc.ir.errors import ExecutorError

from .binary import Binary
from .cuda import Device, Kernel, Memory, Stream
from .launch import Launch, Pointer, Scalar

Array: TypeAlias = np.ndarray[Any, Any]
_CTYPES: dict[str, Any] = {
    "i1": ctypes.c_int8,
    "i8": ctypes.c_int8,
    "i16": ctypes.c_int16,
    "i32": ctypes.c_int32,
    "i64": ctypes.c_int64,
    "u1": ctypes.c_uint8,
    "u8": ctypes.c_uint8,
    "u16": ctypes.c_uint16,
    "u32": ctypes.c_uint32,
    "u64": ctypes.c_uint64,
    "fp32": ctypes.c_float,
    "fp64": ctypes.c_double,
}
_GRID_LIMITS = (2**31 - 1, 65535, 65535)
_SCRATCH_POINTERS = 2
_RELAXED_CAPTURE = 2


class ArgumentBlock:
    """The array of pointers that `cuLaunchKernel` reads a kernel's parameters through; values change in place.

    Triton appends two pointers to scratch memory to the parameters of every kernel; unused, they are null.
    """

    def __init__(self, kernel: str, parameters: Sequence[str]) -> None:
        self.kernel, self.parameters = kernel, tuple(parameters)
        self.values: list[Any] = []
        for number, kind in enumerate(self.parameters):
            if not kind.startswith("*") and kind not in _CTYPES:
                raise ExecutorError(f"kernel {kernel!r}: parameter {number} is {kind}, which cannot be passed by value")
            self.values.append((c_uint64 if kind.startswith("*") else _CTYPES[kind])(0))
        self.values += [c_uint64(0) for _ in range(_SCRATCH_POINTERS)]
        self.pointers = (c_void_p * len(self.values))(*(ctypes.addressof(value) for value in self.values))

    def set(self, number: int, value: Scalar) -> None:
        kind = self.parameters[number]
        floating = kind.startswith("fp")
        self.values[number].value = float(value) if floating else int(value)
        if not floating and self.values[number].value != value:
            raise ExecutorError(f"kernel {self.kernel!r}: {value} does not fit parameter {number}, which is {kind}")


class Graph:
    """What `launch` puts on a stream, recorded and ready to be replayed as a whole.

    The recording has a stream of its own, since a user's may be one that cannot be captured, such as the default. It is
    relaxed, so that memory which happens to be collected meanwhile does not spoil it.
    """

    def __init__(self, device: Device, launch: Callable[[Stream], None]) -> None:
        driver, stream = device.driver, device.stream()
        driver.call("cuStreamBeginCapture_v2", stream.handle, c_uint(_RELAXED_CAPTURE))
        try:
            launch(stream)
        except ExecutorError:
            driver.attempt("cuStreamEndCapture", stream.handle, ctypes.byref(c_void_p()))
            raise
        graph = driver.handle_last("cuStreamEndCapture", stream.handle)
        try:
            self.handle = device.make(
                self, "cuGraphInstantiateWithFlags", graph, c_uint64(0), release="cuGraphExecDestroy"
            )
        finally:
            driver.attempt("cuGraphDestroy", graph)


class CudaProgram:
    """Launches in order over numbered buffers: `run(addresses, stream)` with a device address per buffer.

    The second run with the same addresses is recorded as a CUDA graph; runs after it replay that graph for as long as
    the addresses stay.
    """

    def __init__(self, device: Device, launches: Sequence[Launch], binaries: Sequence[Binary]) -> None:
        self.device = device
        loaded: dict[int, Kernel] = {}
        self._steps: list[tuple[Any, ...]] = []
        self._blocks: list[ArgumentBlock] = []
        self._patches: list[tuple[Any, int, int]] = []
        self._kernels: list[Kernel] = []
        for launch, binary in zip(launches, binaries, strict=True):
            grid = _grid(launch)
            if 0 in grid:
                continue
            kernel = loaded.get(id(binary)) or loaded.setdefault(id(binary), device.load(binary))
            block = self._block(launch, binary)
            self._kernels.append(kernel)
            self._blocks.append(block)
            sizes = [c_uint(n) for n in (*grid, kernel.threads, 1, 1, kernel.shared)]
            self._steps.append((kernel.function, *sizes, block.pointers))
        self._addresses: tuple[int, ...] | None = None
        self._graph: Graph | None = None

    def _block(self, launch: Launch, binary: Binary) -> ArgumentBlock:
        name = launch.kernel.name
        if len(launch.arguments) != len(binary.parameters):
            raise ExecutorError(
                f"kernel {name!r} takes {len(binary.parameters)} arguments, got {len(launch.arguments)}"
            )
        block = ArgumentBlock(name, binary.parameters)
        for number, (kind, value) in enumerate(zip(binary.parameters, launch.arguments, strict=True)):
            if isinstance(value, Pointer) != kind.startswith("*"):
                raise ExecutorError(f"kernel {name!r}: argument {number} is declared {kind}, got {value!r}")
            if isinstance(value, Pointer):
                self._patches.append((block.values[number], value.buffer, value.offset))
            else:
                block.set(number, value)
        return block

    def run(self, addresses: Sequence[int], stream: Stream) -> None:
        """Puts the launches on the stream and returns at once."""
        now = tuple(addresses)
        with self.device:
            if now != self._addresses:
                self._graph = None
                for value, buffer, offset in self._patches:
                    value.value = now[buffer] + offset
                self._addresses = now
                self._launch(stream)
                return
            if self._graph is None and self._steps:
                self._graph = Graph(self.device, self._launch)
            if self._graph is not None:
                self.device.driver.call("cuGraphLaunch", self._graph.handle, stream.handle)

    def _launch(self, stream: Stream) -> None:
        call = self.device.driver.call
        for *head, pointers in self._steps:
            call("cuLaunchKernel", *head, stream.handle, pointers, c_void_p(None))


def _grid(launch: Launch) -> tuple[int, int, int]:
    grid = (*launch.grid, 1, 1, 1)[:3]
    if len(launch.grid) > 3 or any(not 0 <= n <= most for n, most in zip(grid, _GRID_LIMITS, strict=True)):
        raise ExecutorError(f"kernel {launch.kernel.name!r}: a grid of {launch.grid} cannot be launched")
    return grid[0], grid[1], grid[2]


def device_address(value: Any) -> int:
    """The address of memory that is on a device already: our own, a torch tensor's, or of anything with
    `__cuda_array_interface__`; it must be contiguous."""
    if isinstance(value, Memory):
        return value.address
    if hasattr(value, "data_ptr"):
        if not value.is_cuda or not value.is_contiguous():
            raise ExecutorError("the cuda executor takes contiguous CUDA tensors; got one that is not")
        return int(value.data_ptr())
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is None:
        raise ExecutorError(f"not memory on a CUDA device: {type(value).__name__}")
    strides = interface.get("strides")
    if strides is not None and not _row_major(interface["shape"], strides, np.dtype(interface["typestr"]).itemsize):
        raise ExecutorError(f"the cuda executor takes contiguous arrays, got strides {tuple(strides)}")
    return int(interface["data"][0])


def _row_major(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> bool:
    expected = itemsize
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


class DeviceBuffers:
    """Device memory for a program's buffers, kept from run to run: addresses stay, so that its graph is replayed."""

    def __init__(self, program: CudaProgram, sizes: Sequence[int]) -> None:
        self.program = program
        self.stream = program.device.stream()
        self.memory = [program.device.allocate(nbytes) for nbytes in sizes]
        self._lock = threading.Lock()

    def fill(self, arrays: Mapping[int, Array]) -> None:
        """Contents that stay from run to run."""
        with self._lock:
            for number, array in arrays.items():
                self.memory[number].upload(array, self.stream)
            self.stream.synchronize()

    def run(self, uploads: Mapping[int, Array], downloads: Mapping[int, Array]) -> None:
        """Copies arrays to the buffers of these numbers, runs, copies back into arrays, and waits for the end."""
        with self._lock:
            for number, array in uploads.items():
                self.memory[number].upload(array, self.stream)
            self.launch()
            for number, array in downloads.items():
                self.memory[number].download(array, self.stream)
            self.stream.synchronize()

    def launch(self) -> None:
        """Puts one run on the stream, over what the buffers hold, and returns at once."""
        self.program.run([memory.address for memory in self.memory], self.stream)


def run_on_arrays(program: CudaProgram, buffers: Sequence[Array]) -> None:
    """One run with memory of its own: every array goes there, and back if it can be written."""
    held = DeviceBuffers(program, [array.nbytes for array in buffers])
    numbered = dict(enumerate(buffers))
    held.run(numbered, {number: array for number, array in numbered.items() if array.flags.writeable})
