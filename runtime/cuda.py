"""One CUDA device: its context, memory, streams, events and loaded kernels, on the plain driver API.

The device's primary context is used, so that pointers and streams of torch and CuPy are valid here and the other way
round; it is the thread's current one only inside `with device:`. What is allocated is released with its object.
"""

from __future__ import annotations

import ctypes
import weakref
from ctypes import c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import cache, cached_property
from typing import Any

import numpy as np

from gradc.ir.errors import ExecutorError

from .binary import Binary
from .cuda_driver import Driver, system_driver
from .target import TARGETS, Target

_MULTIPROCESSORS, _MAJOR, _MINOR, _SHARED_OPT_IN = 16, 75, 76, 97
_STATIC_SHARED_LIMIT = 48 * 1024
_FUNCTION_SHARED = 8
_NON_BLOCKING = 1
_PLAIN_LAUNCH = {"num_ctas": 1, "global_scratch_size": 0, "profile_scratch_size": 0, "launch_cooperative_grid": False}


def _release(driver: Driver, context: c_void_p, name: str, handle: Any) -> None:
    """Frees a thing from whichever thread collects it, also while the process ends."""
    driver.attempt("cuCtxPushCurrent_v2", context)
    driver.attempt(name, handle)
    driver.attempt("cuCtxPopCurrent_v2", ctypes.byref(c_void_p()))


class Device:
    """The device of this number."""

    def __init__(self, ordinal: int = 0, driver: Driver | None = None) -> None:
        self.driver = driver if driver is not None else system_driver()
        count = self.driver.integer("cuDeviceGetCount")
        if not 0 <= ordinal < count:
            raise ExecutorError(f"there is no CUDA device {ordinal}: the driver finds {count}")
        self.ordinal = ordinal
        self.handle = c_int(self.driver.integer("cuDeviceGet", c_int(ordinal)))
        self.context = self.driver.handle("cuDevicePrimaryCtxRetain", self.handle)
        weakref.finalize(self, self.driver.attempt, "cuDevicePrimaryCtxRelease_v2", self.handle)

    def __enter__(self) -> Device:
        self.driver.call("cuCtxPushCurrent_v2", self.context)
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.attempt("cuCtxPopCurrent_v2", ctypes.byref(c_void_p()))

    def call(self, name: str, *arguments: Any) -> None:
        """One function of the driver, in this device's context."""
        with self:
            self.driver.call(name, *arguments)

    def make(self, owner: object, name: str, *arguments: Any, release: str) -> c_void_p:
        """A handle from one function of the driver, given to another when its owner is collected."""
        with self:
            handle = self.driver.handle(name, *arguments)
        weakref.finalize(owner, _release, self.driver, self.context, release, c_void_p(handle.value))
        return handle

    def attribute(self, number: int) -> int:
        return self.driver.integer("cuDeviceGetAttribute", c_int(number), self.handle)

    @cached_property
    def name(self) -> str:
        text = ctypes.create_string_buffer(256)
        self.driver.call("cuDeviceGetName", text, c_int(256), self.handle)
        return text.value.decode(errors="replace")

    @cached_property
    def capability(self) -> tuple[int, int]:
        return self.attribute(_MAJOR), self.attribute(_MINOR)

    @cached_property
    def multiprocessors(self) -> int:
        return self.attribute(_MULTIPROCESSORS)

    @cached_property
    def shared_limit(self) -> int:
        """Bytes of shared memory that one program may have."""
        return self.attribute(_SHARED_OPT_IN)

    @cached_property
    def target(self) -> Target:
        """The target whose binaries run here: of the same major version, and from 9.0 on of exactly this one."""
        major, minor = self.capability
        for known in TARGETS:
            if known.backend != "cuda":
                continue
            its_major, its_minor = divmod(int(known.arch), 10)
            if its_major == major and (its_minor == minor or (major < 9 and its_minor < minor)):
                return known
        raise ExecutorError(f"no target of gradc has binaries for {self.name}, compute capability {major}.{minor}")

    def allocate(self, nbytes: int) -> Memory:
        return Memory(self, nbytes)

    def stream(self) -> Stream:
        return Stream(self)

    def event(self) -> Event:
        return Event(self)

    def load(self, binary: Binary) -> Kernel:
        return Kernel(self, binary)


class Memory:
    """A run of device memory; `address` is a plain integer. No bytes are a null pointer."""

    def __init__(self, device: Device, nbytes: int) -> None:
        self.device, self.nbytes = device, nbytes
        pointer = device.make(self, "cuMemAlloc_v2", c_size_t(nbytes), release="cuMemFree_v2") if nbytes else c_void_p()
        self.address: int = pointer.value or 0

    def upload(self, array: np.ndarray[Any, Any], stream: Stream, offset: int = 0) -> None:
        """The array must stay alive and unchanged until the stream has got so far."""
        if self._fits(array, offset):
            to, source = c_uint64(self.address + offset), c_void_p(array.ctypes.data)
            self.device.call("cuMemcpyHtoDAsync_v2", to, source, c_size_t(array.nbytes), stream.handle)

    def download(self, array: np.ndarray[Any, Any], stream: Stream, offset: int = 0) -> None:
        """The array holds the bytes once the stream has been synchronised."""
        if self._fits(array, offset):
            to, source = c_void_p(array.ctypes.data), c_uint64(self.address + offset)
            self.device.call("cuMemcpyDtoHAsync_v2", to, source, c_size_t(array.nbytes), stream.handle)

    def fill(self, byte: int, stream: Stream) -> None:
        if self.nbytes:
            value, size = ctypes.c_ubyte(byte), c_size_t(self.nbytes)
            self.device.call("cuMemsetD8Async", c_uint64(self.address), value, size, stream.handle)

    def _fits(self, array: np.ndarray[Any, Any], offset: int) -> bool:
        """Raises unless the array can be copied here; False when there is nothing to copy."""
        if not array.flags.c_contiguous:
            raise ExecutorError(f"only contiguous arrays are copied to or from a device, got strides {array.strides}")
        if offset < 0 or offset + array.nbytes > self.nbytes:
            raise ExecutorError(f"{array.nbytes} bytes at offset {offset} do not fit into {self.nbytes} on the device")
        return array.nbytes > 0


class Stream:
    """An order of work: a new one, or another library's: `Stream(device, torch.cuda.current_stream().cuda_stream)`."""

    def __init__(self, device: Device, handle: int | None = None) -> None:
        self.device = device
        if handle is None:
            self.handle = device.make(self, "cuStreamCreate", c_uint(_NON_BLOCKING), release="cuStreamDestroy_v2")
        else:
            self.handle = c_void_p(handle)

    def synchronize(self) -> None:
        self.device.call("cuStreamSynchronize", self.handle)

    def wait(self, event: Event) -> None:
        """What is put on this stream from now on runs after the event."""
        self.device.call("cuStreamWaitEvent", self.handle, event.handle, c_uint(0))


class Event:
    """A point in a stream; two of them measure the time between."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.handle = device.make(self, "cuEventCreate", c_uint(0), release="cuEventDestroy_v2")

    def record(self, stream: Stream) -> None:
        self.device.call("cuEventRecord", self.handle, stream.handle)

    def synchronize(self) -> None:
        self.device.call("cuEventSynchronize", self.handle)

    def milliseconds_since(self, start: Event) -> float:
        """Waits for this event first."""
        self.synchronize()
        out = ctypes.c_float()
        self.device.call("cuEventElapsedTime", ctypes.byref(out), start.handle, self.handle)
        return out.value


class Kernel:
    """A binary loaded into a device's context, with what `cuLaunchKernel` needs to know of it."""

    def __init__(self, device: Device, binary: Binary) -> None:
        if binary.cubin is None or binary.target != device.target.name:
            raise ExecutorError(f"a binary for {binary.target} cannot run on {device.name}: it needs {device.target}")
        facts = binary.metadata
        self.device, self.binary, self.name = device, binary, str(facts["name"])
        self.threads = int(facts["num_warps"]) * device.target.warp_size
        self.shared = binary.shared_bytes
        for fact, plain in _PLAIN_LAUNCH.items():
            if facts.get(fact, plain) != plain:
                got = f"its {fact} is {facts[fact]}, not {plain}"
                raise ExecutorError(f"kernel {self.name!r} cannot be launched: {got}")
        if self.shared > device.shared_limit:
            limit = f"{device.name} has {device.shared_limit}"
            raise ExecutorError(f"kernel {self.name!r} needs {self.shared} bytes of shared memory; {limit}")
        image = ctypes.create_string_buffer(binary.cubin, len(binary.cubin))
        module = device.make(self, "cuModuleLoadData", ctypes.byref(image), release="cuModuleUnload")
        with device:
            self.function = device.driver.handle("cuModuleGetFunction", module, ctypes.c_char_p(self.name.encode()))
        if self.shared > _STATIC_SHARED_LIMIT:
            device.call("cuFuncSetAttribute", self.function, c_int(_FUNCTION_SHARED), c_int(self.shared))


@cache
def device(ordinal: int = 0) -> Device:
    """The machine's device of this number, opened once per process."""
    return Device(ordinal)
