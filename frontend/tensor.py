"""Tensor: data or a value of a trace, and its place in the tape.

One class serves both: an eager tensor has `_array` (a strided view) of `_storage`; a traced one has `_traced` and no
data. Ops become methods in `surface.py`; conversions, indexing, writes and interchange are in files of their own.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from gradc.ir.dim import row_major
from gradc.ir.errors import GradTypeError, TraceError
from gradc.ir.types import DType, TensorType, tensor

from .size import Size
from .storage import Array, Storage, address, strides_of

if TYPE_CHECKING:
    from .autograd.node import Node
    from .autograd.view import ViewInfo
    from .operators import Operators
else:
    Operators = object


class Tensor(Operators):
    """A multi-dimensional array of one element type that can require a gradient."""

    _type: TensorType
    _array: Array
    _storage: Storage
    _traced: tuple[Any, int] | None = None
    _number: bool | int | float | None = None
    _requires_grad: bool = False
    _node: Node | None = None
    _output_nr: int = 0
    _grad: Tensor | None = None
    _accumulator: weakref.ref[Any] | None = None
    _leaf_hooks: Any = None
    _view: ViewInfo | None = None
    _retains: bool = False
    _inference: bool = False

    _prefix: str = "tensor"
    _version: int

    __array_priority__ = 1000

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_prefix" not in cls.__dict__:
            cls._prefix = cls.__name__

    def __new__(cls, data: Any = None, *args: Any, **kwargs: Any) -> Any:
        from .creation import legacy_constructor

        return legacy_constructor(cls, data, *args)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Everything is done in `__new__`, so that subclasses with other parameters need no protocol."""

    @classmethod
    def _make(
        cls, type_: TensorType, array: Array, storage: Storage, node: Node | None = None, output_nr: int = 0
    ) -> Tensor:
        self: Tensor = object.__new__(cls)
        self._type, self._array, self._storage = type_, array, storage
        if node is not None:
            self._node, self._output_nr, self._requires_grad = node, output_nr, True
        return self

    @classmethod
    def _of(cls, array: Array, type_: TensorType | None = None) -> Tensor:
        """A new tensor that takes `array` over as its memory."""
        self: Tensor = object.__new__(cls)
        self._type = type_ if type_ is not None else type_of(array)
        self._array = array
        self._storage = Storage(array)
        return self

    @classmethod
    def _traced_value(cls, type_: TensorType, trace: Any, value: int) -> Tensor:
        """A value of a trace: no data."""
        self: Tensor = object.__new__(cls)
        self._type = type_
        self._traced = (trace, value)
        return self

    def __getattr__(self, name: str) -> Any:
        if name in ("_array", "_storage"):
            if self._traced is not None:
                self._traced[0].refuse("the data of a tensor")
            raise TraceError("a traced value was used outside of its trace")
        from gradc.ir.errors import GradAttributeError

        raise GradAttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def _data(self, what: str) -> Array:
        """The array, for a reader that a trace cannot follow."""
        if self._traced is not None:
            self._traced[0].refuse(what)
        from .dispatch import current_trace

        trace = current_trace()
        if trace is not None:
            trace.freeze(self, what)
        return self._array

    def _wrapped_number(self) -> Tensor:
        """The Python number this operand was, as torch wraps it: int64, float64 or bool."""
        return Tensor._of(np.asarray(self._number))

    # -- what is known without data ----------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        return Size(self._type.shape)

    @property
    def dtype(self) -> DType:
        return self._type.dtype

    @property
    def ndim(self) -> int:
        return len(self._type.shape)

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self._type.shape)

    ndimension = dim

    def size(self, dim: int | None = None) -> Any:
        """All extents as a Size, or that of one dimension."""
        if dim is None:
            return self.shape
        from gradc.ir.dim import normalize_axis

        if not self._type.shape:
            raise index_error_scalar()
        return self._type.shape[normalize_axis(dim, self.ndim)]

    def numel(self) -> int:
        """The number of elements."""
        return self._type.numel

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self._type.dtype.itemsize

    @property
    def itemsize(self) -> int:
        return self._type.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._type.nbytes

    @property
    def device(self) -> Any:
        from .device import CPU

        return CPU

    @property
    def layout(self) -> Any:
        from .infos import strided

        return strided

    @property
    def is_cuda(self) -> bool:
        return False

    @property
    def is_sparse(self) -> bool:
        return False

    def is_floating_point(self) -> bool:
        return self._type.dtype.is_float

    def is_complex(self) -> bool:
        return False

    def __len__(self) -> int:
        if not self._type.shape:
            raise GradTypeError("len() of a 0-d tensor")
        return self._type.shape[0]

    # -- memory ------------------------------------------------------------------------------------------------------

    def stride(self, dim: int | None = None) -> Any:
        """Steps between neighbours of each dimension, in elements."""
        strides = strides_of(self._array) if self._traced is None else self._traced[0].strides(self)
        return strides if dim is None else strides[dim]

    def storage_offset(self) -> int:
        array = self._data("storage_offset()")
        return (address(array) - self._storage.pointer) // array.dtype.itemsize if array.size else 0

    def data_ptr(self) -> int:
        """The address of the first element."""
        return address(self._data("data_ptr()"))

    def is_contiguous(self) -> bool:
        if self._traced is not None:
            shape = self._type.shape
            return all(d == 1 or s == r for d, s, r in zip(shape, self.stride(), row_major(shape), strict=True))
        return self._array.flags.c_contiguous

    @property
    def _base(self) -> Tensor | None:
        return None if self._view is None else self._view.base

    def _is_view(self) -> bool:
        return self._view is not None

    def is_inference(self) -> bool:
        return self._inference

    def __hash__(self) -> int:
        return id(self)

    def __iter__(self) -> Iterator[Tensor]:
        if not self._type.shape:
            raise GradTypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __reversed__(self) -> Tensor:
        return self.flip(0) if self._type.shape else self

    def __repr__(self) -> str:
        from .printing import tensor_text

        return tensor_text(self)

    def __format__(self, spec: str) -> str:
        if self.ndim == 0 and self._traced is None:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *self.__dict__} - {"_array", "_storage"})


def type_of(array: Array) -> TensorType:
    from gradc.ir.types import dtype

    return tensor(array.shape, dtype(array.dtype))


def index_error_scalar() -> Exception:
    from gradc.ir.errors import GradIndexError

    return GradIndexError("Dimension specified as 0 but tensor has no dimensions")


def is_tensor(value: Any) -> bool:
    """True for gradc tensors."""
    return isinstance(value, Tensor)
