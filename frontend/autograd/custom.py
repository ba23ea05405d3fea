"""The tape node of a user's Function."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradc.ir.errors import GradAttributeError, GradRuntimeError
from gradc.ir.types import TensorType

from .node import Node
from .saved import SavedResult

if TYPE_CHECKING:
    from ..tensor import Tensor


class CustomNode(Node):
    """Calls the function's backward. It shows the attributes that forward left on `ctx`, as torch's nodes do."""

    __slots__ = ("ctx", "function", "in_types")

    ctx: Any
    function: Any
    in_types: tuple[TensorType | None, ...]

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        from ..creation import zeros

        ctx, function = self.ctx, self.function
        ctx._node = weakref.ref(self)
        if ctx.materialize_grads:
            cts = [
                zeros(t.shape, dtype=t.dtype) if c is None and t is not None else c
                for c, t in zip(cts, self.out_types, strict=True)
            ]
        out = function.pull_back(ctx, *cts)
        grads = list(out) if isinstance(out, (tuple, list)) else [out]
        return checked_gradients(self.name(), grads, self.edges, self.in_types)

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """As torch shows it: arguments that are no tensors are left out."""
        pairs = zip(super().next_functions, self.in_types, strict=True)
        return tuple(pair for pair, t in pairs if t is not None)

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{type(self).__name__} object at {id(self):#x}>"

    def release(self) -> None:
        if self.ctx._saved:
            self.ctx._saved = None

    def __getattr__(self, name: str) -> Any:
        if name in self.__slots__:
            raise GradAttributeError(f"{name} is not set")
        if name == "saved_tensors":
            self.ctx._node = weakref.ref(self)
        try:
            return getattr(self.ctx, name)
        except AttributeError:
            raise GradAttributeError(f"'{type(self).__name__}' object has no attribute '{name}'") from None


def saved_output(out: Tensor) -> SavedResult:
    return SavedResult(out._array, out._storage, out._type, out._output_nr)


def checked_gradients(
    name: str, grads: list[Any], edges: Sequence[Any], types: Sequence[TensorType | None]
) -> list[Tensor | None]:
    """The gradients a user's backward gave, in number, kind, shape and dtype as the inputs want them."""
    from gradc.ir.build import Var
    from gradc.ir.pullback import match

    from ..eager import BUILDER
    from ..tensor import Tensor

    if len(grads) > len(edges) and all(g is None for g in grads[len(edges) :]):
        grads = grads[: len(edges)]
    if len(grads) != len(edges):
        raise GradRuntimeError(
            f"function {name} returned an incorrect number of gradients (expected {len(edges)}, got {len(grads)})"
        )
    out: list[Tensor | None] = []
    for i, (g, edge, want) in enumerate(zip(grads, edges, types, strict=True)):
        if g is not None and not isinstance(g, Tensor):
            raise GradRuntimeError(f"expected Variable or None (got {type(g).__name__})")
        if g is not None and want is None:
            raise GradRuntimeError(
                f"function {name} returned a gradient different than None at position {i + 1}, but the corresponding "
                "forward input was not a Variable"
            )
        if g is None or edge is None or want is None:
            out.append(None)
            continue
        got = g._type
        if got.shape != want.shape and not _expandable(want.shape, got.shape):
            raise GradRuntimeError(
                f"Function {name} returned an invalid gradient at index {i} - got {list(got.shape)} but expected shape "
                f"compatible with {list(want.shape)}"
            )
        out.append(g if got == want else match(BUILDER, Var(BUILDER, g), want).v)
    return out


def _expandable(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    lead = len(large) - len(small)
    return lead >= 0 and all(d in (1, large[i + lead]) for i, d in enumerate(small))
