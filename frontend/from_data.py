"""Tensors from Python numbers, nested lists, NumPy arrays and other tensors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError, GradTypeError, GradValueError
from gradc.ir.types import DType, i1, i64
from gradc.ir.types import dtype as as_dtype
from gradc.ir.types import tensor as tensor_type

from .autograd.grad_mode import MODES
from .creation import finish, wanted
from .defaults import DEFAULTS
from .device import check_device
from .dispatch import current_trace
from .storage import Array, Storage
from .tensor import Tensor

_COPY = (
    "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
    "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor)."
)


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """A new tensor that holds a copy of `data` and has no history."""
    check_device(device)
    if isinstance(data, Tensor):
        warnings.warn(_COPY, UserWarning, stacklevel=2)
        d = wanted(dtype, data._type.dtype)
        if current_trace() is not None:
            out: Tensor = data.detach().to(d).clone()
            return out.requires_grad_() if requires_grad else out
        return finish(data._array.astype(d.numpy, copy=True), d, requires_grad)
    array = foreign_array(data)
    if array is not None:
        d = wanted(dtype, known(array))
        return finish(_cast(array, d), d, requires_grad)
    array, d = from_python(data, None if dtype is None else as_dtype(dtype))
    return finish(array, d, requires_grad)


def known(array: Array) -> DType:
    """The element type of an array, refused by torch's sentence if tensors have none such."""
    if array.dtype.byteorder == ">":
        raise GradValueError(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is "
            "currently not supported."
        )
    try:
        return as_dtype(array.dtype)
    except GradTypeError:
        raise GradTypeError(
            f"can't convert np.ndarray of type {array.dtype.type.__module__}.{array.dtype.type.__name__}. The only "
            "supported types are: float64, float32, float16, bfloat16, int64, int32, int16, int8, uint64, uint32, "
            "uint8, and bool."
        ) from None


def _cast(array: Array, d: DType) -> Array:
    with np.errstate(all="ignore"):
        return np.array(array, dtype=d.numpy, order="C", copy=True)


def foreign_array(data: Any) -> Array | None:
    """A NumPy array, a NumPy scalar, a torch tensor or another DLPack object as a NumPy array; None for other
    things."""
    if isinstance(data, (np.ndarray, np.generic)):
        return np.asarray(data)
    if type(data).__module__.partition(".")[0] == "torch" and hasattr(data, "detach"):
        return _of_torch(data.detach().cpu())
    if hasattr(data, "__dlpack__") and hasattr(data, "__dlpack_device__"):
        return np.from_dlpack(data)
    if hasattr(data, "__array__"):
        return np.asarray(data)
    return None


def _of_torch(data: Any) -> Array:
    if str(data.dtype) == "torch.bfloat16":
        import ml_dtypes
        import torch

        bits: Array = data.view(torch.int16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    array: Array = data.numpy()
    return array


def from_python(data: Any, d: DType | None) -> tuple[Array, DType]:
    """Numbers and nested sequences of them: floats make the default dtype, ints int64, bools bool."""
    shape, leaves = flatten(data)
    if d is None:
        if not leaves or any(isinstance(v, (float, np.floating)) for v in leaves):
            d = DEFAULTS.dtype
        elif all(isinstance(v, (bool, np.bool_)) for v in leaves):
            d = i1
        else:
            d = i64
        for v in leaves:
            if isinstance(v, Tensor):
                d = v._type.dtype if len(leaves) == 1 or v._type.dtype.is_float else d
    values = [v.item() if isinstance(v, Tensor) else v for v in leaves]
    if not d.is_float and d.kind == "int":
        bad = next((v for v in values if isinstance(v, float) and v != v), None)
        if bad is not None:
            raise GradValueError("cannot convert float NaN to integer")
        values = [int(v) for v in values]
    try:
        with np.errstate(all="ignore"):
            flat = np.array(values, dtype=np.float64 if d.is_float else d.numpy).astype(d.numpy)
    except OverflowError:
        raise GradRuntimeError("Overflow when unpacking long long") from None
    return flat.reshape(shape), d


def flatten(data: Any) -> tuple[tuple[int, ...], list[Any]]:
    """The shape of nested sequences and their numbers in order; refuses ragged ones and what is not a number."""
    shape: list[int] = []
    level: list[Any] = [data]
    while any(_is_sequence(v) for v in level):
        n = len(next(v for v in level if _is_sequence(v)))
        below: list[Any] = []
        for v in level:
            if not _is_sequence(v) or len(v) != n:
                got = len(v) if _is_sequence(v) else 0
                if not _is_sequence(v):
                    raise GradTypeError(f"not a sequence: a number stands beside sequences at dim {len(shape)}")
                raise GradValueError(f"expected sequence of length {n} at dim {len(shape)} (got {got})")
            below.extend(v)
        shape.append(n)
        level = below
    for v in level:
        if not isinstance(v, (bool, int, float, np.generic)) and not (isinstance(v, Tensor) and v.numel() == 1):
            if v is None:
                raise GradRuntimeError("Could not infer dtype of NoneType")
            if isinstance(v, str):
                raise GradTypeError("new(): invalid data type 'str'")
            raise GradRuntimeError(f"Could not infer dtype of {type(v).__name__}")
    return tuple(shape), level


def _is_sequence(v: Any) -> bool:
    if isinstance(v, (list, tuple, range)):
        return True
    if isinstance(v, (str, bytes, dict, set)):
        return False
    return (isinstance(v, Tensor) and v.ndim > 0) or (isinstance(v, np.ndarray) and v.ndim > 0)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Like `tensor`, but shares memory (and keeps the history) where nothing needs to change."""
    check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(as_dtype(dtype))
    array = foreign_array(data)
    if array is None or current_trace() is not None:
        return tensor(data, dtype=dtype)
    d = wanted(dtype, known(array))
    return share(array if array.dtype == d.numpy else _cast(array, d))


asarray = as_tensor


def from_numpy(array: Any) -> Tensor:
    """A tensor on the memory of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise GradTypeError(f"expected np.ndarray (got {type(array).__name__})")
    known(array)
    if any(s < 0 for s in array.strides):
        raise GradValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
            "currently supported. (You can probably work around this by making a copy of your array  with "
            "array.copy().) "
        )
    if current_trace() is not None:
        return finish(array)
    if not array.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This means "
            "writing to this tensor will result in undefined behavior. You may want to copy the array to protect "
            "its data or make it writable before converting it to a tensor.",
            UserWarning,
            stacklevel=2,
        )
    return share(array)


def share(array: Array) -> Tensor:
    """A tensor on memory that somebody else owns."""
    out = Tensor._make(tensor_type(array.shape, known(array)), array, Storage(array))
    out._inference = MODES.inference
    return out


def from_dlpack(source: Any) -> Tensor:
    """A tensor on the memory of any object that speaks DLPack."""
    array = foreign_array(source)
    if array is None:
        raise GradTypeError(f"from_dlpack: {type(source).__name__} has no __dlpack__")
    return share(array)
