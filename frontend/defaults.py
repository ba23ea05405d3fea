"""Process-wide settings with torch's names: the default floating dtype."""

from __future__ import annotations

from typing import Any

from gradc.ir.errors import GradTypeError
from gradc.ir.types import DType, dtype, f32


class _Defaults:
    """What `set_default_dtype` changes."""

    dtype: DType = f32


DEFAULTS = _Defaults()


def get_default_dtype() -> DType:
    """The dtype of tensors made from Python floats."""
    return DEFAULTS.dtype


def set_default_dtype(d: Any) -> None:
    """Make `d` the dtype of tensors made from Python floats."""
    d = dtype(d)
    if not d.is_float:
        raise GradTypeError(f"only floating-point types are supported as the default type, got {d!r}")
    DEFAULTS.dtype = d
