"""Tensors from nothing, from Python numbers and from arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError, GradTypeError, GradValueError
from gradc.ir.types import DType, f64, i1, i64
from gradc.ir.types import dtype as as_dtype
from gradc.ir.types import tensor as tensor_type

from .autograd.grad_mode import MODES
from .defaults import DEFAULTS
from .device import check_device
from .dispatch import current_trace
from .size import Size
from .storage import Array
from .tensor import Tensor


def sizes(args: Sequence[Any], name: str) -> tuple[int, ...]:
    """Extents given one by one or as one sequence."""
    if len(args) == 1 and isinstance(args[0], (tuple, list, Size)):
        args = tuple(args[0])
    out = []
    for i, a in enumerate(args):
        if isinstance(a, bool) or not hasattr(a, "__index__"):
            where = f"not {type(a).__name__}" if len(args) == 1 else f"found {type(a).__name__} at pos {i}"
            raise GradTypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints, {where}")
        out.append(a.__index__())
    if any(d < 0 for d in out):
        raise GradRuntimeError(f"{name}: Dimension size must be non-negative.", hint=f"got size {out}")
    tensor_type(tuple(out), f64)  # refuses what no memory can address
    return tuple(out)


def finish(array: Array, d: DType | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor that owns `array`; a constant of the trace while tracing."""
    trace = current_trace()
    if trace is not None:
        made: Tensor = trace.constant(array)
        return made.requires_grad_() if requires_grad else made
    out = Tensor._of(array) if d is None else Tensor._of(array, tensor_type(array.shape, d))
    if MODES.inference:
        out._inference = True
    if requires_grad:
        if not out._type.dtype.is_float:
            raise GradRuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        out._requires_grad = True
    return out


def wanted(d: Any, fallback: DType | None = None) -> DType:
    if d is None:
        return fallback or DEFAULTS.dtype
    return as_dtype(d)


def _kind_of(value: Any) -> DType:
    return (
        i1 if isinstance(value, (bool, np.bool_)) else i64 if isinstance(value, (int, np.integer)) else DEFAULTS.dtype
    )


def filled(shape: tuple[int, ...], value: Any, d: DType, requires_grad: bool = False) -> Tensor:
    try:
        with np.errstate(all="ignore"):
            array = np.full(shape, value, d.numpy)
    except OverflowError:
        raise GradRuntimeError(f"value cannot be converted to type {d.torch_name} without overflow") from None
    return finish(array, d, requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **kw: Any) -> Tensor:
    """A tensor of zeros."""
    check_device(device)
    size = (kw.pop("size"),) if "size" in kw else size
    return filled(sizes(size, "zeros"), 0, wanted(dtype), requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **kw: Any) -> Tensor:
    """A tensor of ones."""
    check_device(device)
    size = (kw.pop("size"),) if "size" in kw else size
    return filled(sizes(size, "ones"), 1, wanted(dtype), requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **kw: Any) -> Tensor:
    """A tensor whose elements are not set (they are zeros)."""
    check_device(device)
    size = (kw.pop("size"),) if "size" in kw else size
    return filled(sizes(size, "empty"), 0, wanted(dtype), requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with one value everywhere."""
    check_device(device)
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    return filled(sizes((size,), "full"), fill_value, wanted(dtype, _kind_of(fill_value)), requires_grad)


def _like(input: Tensor, value: Any, d: Any, device: Any, requires_grad: bool, name: str) -> Tensor:
    check_device(device)
    if not isinstance(input, Tensor):
        raise GradTypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return filled(input._type.shape, value, wanted(d, input._type.dtype), requires_grad)


def zeros_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **kw: Any
) -> Tensor:
    """Zeros of the shape and dtype of another tensor."""
    return _like(input, 0, dtype, device, requires_grad, "zeros_like")


def ones_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **kw: Any
) -> Tensor:
    """Ones of the shape and dtype of another tensor."""
    return _like(input, 1, dtype, device, requires_grad, "ones_like")


def empty_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **kw: Any
) -> Tensor:
    """A tensor of the shape and dtype of another whose elements are not set."""
    return _like(input, 0, dtype, device, requires_grad, "empty_like")


def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **kw: Any
) -> Tensor:
    """One value everywhere, in the shape and dtype of another tensor."""
    return _like(input, fill_value, dtype, device, requires_grad, "full_like")


def arange(*args: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **kw: Any) -> Tensor:
    """Numbers from `start` up to, not including, `end`."""
    check_device(device)
    args = tuple(a.item() if isinstance(a, Tensor) else a for a in (*args, *kw.values()))
    start, end, step = (0, args[0], 1) if len(args) == 1 else (*args, 1) if len(args) == 2 else args
    if step == 0:
        raise GradRuntimeError("step must be nonzero")
    if not all(math.isfinite(v) for v in (start, end)):
        raise GradRuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise GradRuntimeError("upper bound and lower bound inconsistent with step sign")
    integral = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    d = wanted(dtype, i64 if integral else DEFAULTS.dtype)
    n = math.ceil((end - start) / step)
    steps = np.arange(n, dtype=np.float64 if d.is_float else np.int64)
    return finish((start + steps * step).astype(d.numpy), d, requires_grad)


def linspace(
    start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` numbers from `start` to `end`, both included."""
    check_device(device)
    if steps < 0:
        raise GradRuntimeError("number of steps must be non-negative")
    d = wanted(dtype)
    return finish(np.linspace(float(start), float(end), steps, dtype=np.float64).astype(d.numpy), d, requires_grad)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`base` to the powers `linspace(start, end, steps)`."""
    check_device(device)
    d = wanted(dtype)
    powers = np.linspace(float(start), float(end), steps, dtype=np.float64)
    return finish(np.power(base, powers).astype(d.numpy), d, requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal of an n x m matrix of zeros."""
    check_device(device)
    shape = sizes((n, n if m is None else m), "eye")
    d = wanted(dtype)
    return finish(np.eye(*shape, dtype=d.numpy), d, requires_grad)


def legacy_constructor(cls: type[Tensor], data: Any = None, *more: Any) -> Tensor:
    """`Tensor(2, 3)` (not set) and `Tensor([1., 2.])`, in the default dtype."""
    from .from_data import tensor

    if data is None:
        made = zeros(0)
    elif isinstance(data, int) and not isinstance(data, bool):
        made = empty(data, *more)
    elif isinstance(data, Size):
        made = empty(data)
    elif isinstance(data, Tensor):
        made = data.detach()
    else:
        made = tensor(data, dtype=DEFAULTS.dtype)
    if cls is Tensor:
        return made
    if current_trace() is not None:
        raise GradValueError(f"{cls.__name__} cannot be made while tracing: make it outside of the function")
    return cls._make(made._type, made._array, made._storage)
