"""`gc.spec`: the type of an argument, where no array is at hand."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from typing import Any

from gradc.ir.errors import GradTypeError, GradValueError
from gradc.ir.types import DType, TensorType, dtype, tensor

_TEXT = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\[([^\[\]]*)\])?\s*")


class Spec:
    """Shape and element type of an argument, and whether its gradient is wanted."""

    __slots__ = ("requires_grad", "type")

    def __init__(self, type_: TensorType, requires_grad: bool = False) -> None:
        self.type, self.requires_grad = type_, requires_grad

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and (self.type, self.requires_grad) == (other.type, other.requires_grad)

    def __hash__(self) -> int:
        return hash((self.type, self.requires_grad))

    def __str__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"

    def __repr__(self) -> str:
        return f'spec("{self}"{", requires_grad=True" if self.requires_grad else ""})'


def size(value: Any) -> int:
    """One dimension of a shape; raises GradValueError or GradTypeError."""
    if isinstance(value, bool):
        raise GradTypeError(f"spec: a size must be an integer, got {value!r}")
    try:
        n = operator.index(value)
    except TypeError:
        if isinstance(value, float):
            raise GradValueError(f"spec: a size must be a whole number, got {value!r}") from None
        raise GradTypeError(f"spec: a size must be an integer, got {value!r} ({type(value).__name__})") from None
    if n < 0:
        raise GradValueError(f"spec: a size must not be negative, got {n}")
    return n


def spec(shape: str | int | Iterable[int] | Any, dtype_: Any = None, *, requires_grad: bool = False) -> Spec:
    """`gc.spec("f32[569,30]")`, `gc.spec((569, 30), "float32", requires_grad=True)`, or the spec of an array."""
    if isinstance(shape, Spec):
        return Spec(shape.type, shape.requires_grad or requires_grad)
    if isinstance(shape, str):
        if dtype_ is not None:
            raise GradTypeError(f"spec: {shape!r} names its element type already, got dtype {dtype_!r} too")
        match = _TEXT.fullmatch(shape)
        if match is None:
            raise GradValueError(f"spec: cannot read {shape!r}", hint='write "f32[569,30]", or "f32[]" for a scalar')
        sizes = [_parse_size(s, shape) for s in match[2].split(",")] if (match[2] or "").strip() else []
        t = tensor(tuple(sizes), dtype(match[1]))
    elif hasattr(shape, "shape") and hasattr(shape, "dtype"):
        return Spec(tensor(tuple(map(size, shape.shape)), _dtype_of(shape.dtype)), requires_grad)
    else:
        if isinstance(shape, dict) or not (hasattr(shape, "__index__") or isinstance(shape, float | Iterable)):
            raise GradTypeError(f"spec: a shape is a tuple of integers, got {shape!r}")
        dims = tuple(shape) if isinstance(shape, Iterable) else (shape,)
        t = tensor(tuple(map(size, dims)), dtype("f32" if dtype_ is None else dtype_))
    if requires_grad and not t.dtype.is_float:
        raise GradValueError(f"spec: only tensors of floating point dtype can require gradients, got {t}")
    return Spec(t, bool(requires_grad))


def _parse_size(text: str, whole: str) -> int:
    try:
        return size(int(text))
    except ValueError as e:
        if isinstance(e, GradValueError):
            raise
        raise GradValueError(f"spec: a size must be a whole number, got {text.strip()!r} in {whole!r}") from None


def _dtype_of(value: Any) -> DType:
    name = str(value)
    return dtype(name.removeprefix("torch.") if name.startswith("torch.") else value)
