"""Arrays of other libraries: taken in without a copy where memory allows, and results handed back in kind."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gradc.ir.errors import GradTypeError, UnsupportedError

from .tensor import Tensor

GRADC, NUMPY, TORCH = "gradc", "numpy", "torch"
ARRAYS = (Tensor, np.ndarray, np.generic)


def is_torch(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def is_array(x: Any) -> bool:
    """Whether `x` is an array of some library (and not a Python number or an object of another sort)."""
    return isinstance(x, ARRAYS) or is_torch(x) or hasattr(x, "__dlpack__")


def kind_of(leaves: Iterable[Any]) -> str:
    """The kind results are given in: torch's if any argument is torch's, gradc's if any is, else NumPy's."""
    kinds = {
        GRADC if isinstance(x, Tensor) else TORCH if is_torch(x) else NUMPY for x in leaves if is_array(x)
    }
    for kind in (TORCH, GRADC, NUMPY):
        if kind in kinds:
            return kind
    return GRADC


def to_tensor(x: Any) -> Tensor:
    """An array of any library as a tensor on the same memory where that is possible."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, ARRAYS):
        return _of(np.asarray(x))
    if is_torch(x):
        return _of(_torch_array(x))
    try:
        array = np.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError, ValueError) as e:
        raise GradTypeError(f"cannot read a {type(x).__name__} as an array: {e}") from None
    return _of(array)


def _of(array: np.ndarray[Any, Any]) -> Tensor:
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.aligned:
        array = array.copy()
    return Tensor._of(array)


def _torch_array(x: Any) -> np.ndarray[Any, Any]:
    import ml_dtypes
    import torch

    if x.device.type != "cpu":
        raise UnsupportedError(f"a torch tensor on {x.device}: arguments are taken from the CPU, move it there")
    if x.layout is not torch.strided or x.is_complex() or x.is_quantized:
        raise UnsupportedError(f"a torch tensor of layout {x.layout} and dtype {x.dtype} has no counterpart in gradc")
    x = x.detach().resolve_neg()
    if x.dtype is torch.bfloat16:
        out: np.ndarray[Any, Any] = x.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return out
    array: np.ndarray[Any, Any] = x.numpy()
    return array


def _to_torch(array: np.ndarray[Any, Any]) -> Any:
    import ml_dtypes
    import torch

    array = np.ascontiguousarray(array).reshape(array.shape)
    if not array.flags.writeable:
        array = array.copy()
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def give(t: Tensor, kind: str) -> Any:
    """A result in the kind the caller works with."""
    if kind == GRADC:
        return t
    array = t.detach()._data("a result")
    return _to_torch(array) if kind == TORCH else array


def own(arrays: Sequence[np.ndarray[Any, Any]], inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """Results that share no memory with an input or with each other, and that can be written to."""
    taken = [a for a in inputs if a.size]
    out = []
    for a in arrays:
        if a.size and (not a.flags.writeable or any(np.may_share_memory(a, b) for b in taken)):
            a = a.copy()
        out.append(a)
        taken.append(a)
    return out
