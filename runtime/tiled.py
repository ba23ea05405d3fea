"""The `tiled` executor: kernels printed as NumPy functions, run batch by batch in the order of the GPU's programs.

A batch is as many programs as keep a temporary array in the cache. Bytes are counted by the memory a kernel is given:
with `count=True` every load and store marks the elements it touches, once per phase.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from gradc.codegen.numpy_calls import names
from gradc.codegen.numpy_space import Cut
from gradc.codegen.numpy_tiles import NumpySource, numpy_source
from gradc.ir.errors import ExecutorError
from gradc.ir.graph import Graph
from gradc.ir.tile import parts
from gradc.ir.types import BufferType

Array: TypeAlias = np.ndarray[Any, Any]
BATCH = 1 << 16
SQUARE = 512


class Memory:
    """A kernel's buffers as printed code sees them: views at byte offsets, gathers and scatters at element numbers."""

    def __init__(self, buffers: Sequence[Array], shared: Sequence[bool]) -> None:
        self.flat = [b.reshape(-1) for b in buffers]
        self.raw = [b.view(np.uint8) if b.size else np.empty(0, np.uint8) for b in self.flat]
        self.dtypes = [b.dtype for b in buffers]
        self.shared = shared
        """Which buffers lie in memory that is written to as another buffer: what is read there is copied."""
        self.phase = 0

    def part(self, numbers: Sequence[int]) -> Memory:
        """The memory of a part of the kernel, which is given these of the buffers."""
        return type(self)([self.flat[k] for k in numbers], [self.shared[k] for k in numbers])

    def _view(self, k: int, start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        if 0 in shape:
            return np.empty(shape, self.dtypes[k])
        return np.ndarray(shape, self.dtypes[k], self.raw[k], start, strides)

    def read(self, k: int, start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        view = self._view(k, start, shape, strides)
        return view.copy() if self.shared[k] else view

    def write(self, k: int, start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        return self._view(k, start, shape, strides)

    def read_masked(self, k: int, start: int, shape: tuple[int, ...], strides: tuple[int, ...], mask: Array) -> Array:
        """Masked-out lanes read 0, and may lie outside the buffer."""
        return self.gather(k, self._elements(k, start, shape, strides), mask)

    def write_masked(
        self, k: int, start: int, shape: tuple[int, ...], strides: tuple[int, ...], value: Array, mask: Array
    ) -> None:
        self.scatter(k, self._elements(k, start, shape, strides), value, mask)

    def _elements(self, k: int, start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        size = self.dtypes[k].itemsize
        address: Array = np.full((1,) * len(shape), start // size, np.int64)
        for axis, (n, step) in enumerate(zip(shape, strides, strict=True)):
            if n != 1:
                ramp = np.arange(n, dtype=np.int64) * (step // size)
                address = address + ramp.reshape([-1 if axis == j else 1 for j in range(len(shape))])
        return address

    def gather(self, k: int, address: Array, mask: Array | None) -> Array:
        if mask is None:
            return np.asarray(self.flat[k][address])
        address, mask = np.broadcast_arrays(address, mask)
        if not self.flat[k].size:
            return np.zeros(mask.shape, self.dtypes[k])
        found = self.flat[k].take(np.where(mask, address, 0))
        return np.where(mask, found, np.zeros((), self.dtypes[k]))

    def scatter(self, k: int, address: Array, value: Array, mask: Array | None) -> None:
        if mask is None:
            self.flat[k][address] = value
            return
        address, value, mask = np.broadcast_arrays(address, value, mask)
        self.flat[k][address[mask]] = value[mask]

    def flag(self, k: int, bad: Array, code: int) -> None:
        if np.any(bad):
            self.flat[k][0] = code


class CountingMemory(Memory):
    """Marks every element that is loaded (per phase) or stored; `reads` and `writes` are bytes by input number."""

    def __init__(self, buffers: Sequence[Array], shared: Sequence[bool]) -> None:
        super().__init__(buffers, shared)
        self.loaded: dict[tuple[int, int], Array] = {}
        self.stored: dict[int, Array] = {}
        self.parts: list[tuple[Sequence[int], CountingMemory]] = []

    def part(self, numbers: Sequence[int]) -> Memory:
        out = CountingMemory([self.flat[k] for k in numbers], [self.shared[k] for k in numbers])
        self.parts.append((numbers, out))
        return out

    def _mark(self, marks: Array, k: int, start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        size = self.dtypes[k].itemsize
        if 0 not in shape:
            np.ndarray(shape, np.uint8, marks, start // size, tuple(s // size for s in strides))[...] = 1

    def _loaded(self, k: int) -> Array:
        return self.loaded.setdefault((k, self.phase), np.zeros(self.flat[k].size, np.uint8))

    def _stored(self, k: int) -> Array:
        return self.stored.setdefault(k, np.zeros(self.flat[k].size, np.uint8))

    def read(self, k: int, start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        self._mark(self._loaded(k), k, start, shape, strides)
        return super().read(k, start, shape, strides)

    def write(self, k: int, start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
        self._mark(self._stored(k), k, start, shape, strides)
        return super().write(k, start, shape, strides)

    def gather(self, k: int, address: Array, mask: Array | None) -> Array:
        self._loaded(k)[_chosen(address, mask)] = 1
        return super().gather(k, address, mask)

    def scatter(self, k: int, address: Array, value: Array, mask: Array | None) -> None:
        self._stored(k)[_chosen(address, mask)] = 1
        super().scatter(k, address, value, mask)

    def reads(self) -> dict[int, int]:
        out: dict[int, int] = {}
        for (k, _), marks in sorted(self.loaded.items()):
            out[k] = out.get(k, 0) + int(marks.sum(dtype=np.int64)) * self.dtypes[k].itemsize
        return self._with_parts(out, CountingMemory.reads)

    def writes(self) -> dict[int, int]:
        own = {k: int(m.sum(dtype=np.int64)) * self.dtypes[k].itemsize for k, m in sorted(self.stored.items())}
        return self._with_parts(own, CountingMemory.writes)

    def _with_parts(self, own: dict[int, int], count: Callable[[CountingMemory], dict[int, int]]) -> dict[int, int]:
        for numbers, memory in self.parts:
            for k, n in count(memory).items():
                own[numbers[k]] = own.get(numbers[k], 0) + n
        return dict(sorted(own.items()))


def _chosen(address: Array, mask: Array | None) -> Array:
    if mask is None:
        return np.asarray(address)
    address, mask = np.broadcast_arrays(address, mask)
    return np.asarray(address[mask])


@dataclass
class TiledKernel:
    """A printed kernel, ready to run on flat arrays, one per input of the kernel: its functions one after the other,
    each on the buffers it is given, or on all."""

    name: str
    functions: tuple[Function, ...]
    buffers: tuple[BufferType, ...]
    written: tuple[int, ...]
    """The numbers of the buffers that it stores to."""

    def run(self, buffers: Sequence[Array], *, count: bool = False) -> Memory:
        """Run all programs; written buffers are changed in place. Returns the memory, which counts if asked to."""
        for b, t in zip(buffers, self.buffers, strict=True):
            if b.size < t.numel or b.dtype != t.dtype.numpy or not b.flags.c_contiguous:
                expected = f"expected a contiguous buffer of {t.numel} {t.dtype.name}"
                raise ExecutorError(f"{self.name}: {expected}, got {b.size} {b.dtype}")
        shared = [False] * len(buffers)
        for w in self.written:
            for k, b in enumerate(buffers):
                if k != w and np.may_share_memory(b, buffers[w]):
                    shared[k] = shared[w] = True
        memory = CountingMemory(buffers, shared) if count else Memory(buffers, shared)
        self.launch(memory)
        return memory

    def launch(self, memory: Memory) -> None:
        with np.errstate(all="ignore"):
            for f in self.functions:
                given = memory if f.numbers is None else memory.part(f.numbers)
                for box in f.boxes:
                    f.call(given, box)


@dataclass
class Function:
    """A printed function, and the numbers of the buffers it is given, where these are not all."""

    source: NumpySource
    numbers: tuple[int, ...] | None
    call: Any = field(repr=False)

    @cached_property
    def boxes(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        return tuple(boxes(self.source))


def boxes(source: NumpySource) -> Iterator[tuple[tuple[int, ...], ...]]:
    """The batches of a kernel, in the order of its programs."""
    room = max(BATCH // max(source.fixed, 1), 1)
    pieces: list[list[tuple[int, ...]]] = []
    for cut in reversed(source.cuts):
        step = min(max(cut.extent, 1), SQUARE if source.contracts else room)
        room = max(room // step, 1)
        pieces.append(_pieces(cut, step))
    return product(*reversed(pieces))


def _pieces(cut: Cut, step: int) -> list[tuple[int, ...]]:
    if cut.ranges is None:
        return [(lo, min(step, cut.extent - lo)) for lo in range(0, max(cut.extent, 1), step)]
    return [
        (lo, min(step, r.hi - lo), r.steps, r.last) for r in cut.ranges for lo in range(r.lo, r.hi, step)
    ]  # fmt: skip


def tiled_kernel(kernel: Graph) -> TiledKernel:
    """Print and load a kernel."""
    position = {v: i for i, v in enumerate(kernel.inputs)}
    functions = [_function(p.regions[0], tuple(position[o] for o in p.operands)) for p in parts(kernel)]
    buffers = tuple(t for t in (kernel.types[v] for v in kernel.inputs) if isinstance(t, BufferType))
    written = tuple(i for i, attrs in enumerate(kernel.input_attrs) if attrs["mode"] == "out")
    return TiledKernel(kernel.name, tuple(functions) or (_function(kernel, None),), buffers, written)


def _function(kernel: Graph, numbers: tuple[int, ...] | None) -> Function:
    source = numpy_source(kernel)
    return Function(source, numbers, _load(source.text, source.name))


@lru_cache(maxsize=1024)
def _load(text: str, name: str) -> Any:
    namespace = names()
    exec(compile(text, f"<tiled {name}>", "exec"), namespace)
    return namespace[name]
