"""The name of a value's type as torch's messages give it."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor


def typename(value: Any) -> str:
    """`torch.FloatTensor`, `int`, `package.module.Class`."""
    if isinstance(value, Tensor):
        return str(value.type())
    kind = value if hasattr(value, "__qualname__") else type(value)
    module = kind.__module__ or ""
    name: str = kind.__qualname__
    return name if module in ("", "builtins") else f"{module}.{name}"
