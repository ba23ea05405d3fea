"""What cannot be guarded: things that change as they are read, and contents too large to compare at each call."""

from __future__ import annotations

import sys
from types import BuiltinFunctionType
from typing import Any

import numpy as np

from .tensor import Tensor

BYTES = 4096
GENERATORS = (("random", "Random"), ("numpy.random", "Generator"), ("numpy.random", "RandomState"))
"""Module and class; a module that nothing has imported has no instances."""
DRAWING = {
    **dict.fromkeys(("random", "secrets", "numpy.random"), "which draws random numbers while tracing only"),
    **dict.fromkeys(("time",), "a clock, which is read while tracing only"),
}
"""Modules whose functions give another answer each time."""
BLIND = dict.fromkeys(
    ("globals", "eval", "exec", "input", "__import__"), "through which it may read what cannot be followed"
)
"""Builtins that hide what the code reads."""
SHAPES = ("shape", "ndim", "dtype", "size")
TORCH = ("shape", "ndim", "dtype", "device", "requires_grad")


def changes(value: Any) -> str | None:
    """Why a value cannot be read the same way twice; None where it can."""
    if isinstance(value, BuiltinFunctionType):
        owner = value.__self__
        if _generates(owner):
            return f"a {type(owner).__name__}, which changes as it is read and cannot be guarded"
        return DRAWING.get(getattr(owner, "__name__", ""))
    if isinstance(value, memoryview):
        return "a memoryview, whose contents cannot be guarded"
    if _generates(value) or hasattr(type(value), "__next__"):
        return f"a {type(value).__name__}, which changes as it is read and cannot be guarded"
    return None


def _generates(value: Any) -> bool:
    """Whether it draws random numbers."""
    loaded = [getattr(sys.modules[module], name) for module, name in GENERATORS if module in sys.modules]
    return isinstance(value, tuple(loaded))


def large(value: Any) -> str | None:
    """Why the contents of an array of another library cannot be compared; None where they can."""
    if isinstance(value, np.ndarray) and value.nbytes > BYTES:
        return f"an array of {value.nbytes:,} bytes whose contents cannot be guarded"
    if is_torch(value):
        return "a torch tensor, whose contents cannot be guarded"
    return None


def is_torch(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def facts_of(value: Any) -> tuple[str, ...]:
    """Attributes of an array that say nothing of its contents."""
    return SHAPES if isinstance(value, np.ndarray) else TORCH if is_torch(value) else ()


def metadata(value: Any) -> Any:
    """What code may read of a tensor besides its data."""
    if not isinstance(value, Tensor):
        return None
    return value._type, value.requires_grad, None if value._traced is not None else value._array.strides
