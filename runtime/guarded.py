"""Memory that a run of emitted text shares with the worker: buffers between guard zones, overlapping arrays as one.

The zones are 0xFF bytes: NaN to a kernel that reads a float there, and visible afterwards when one wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from gradc.ir.errors import ExecutorError

from .launch import Pointer

Array: TypeAlias = np.ndarray[Any, Any]
GUARD = 256
GUARD_BYTE = 0xFF


def as_bytes(array: Array) -> Array:
    return array.reshape(-1).view(np.uint8)


def layout(buffers: Sequence[Array]) -> tuple[list[int], int]:
    """Offsets in the shared memory: a guard zone before and after each buffer, its address modulo 256 kept."""
    places: list[int] = []
    at = 0
    for array in buffers:
        at += GUARD
        at += (array.ctypes.data - at) % 256
        places.append(at)
        at += array.nbytes
    return places, at + GUARD


def check_guards(
    shared: Array, buffers: Sequence[Array], places: Sequence[int], size: int, names: Sequence[str]
) -> None:
    """Raises ExecutorError if any byte around the buffers has changed."""
    ends = [0, *(at + array.nbytes for at, array in zip(places, buffers, strict=True))]
    for number, (low, high) in enumerate(zip(ends, [*places, size], strict=True)):
        wrong = np.flatnonzero(shared[low:high] != GUARD_BYTE)
        if wrong.size:
            side = f"{wrong[0]} bytes after the end of buffer {number - 1}" if number else "before buffer 0"
            kernels = ", ".join(dict.fromkeys(names))
            raise ExecutorError(f"a kernel wrote outside its buffers: {side}, {wrong.size} bytes in all ({kernels})")


def group_overlapping(arrays: Sequence[Array]) -> tuple[list[Array], list[Pointer]]:
    """Buffers for arrays that may overlap: arrays that share memory become pointers into one buffer over all of it."""
    spans = sorted((a.ctypes.data, a.ctypes.data + a.nbytes, i) for i, a in enumerate(arrays))
    buffers: list[Array] = []
    pointers: list[Pointer] = [Pointer(0)] * len(arrays)
    at = 0
    while at < len(spans):
        start, end, _ = spans[at]
        group = [spans[at]]
        while at + len(group) < len(spans) and spans[at + len(group)][0] < end:
            group.append(spans[at + len(group)])
            end = max(end, group[-1][1])
        for low, _, which in group:
            pointers[which] = Pointer(len(buffers), low - start)
        whole = next((arrays[i] for low, high, i in group if (low, high) == (start, end)), None)
        if whole is None:
            raise ExecutorError("arrays overlap without one of them holding the others: pass their base and offsets")
        buffers.append(whole)
        at += len(group)
    return buffers, pointers
