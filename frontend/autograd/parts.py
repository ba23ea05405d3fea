"""The tape node of an op that gives several views at once: unbind, split and chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from gradc.ir.errors import GradAttributeError
from gradc.ir.op import REGISTRY
from gradc.ir.types import TensorType

from .node import Edge, Node, OpNode, node_class

if TYPE_CHECKING:
    from ..tensor import Tensor


class PartsNode(Node):
    """Puts the gradients of the parts together again, with zeros for parts that have none."""

    __slots__ = ("dim", "joins", "saved")

    joins: str
    dim: int
    saved: dict[str, Any]

    def __init__(self, edge: Edge, out_types: tuple[TensorType, ...]) -> None:
        super().__init__((edge,), out_types)

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        from ..creation import zeros
        from ..eager import apply

        if all(c is None for c in cts):
            return (None,)
        parts = [zeros(t.shape, dtype=t.dtype) if c is None else c for c, t in zip(cts, self.out_types, strict=True)]
        return (apply(REGISTRY[self.joins], parts, {"dim": self.dim}),)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_saved_") or name not in self.saved:
            raise GradAttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return self.saved[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.saved]


def together(call: Callable[..., Any]) -> Callable[..., Any]:
    """The spelling of an op that gives several views: all of them come from one node."""

    @wraps(call)
    def several(op: Any, *args: Any, **kwargs: Any) -> Any:
        views = call(op, *args, **kwargs)
        first = views[0]._node if views else None
        if not isinstance(first, OpNode):
            return views
        node = node_class(type(first).__name__, PartsNode)(first.edges[0], tuple(v._type for v in views))
        size, attrs = first.types[0].shape, first.attrs
        node.dim = attrs["dim"]
        node.joins = "grad.stack" if "index" in attrs else "grad.cat"
        node.saved = {"_saved_dim": node.dim}
        if "index" not in attrs:
            node.saved["_saved_self_sym_sizes"] = size
            lengths = tuple(v._type.shape[node.dim] for v in views)
            sizes = node.name().startswith("SplitWithSizes")
            node.saved["_saved_split_sizes" if sizes else "_saved_split_size"] = lengths if sizes else lengths[0]
        for i, v in enumerate(views):
            v._node, v._output_nr = node, i
            v._view.output = (i, node.name().removesuffix("Backward0"))
        return views

    return several
