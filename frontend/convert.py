"""Tensor methods that give the same elements in another dtype, layout or place."""

from __future__ import annotations

from typing import Any

from gradc.ir.errors import GradTypeError, UnsupportedError
from gradc.ir.op import REGISTRY
from gradc.ir.types import DType, bf16, f16, f32, f64, i1, i8, i16, i32, i64, u8
from gradc.ir.types import dtype as as_dtype

from .autograd.saved import TYPE_NAMES
from .device import check_device, device
from .dispatch import apply
from .tensor import Tensor


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`to(dtype)`, `to(other)`, `to("cpu")`: this very tensor if nothing changes."""
    want: DType | None = None
    copy = bool(kwargs.get("copy", False))
    for a in (*args, kwargs.get("dtype"), kwargs.get("device"), kwargs.get("other")):
        if isinstance(a, Tensor):
            want = a._type.dtype
        elif isinstance(a, bool):
            continue  # non_blocking, copy by position
        elif isinstance(a, (str, device)):
            check_device(a)
        elif a is not None:
            try:
                want = as_dtype(a)
            except GradTypeError:
                kind = type(a).__name__
                raise GradTypeError(f"to() received an invalid combination of arguments - got ({kind})") from None
    if want is not None and want is not self._type.dtype:
        return apply(REGISTRY["grad.convert"], (self,), {"dtype": want})  # type: ignore[no-any-return]
    return self.clone() if copy else self


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor's type, or the tensor converted."""
    if dtype is None:
        from .autograd.saved import type_name

        return f"torch.{type_name(self._type.dtype)}Tensor"
    if isinstance(dtype, str) and dtype in _TYPES:
        return to(self, _TYPES[dtype])
    return to(self, as_dtype(dtype))


_TYPES = {f"torch.{name}Tensor": as_dtype(short) for short, name in TYPE_NAMES.items()}


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """Converted to the dtype of another tensor."""
    return to(self, other._type.dtype)


def _caster(name: str, want: DType) -> Any:
    def cast(self: Tensor) -> Tensor:
        return to(self, want)

    cast.__name__ = name
    cast.__doc__ = f"The elements as {want.torch_name}; this very tensor if they are."
    return cast


def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """This tensor: eager tensors live on the CPU."""
    return self


def cuda(self: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """Refused: eager tensors live on the CPU."""
    raise UnsupportedError(
        "cuda(): eager tensors live on the CPU; build the function with gradc.build(..., target='cuda:90') and pass it "
        "GPU arrays"
    )


def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """This tensor if its elements lie row-major, else a row-major copy."""
    return self if self.is_contiguous() else self.clone(memory_format="contiguous")


METHODS: dict[str, Any] = {
    "to": to,
    "type": type_,
    "type_as": type_as,
    "cpu": cpu,
    "cuda": cuda,
    "contiguous": contiguous,
    **{
        name: _caster(name, d)
        for name, d in {
            "float": f32,
            "double": f64,
            "half": f16,
            "bfloat16": bf16,
            "long": i64,
            "int": i32,
            "short": i16,
            "char": i8,
            "byte": u8,
            "bool": i1,
        }.items()
    },
}
