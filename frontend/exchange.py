"""Reading a tensor's data: numbers, lists, NumPy, DLPack, copies, pickles."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError, GradTypeError, GradValueError
from gradc.ir.op import REGISTRY

from .autograd.grad_mode import MODES
from .dispatch import apply, current_trace
from .storage import Array, Storage
from .tensor import Tensor


def numpy(self: Tensor, *, force: bool = False) -> Array:
    """The tensor's memory as a NumPy array."""
    array = self._data("numpy()")
    if self.requires_grad and not force:
        raise GradRuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    return array


def to_array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Array:
    array = numpy(self)
    if dtype is not None and np.dtype(dtype) != array.dtype:
        return array.astype(dtype)
    return array.copy() if copy else array


def array_wrap(self: Tensor, array: Any, context: Any = None, return_scalar: bool = False) -> Tensor:
    """NumPy's functions give back tensors for tensors."""
    from .from_data import share

    return share(np.asarray(array))


def tolist(self: Tensor) -> Any:
    """Python numbers in nested lists."""
    array = self._data("tolist()")
    return (array.astype(np.float32) if self._type.dtype.is_half else array).tolist()


def item(self: Tensor) -> Any:
    """The one element as a Python number."""
    array = self._data("item")
    if array.size != 1:
        raise GradRuntimeError(f"a Tensor with {array.size} elements cannot be converted to Scalar")
    value = array.item()
    return float(value) if self._type.dtype.is_float else value


def to_bool(self: Tensor) -> bool:
    array = self._data("bool")
    if array.size != 1:
        what = "no values" if array.size == 0 else "more than one value"
        raise GradRuntimeError(f"Boolean value of Tensor with {what} is ambiguous")
    return bool(array.item())


def to_float(self: Tensor) -> float:
    array = self._data("float()")
    if self.requires_grad:
        warnings.warn(
            "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\n"
            "Consider using tensor.detach() first.",
            UserWarning,
            stacklevel=2,
        )
    if array.size != 1:
        raise GradValueError("only one element tensors can be converted to Python scalars")
    return float(array.item())


def to_int(self: Tensor) -> int:
    array = self._data("int()")
    if array.size != 1:
        raise GradValueError("only one element tensors can be converted to Python scalars")
    return int(array.item())


def to_index(self: Tensor) -> int:
    if self._type.dtype.is_float or self._type.numel != 1:
        raise GradTypeError("only integer tensors of a single element can be converted to an index")
    return int(item(self))


def contains(self: Tensor, element: Any) -> bool:
    if not isinstance(element, (Tensor, int, float, np.generic)):
        raise GradRuntimeError(
            f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}."
        )
    value = element._data("in") if isinstance(element, Tensor) else element
    return bool((self._data("in") == value).any())


def clone(self: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy of the elements; gradients flow through it."""
    op, attrs = REGISTRY["grad.convert"], {"dtype": self._type.dtype}
    if current_trace() is not None:
        return apply(op, (self,), attrs, "CloneBackward0")  # type: ignore[no-any-return]
    from .eager import record

    order: Any = "C" if memory_format == "contiguous" or not _dense(self._array) else "K"
    out = Tensor._of(self._array.copy(order), self._type)
    if MODES.inference:
        out._inference = True
    if MODES.grad and self.requires_grad:
        record(op, (self,), [self._type], attrs, [out], "CloneBackward0")
    return out


def _dense(array: Array) -> bool:
    """True if the elements fill a block of memory, in any order of the dimensions."""
    expected = array.itemsize
    for stride, extent in sorted(zip(array.strides, array.shape, strict=True)):
        if extent != 1:
            if stride != expected:
                return False
            expected *= extent
    return True


def deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if not self.is_leaf:
        raise GradRuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the "
            "moment.  If you were attempting to deepcopy a module, this may be because of a "
            "torch.nn.utils.weight_norm usage, see https://github.com/pytorch/pytorch/pull/103001"
        )
    if id(self) in memo:
        return memo[id(self)]  # type: ignore[no-any-return]
    storage = memo.get(id(self._storage))
    if storage is None:
        out = Tensor._of(self._data("deepcopy()").copy(), self._type)
        memo[id(self._storage)] = out
    elif storage._array.shape == self._array.shape and storage._array.strides == self._array.strides:
        out = Tensor._make(self._type, storage._array, storage._storage)
    else:
        out = Tensor._of(self._array.copy(), self._type)
    out.__class__ = type(self)
    out.__dict__.update({k: copy.deepcopy(v, memo) for k, v in self.__dict__.items() if not k.startswith("_")})
    out._requires_grad = self._requires_grad
    if self._grad is not None:
        out._grad = copy.deepcopy(self._grad, memo)
    memo[id(self)] = out
    return out


def rebuild(kind: type[Tensor], data: Array, requires_grad: bool, state: dict[str, Any]) -> Tensor:
    """The tensor that `__reduce_ex__` took apart."""
    out = kind._make(Tensor._of(data)._type, data, Storage(data))
    out._requires_grad = requires_grad
    out.__dict__.update(state)
    return out


def reduce(self: Tensor, protocol: Any) -> Any:
    if not self.is_leaf:
        raise GradRuntimeError(
            "Only leaf tensors can be pickled: detach() the tensor first (its history does not fit into a file)"
        )
    state = {k: v for k, v in self.__dict__.items() if not k.startswith("_")}
    return rebuild, (type(self), np.ascontiguousarray(self._data("pickle")), self._requires_grad, state)


def shallow_copy(self: Tensor) -> Tensor:
    kind, args = reduce(self, 4)
    made: Tensor = kind(*args)
    made._array, made._storage = self._array, self._storage
    return made


def dlpack(self: Tensor, **kwargs: Any) -> Any:
    if self.requires_grad:
        raise GradRuntimeError("Can't export tensors that require gradient, use tensor.detach()")
    return self._data("__dlpack__").__dlpack__(**kwargs)


def dlpack_device(self: Tensor) -> tuple[int, int]:
    return (1, 0)


def equal(self: Tensor, other: Tensor) -> bool:
    """True if shapes and all elements are equal."""
    if not isinstance(other, Tensor):
        raise GradTypeError(f"equal(): argument 'other' (position 1) must be Tensor, not {type(other).__name__}")
    a, b = self._data("equal()"), other._data("equal()")
    return a.shape == b.shape and bool(np.all(a == b))


def isclose(self: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Where |self - other| <= atol + rtol * |other|."""
    if self._type.dtype is not other._type.dtype:
        from .autograd.saved import type_name

        raise GradRuntimeError(f"{type_name(self.dtype)} did not match {type_name(other.dtype)}")
    a, b = self.detach(), other.detach()
    near = (a - b).abs() <= b.abs() * rtol + atol
    if b.is_floating_point():
        near = near & (b.abs() != float("inf"))
    near = (a == b) | near
    return near | ((a != a) & (b != b)) if equal_nan else near  # type: ignore[no-any-return]


def allclose(self: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """True if all elements are close (see isclose)."""
    return bool(isclose(self, other, rtol, atol, equal_nan).all())


METHODS = {
    "numpy": numpy,
    "__array__": to_array,
    "__array_wrap__": array_wrap,
    "tolist": tolist,
    "item": item,
    "__bool__": to_bool,
    "__float__": to_float,
    "__int__": to_int,
    "__index__": to_index,
    "__contains__": contains,
    "clone": clone,
    "__deepcopy__": deepcopy,
    "__copy__": shallow_copy,
    "__reduce_ex__": reduce,
    "__dlpack__": dlpack,
    "__dlpack_device__": dlpack_device,
    "equal": equal,
    "isclose": isclose,
    "allclose": allclose,
}
FUNCTIONS = {"clone": clone, "equal": equal, "isclose": isclose, "allclose": allclose}
