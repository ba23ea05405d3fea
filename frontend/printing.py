"""torch's text of a tensor: one number format for all elements, aligned columns, long ones summarised."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradc.ir.errors import GradTypeError
from gradc.ir.types import i1, i64

from .defaults import DEFAULTS
from .storage import Array
from .tensor import Tensor


class _Options:
    """What `set_printoptions` changes."""

    def __init__(self) -> None:
        self.precision, self.edgeitems, self.linewidth = 4, 3, 80
        self.threshold: float = 1000
        self.sci_mode: bool | None = None


OPTIONS = _Options()
_PROFILES: dict[str, dict[str, float]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors print from now on."""
    if profile is not None:
        if profile not in _PROFILES:
            raise GradTypeError(f"set_printoptions: profile must be one of {', '.join(_PROFILES)}, got {profile!r}")
        for name, value in _PROFILES[profile].items():
            setattr(OPTIONS, name, value)
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, new in given.items():
        if new is not None:
            setattr(OPTIONS, name, new)
    OPTIONS.sci_mode = sci_mode


class _Formatter:
    """The one format for all elements: decided by those that will be seen."""

    def __init__(self, array: Array, is_float: bool) -> None:
        self.is_float = is_float
        self.integral, self.width = True, 1
        self.scientific: bool | None = False
        flat = array.reshape(-1)
        if not is_float:
            self.width = max([len(f"{v}") for v in flat.tolist()], default=1)
            return
        values = flat[np.isfinite(flat) & (flat != 0)].astype(np.float64)
        if values.size == 0:
            return
        size = np.abs(values)
        low, high = float(size.min()), float(size.max())
        self.integral = bool(np.all(np.ceil(values) == values))
        self.scientific = OPTIONS.sci_mode
        if OPTIONS.sci_mode is None:
            self.scientific = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
        kind = "e" if self.scientific else "f"
        places = 0 if self.integral and not self.scientific else OPTIONS.precision
        self.width = max(len(f"{v:.{places}{kind}}") for v in values.tolist())
        if places == 0 and self.integral and not self.scientific:
            self.width += 1  # the point

    def __call__(self, value: Any) -> str:
        if not self.is_float:
            text = f"{value}"
        elif self.scientific:
            text = f"{value:{self.width}.{OPTIONS.precision}e}"
        elif self.integral:
            text = f"{value:.0f}"
            if math.isfinite(value):
                text += "."
        else:
            text = f"{value:.{OPTIONS.precision}f}"
        return text.rjust(self.width)


def _edges(array: Array) -> Array:
    """The elements that a summary shows."""
    n = OPTIONS.edgeitems
    for axis, extent in enumerate(array.shape):
        if extent > 2 * n:
            keep = np.r_[0:n, extent - n : extent]
            array = np.take(array, keep, axis=axis)
    return array


def _vector(array: Array, indent: int, summarise: bool, form: Callable[[Any], str], width: int) -> str:
    per_line = max(1, math.floor((OPTIONS.linewidth - indent) / (width + 2)))
    n = OPTIONS.edgeitems
    if summarise and n == 0:
        parts = ["..."]
    elif summarise and array.shape[0] > 2 * n:
        parts = [*map(form, array[:n].tolist()), " ...", *map(form, array[-n:].tolist())]
    else:
        parts = [form(v) for v in array.tolist()]
    lines = [", ".join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(array: Array, indent: int, summarise: bool, form: Callable[[Any], str], width: int) -> str:
    if array.ndim == 0:
        return form(array.item())
    if array.ndim == 1:
        return _vector(array, indent, summarise, form, width)
    n = OPTIONS.edgeitems
    if summarise and array.shape[0] > 2 * n:
        head = [_nested(a, indent + 1, summarise, form, width) for a in array[:n]]
        tail = [_nested(a, indent + 1, summarise, form, width) for a in array[-n:]]
        parts = [*head, "...", *tail]
    else:
        parts = [_nested(a, indent + 1, summarise, form, width) for a in array]
    between = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
    return "[" + between.join(parts) + "]"


def values_text(array: Array, indent: int) -> str:
    """The nested brackets alone."""
    summarise = array.size > OPTIONS.threshold
    shown = _edges(array) if summarise else array
    is_float = array.dtype.kind not in "biu"
    if is_float and array.dtype.itemsize < 4:
        array, shown = array.astype(np.float32), shown.astype(np.float32)
    form = _Formatter(shown, is_float)
    return _nested(array, indent, summarise, form, form.width)


def tensor_text(t: Tensor) -> str:
    """`repr` of a tensor."""
    suffixes: list[str] = []
    d = t._type.dtype
    prefix = f"{t._prefix}("
    if t._traced is not None:
        return f"tensor(..., size={tuple(t.shape)}, dtype=torch.{d.torch_name}, traced)"
    has_default = d in (DEFAULTS.dtype, i64, i1)
    if t._type.numel == 0:
        if t.ndim != 1:
            suffixes.append(f"size={tuple(t.shape)}")
        if d is not DEFAULTS.dtype:
            suffixes.append(f"dtype=torch.{d.torch_name}")
        body = "[]"
    else:
        if not OPTIONS.edgeitems:
            suffixes.append(f"size={tuple(t.shape)}")
        if not has_default:
            suffixes.append(f"dtype=torch.{d.torch_name}")
        body = values_text(t._array, len(prefix))
    name = grad_fn_name(t)
    if name is not None:
        suffixes.append(f"grad_fn=<{name}>")
    elif t.requires_grad:
        suffixes.append("requires_grad=True")
    return _with_suffixes(prefix + body, suffixes, len(prefix))


def grad_fn_name(t: Tensor) -> str | None:
    from gradc.ir.errors import GradRuntimeError

    try:
        node = t.grad_fn
    except GradRuntimeError:
        return "Invalid"
    return None if node is None else type(node).__name__


def _with_suffixes(text: str, suffixes: Sequence[str], indent: int) -> str:
    last = len(text) - text.rfind("\n") + 1
    parts = [text]
    for s in suffixes:
        if last + len(s) + 2 > OPTIONS.linewidth:
            parts.append(",\n" + " " * indent + s)
            last = indent + len(s)
        else:
            parts.append(", " + s)
            last += len(s) + 2
    return "".join(parts) + ")"
