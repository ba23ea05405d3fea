"""The cell behind a tensor: one block of memory and a counter of the writes to it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]


class Storage:
    """Tensors that share memory share a Storage. `root` is the array that owns the memory (or was handed in from
    outside); `version` grows by one with every in-place write through any of the tensors."""

    __slots__ = ("root", "version")

    def __init__(self, root: Array) -> None:
        self.root = root
        self.version = 0

    @property
    def pointer(self) -> int:
        return address(self.root)


def address(array: Array) -> int:
    """The address of the first element."""
    pointer: int = array.__array_interface__["data"][0]
    return pointer


def strides_of(array: Array) -> tuple[int, ...]:
    """Strides in elements."""
    size = array.dtype.itemsize
    return tuple(s // size for s in array.strides)


def overlaps_itself(array: Array) -> bool:
    """True if two elements share memory: an axis was expanded, or windows overlap."""
    return overlapping(array.shape, array.strides, array.itemsize)


def overlapping(shape: tuple[int, ...], strides: tuple[int, ...], size: int = 1) -> bool:
    """Whether a step along some axis is shorter than what the axes with shorter steps reach over (true of all strides
    that put two elements of `size` in one place)."""
    reach = size
    for stride, extent in sorted((abs(s), d) for s, d in zip(strides, shape, strict=True) if d > 1):
        if stride < reach:
            return True
        reach += stride * (extent - 1)
    return False


def writable(array: Array) -> Array:
    """The same memory as an array that NumPy lets us write to. NumPy marks broadcast results and all views of them
    read-only, also where no element is shared."""
    if array.flags.writeable:
        return array
    from gradc.ir.errors import GradRuntimeError

    if overlaps_itself(array):
        raise GradRuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )
    root = array
    while isinstance(root.base, np.ndarray) and not root.flags.writeable:
        root = root.base
    if not root.flags.writeable:
        raise GradRuntimeError("the array behind this tensor is read-only and cannot be written to")
    return np.ndarray(array.shape, array.dtype, root.data, address(array) - address(root), array.strides)
