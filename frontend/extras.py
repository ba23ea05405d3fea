"""Tensor methods of torch that are neither ops of the table nor worth a file of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError, GradTypeError, UnsupportedError
from gradc.ir.op import REGISTRY
from gradc.ir.types import tensor as tensor_type

from .creation import empty, full, ones, sizes, wanted, zeros
from .dispatch import apply, current_trace
from .from_data import tensor
from .indexing import index_plan, index_tensor
from .indexing import nonzero as index_vectors
from .inplace import check_target
from .surface import FOREIGN
from .tensor import Tensor


def matmul(self: Tensor, other: Any) -> Any:
    if isinstance(other, Tensor):
        return self.matmul(other)
    if isinstance(other, (int, float, *FOREIGN)):
        raise GradTypeError(f"unsupported operand type(s) for @: 'Tensor' and '{type(other).__name__}'")
    return NotImplemented


def positive(self: Tensor) -> Tensor:
    """This tensor."""
    if self._type.dtype.kind == "bool":
        raise GradRuntimeError("The `+` operator, on a bool tensor is not supported.")
    return self


def is_nonzero(self: Tensor) -> bool:
    """True if the one element is not zero."""
    return bool(self)


def is_same_size(self: Tensor, other: Tensor) -> bool:
    """True if the shapes are equal."""
    return self._type.shape == other._type.shape


def is_signed(self: Tensor) -> bool:
    """True for dtypes with a sign."""
    return self._type.dtype.kind != "bool" and not self._type.dtype.name.startswith("ui")


def get_device(self: Tensor) -> int:
    """-1: eager tensors live on the CPU."""
    return -1


def nonzero(self: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not zero: a row each, or one vector per dimension."""
    self._data("nonzero()")
    vectors = index_vectors(self)
    if as_tuple:
        return tuple(Tensor._of(np.ascontiguousarray(v)) for v in vectors)
    return Tensor._of(np.stack(vectors, axis=1) if vectors else np.zeros((int(bool(self._array)), 0), np.int64))


def masked_select(self: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask, broadcast, is true."""
    from gradc.ir.dim import broadcast

    shape = broadcast(self._type.shape, mask._type.shape)
    whole = self if shape == self._type.shape else self.expand(shape)
    *views, (name, attrs, more) = index_plan(whole, mask if shape == mask._type.shape else mask.expand(shape))
    assert not views
    op = REGISTRY["grad." + name]
    return apply(op, (whole, *map(index_tensor, more)), attrs, "MaskedSelectBackward0")  # type: ignore[no-any-return]


def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, requires_grad: bool = False, **kw: Any) -> Tensor:
    """A copy of `data` in this tensor's dtype."""
    return tensor(data, dtype=wanted(dtype, self._type.dtype), requires_grad=requires_grad)


def new_zeros(self: Tensor, *size: Any, dtype: Any = None, requires_grad: bool = False, **kw: Any) -> Tensor:
    """Zeros in this tensor's dtype."""
    return zeros(*size, dtype=wanted(dtype, self._type.dtype), requires_grad=requires_grad)


def new_ones(self: Tensor, *size: Any, dtype: Any = None, requires_grad: bool = False, **kw: Any) -> Tensor:
    """Ones in this tensor's dtype."""
    return ones(*size, dtype=wanted(dtype, self._type.dtype), requires_grad=requires_grad)


def new_empty(self: Tensor, *size: Any, dtype: Any = None, requires_grad: bool = False, **kw: Any) -> Tensor:
    """A tensor in this tensor's dtype whose elements are not set."""
    return empty(*size, dtype=wanted(dtype, self._type.dtype), requires_grad=requires_grad)


def new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """One value everywhere, in this tensor's dtype."""
    return full(size, fill_value, dtype=wanted(dtype, self._type.dtype), requires_grad=requires_grad)


def resize_(self: Tensor, *size: Any, **kw: Any) -> Tensor:
    """A new extent in place; grows with zeros. Refused where a gradient is wanted, as in torch."""
    if self.requires_grad:
        raise GradRuntimeError("cannot resize variables that require grad")
    shape = sizes(size, "resize_")
    if self._view is not None or not self.is_contiguous():
        raise UnsupportedError("resize_: only tensors that are no views and lie row-major can be resized")
    old = self._array.reshape(-1)
    grown = np.zeros(int(np.prod(shape, dtype=np.int64)), old.dtype)
    grown[: old.size] = old[: grown.size]
    self._array = grown.reshape(shape)
    self._type = tensor_type(shape, self._type.dtype)
    self._storage.root = self._array
    return self


def set_(self: Tensor, source: Tensor) -> Tensor:
    """Take over the memory of another tensor."""
    if not isinstance(source, Tensor):
        raise GradTypeError(f"set_(): argument 'source' (position 1) must be Tensor, not {type(source).__name__}")
    check_target(self)
    self._array, self._storage, self._type = source._array, source._storage, source._type
    return self


def apply_(self: Tensor, function: Any) -> Tensor:
    """Overwrite each element by a Python function of it."""
    if self.requires_grad:
        raise GradRuntimeError("Can't call apply_() on Variable that requires grad. Use var.detach().apply_() instead.")
    values = [function(v) for v in self._data("apply_()").reshape(-1).tolist()]
    return self.copy_(tensor(values, dtype=self._type.dtype).reshape(self._type.shape))  # type: ignore[no-any-return]


def random_(self: Tensor, *bounds: int, generator: Any = None) -> Tensor:
    """Overwrite with random integers from `from` (0) up to `to`."""
    from .sampling import randint

    low, high = (0, 1 << 24) if not bounds else (0, bounds[0]) if len(bounds) == 1 else bounds
    return self.copy_(randint(low, high, self._type.shape, generator=generator))  # type: ignore[no-any-return]


def bernoulli_(self: Tensor, p: float = 0.5, *, generator: Any = None) -> Tensor:
    """Overwrite with ones, with probability `p`, and zeros."""
    from .sampling import rand

    return self.copy_(rand(self._type.shape, generator=generator) < p)  # type: ignore[no-any-return]


def _restrided(name: str) -> Any:
    """unsqueeze_, squeeze_, t_, transpose_: the tensor itself becomes the view."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if current_trace() is not None:
            raise UnsupportedError(f"{name}_ while tracing: use {name}(), which gives a new tensor")
        check_target(self)
        new = getattr(self, name)(*args, **kwargs)
        self._array, self._type = new._array, new._type
        self._storage.version += 1
        if new._node is not None:
            self._node, self._output_nr = new._node, new._output_nr
        if self._view is not None:
            self._view = new._view
        return self

    method.__name__ = name + "_"
    method.__doc__ = f"Like {name}, in place."
    return method


def share_memory_(self: Tensor) -> Tensor:
    """This tensor."""
    return self


class UntypedStorage:
    """The block of memory behind a tensor: `a.untyped_storage().data_ptr()` says whether two tensors share it."""

    def __init__(self, of: Tensor) -> None:
        self._cell = of._storage

    def data_ptr(self) -> int:
        return self._cell.pointer

    def nbytes(self) -> int:
        return int(self._cell.root.nbytes)

    size = nbytes

    def __len__(self) -> int:
        return self.nbytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and self._cell is other._cell

    def __hash__(self) -> int:
        return id(self._cell)


METHODS: dict[str, Any] = {
    "__matmul__": matmul,
    "__pos__": positive,
    "positive": positive,
    "is_nonzero": is_nonzero,
    "is_same_size": is_same_size,
    "is_signed": is_signed,
    "get_device": get_device,
    "nonzero": nonzero,
    "masked_select": masked_select,
    "new_tensor": new_tensor,
    "new_zeros": new_zeros,
    "new_ones": new_ones,
    "new_empty": new_empty,
    "new_full": new_full,
    "resize_": resize_,
    "set_": set_,
    "apply_": apply_,
    "random_": random_,
    "bernoulli_": bernoulli_,
    "share_memory_": share_memory_,
    "untyped_storage": lambda self: UntypedStorage(self),
    **{f"{n}_": _restrided(n) for n in ("unsqueeze", "squeeze", "t", "transpose", "swapaxes", "swapdims")},
}
FUNCTIONS = {"positive": positive, "is_nonzero": is_nonzero, "nonzero": nonzero, "masked_select": masked_select}
