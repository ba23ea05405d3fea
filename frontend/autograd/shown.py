"""What torch's nodes show and the op records do not: nodes of overloads that take a number have no edge for it, and
the sizes and defaults that torch saves are known here without being saved."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .node import OpNode

TENSORS_ONLY = frozenset(
    {"FmodBackward0", "RemainderBackward0", "RsubBackward1", "XlogyBackward1", "XlogyBackward2"}
    | {"IndexFillBackward0", "ScatterBackward1", "NotImplemented"}
)
"""Nodes with an edge for each tensor that wants a gradient and no other."""
REVERSED = frozenset({"RsubBackward0"})
"""Nodes whose op is recorded with its operands the other way round."""


def _sizes(node: OpNode) -> tuple[int, ...]:
    return tuple(node.types[0].shape)


def _dims(node: OpNode) -> Any:
    dims = node.attrs.get("dims")
    return tuple(dims) if dims is not None and len(dims) < len(node.types[0].shape) else _whole(node)


def _whole(node: OpNode) -> Any:
    return tuple(node.attrs["dims"]) if node.name() in ("SumBackward1", "MeanBackward1", "LogsumexpBackward0") else None


def unsigned(value: int) -> int:
    """A negative number as torch shows it where it keeps it without a sign."""
    return value % 2**64


def _ignored(node: OpNode) -> int:
    return unsigned(node.attrs["ignore_index"])


def _alpha(node: OpNode) -> int:
    return 1


_SIZES: dict[str, Callable[[OpNode], Any]] = {"self_sym_sizes": _sizes}
_NUMEL: dict[str, Callable[[OpNode], Any]] = {**_SIZES, "self_sym_numel": lambda node: prod(_sizes(node))}
CODES: dict[str, dict[Any, int]] = {"reduction": {"none": 0, "mean": 1, "sum": 2}}
"""Attributes that torch shows as the numbers of an enumeration."""
_ALPHA: dict[str, Callable[[OpNode], Any]] = {"alpha": _alpha}
_DIMS: dict[str, Callable[[OpNode], Any]] = {"dim": _dims}
_ONE_DIM: dict[str, Callable[[OpNode], Any]] = {"dim": lambda node: node.attrs["dims"][0]}

EXTRA: dict[str, dict[str, Callable[[OpNode], Any]]] = {
    **{f"{n}Backward0": _ALPHA for n in ("Add", "Sub", "Rsub")},
    "SumBackward0": _SIZES,
    "SumBackward1": {**_SIZES, **_DIMS},
    "MeanBackward0": _NUMEL,
    "MeanBackward1": {**_NUMEL, **_DIMS},
    "LogsumexpBackward0": _DIMS,
    "ProdBackward1": _ONE_DIM,
    **{n: {"ignore_index": _ignored} for n in ("NllLossBackward0", "NllLoss2DBackward0")},
    **{
        f"{n}Backward0": _SIZES
        for n in ("View", "Expand", "Select", "Slice", "Index", "Repeat", "Squeeze", "IndexSelect", "Diagonal", "Sort")
    },
    **{n: _SIZES for n in ("SqueezeBackward1", "MaxBackward0", "MinBackward0", "TopkBackward0", "MedianBackward1")},
}
"""By node: torch's `_saved_` names, without that prefix, and what they show."""
HIDDEN = {
    **{n: frozenset({"keepdim"}) for n in ("SumBackward0", "MeanBackward0", "ProdBackward0")},
    "SqueezeBackward0": frozenset({"dim"}),
    **{n: frozenset({"self", "other"}) for n in ("FmodBackward0", "RemainderBackward0")},
}
"""By node: what the record saves for another overload."""
