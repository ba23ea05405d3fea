"""Views: what they are views of, and how writes through them enter the tape.

A view knows its base (never itself a view) and the chain of view ops that leads there. After a write through any of the
views, the base's history becomes `CopySlices`, and each view's own history is made anew from the base when it is
asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradc.ir.build import Var
from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import Op
from gradc.ir.pullback import pullback
from gradc.ir.types import TensorType

from ..storage import Array
from ..tensor import Tensor
from .accumulate import edge_of
from .grad_mode import MODES
from .node import Edge, Node
from .saved import FREED

DEFAULT, NO_GRAD, MULTI_OUTPUT, INFERENCE, CUSTOM = "default", "no_grad", "multi_output", "inference", "custom"


SEVERAL = frozenset({"UnbindBackward0", "SplitBackward0", "SplitWithSizesBackward0", "ChunkBackward0"})
"""Nodes of ops that give several views at once."""


class Step(NamedTuple):
    """One view op on the way from the base; `type` is that of its operand."""

    op: Op
    attrs: dict[str, Any]
    type: TensorType


class ViewInfo:
    """`version`: the write count of the memory when the view's own node was made. `made` says under which mode the
    view came into being, which decides whether writing to it can be recorded; `output` is its place among the results
    of the function that made it and that function's name."""

    __slots__ = ("base", "made", "output", "steps", "version")

    def __init__(self, base: Tensor, steps: tuple[Step, ...], version: int, made: str = DEFAULT) -> None:
        self.base, self.steps, self.version, self.made = base, steps, version, made
        self.output: tuple[int, str] = (0, "")


def as_view(op: Op, array: Array, type_: TensorType, of: Tensor, attrs: dict[str, Any], grad_fn: str | None) -> Tensor:
    """The result of a view op on `of`: shares its memory where NumPy could, else a copy of its own."""
    if array is not of._array and not np.may_share_memory(array, of._array) and array.size:
        return Tensor._of(array, type_)
    if array is of._array:
        array = array[...]
    out = Tensor._make(type_, array, of._storage)
    if of._inference:
        out._inference = True
    parent = of._view
    step = Step(op, attrs, of._type)
    if MODES.grad:
        made = MULTI_OUTPUT if grad_fn in SEVERAL else DEFAULT
    else:
        made = INFERENCE if MODES.inference else NO_GRAD
    if parent is None:
        out._view = ViewInfo(of, (step,), of._storage.version, made)
    else:
        if parent.made != DEFAULT and made == DEFAULT:
            made = parent.made
        out._view = ViewInfo(parent.base, (*parent.steps, step), of._storage.version, made)
    return out


def follow(array: Array, steps: Sequence[Step]) -> Array:
    """The chain of views on another array of the base's shape."""
    for s in steps:
        assert s.op.numpy is not None
        array = s.op.numpy(array, **s.attrs)
    return array


def follow_tensor(t: Tensor, steps: Sequence[Step]) -> Tensor:
    from ..eager import apply

    for s in steps:
        t = apply(s.op, (t,), s.attrs)
    return t


class AsStridedBackward0(Node):
    """The history of a view after a write: back through the chain of views to the base."""

    __slots__ = ("steps",)

    def __init__(self, edge: Edge, type_: TensorType, steps: tuple[Step, ...]) -> None:
        super().__init__((edge,), (type_,))
        self.steps = steps

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        from ..eager import BUILDER

        if cts[0] is None:
            return (None,)
        ct: Any = Var(BUILDER, cts[0])
        for s in reversed(self.steps):
            ct = pullback(BUILDER, s.op, 0, (ct,), (None,), (s.type,), (None,), s.attrs)
        return (ct.v,)


class CopySlices(Node):
    """The base's history after a write through a view: `node` is the write as seen by the view."""

    __slots__ = ("node", "steps")

    def __init__(self, base: Tensor, steps: tuple[Step, ...], node: Node) -> None:
        super().__init__((edge_of(base), *node.edges[1:]), (base._type,))
        self.steps = steps
        self.node: Node | None = node

    def name(self) -> str:
        return "torch::autograd::CopySlices"

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        if self.node is None:
            raise GradRuntimeError(FREED)
        if cts[0] is None:
            return [None] * len(self.edges)
        whole = cts[0].clone()
        part = follow_tensor(whole, self.steps)
        inner = list(self.node.apply([part.clone()], wanted))
        if not wanted[0]:
            return [None, *inner[1:]]
        if inner[0] is None:
            part.zero_()
        else:
            part.copy_(inner[0])
        return [whole, *inner[1:]]

    def release(self) -> None:
        if self.node is not None:
            self.node.release()
        self.node = None


def regenerate(view: Tensor) -> None:
    """Make the view's node anew if the memory was written to since."""
    info = view._view
    assert info is not None
    if view._inference or (view._node is None and not info.base.requires_grad):
        return
    version = view._storage.version
    if info.made == NO_GRAD and info.version != version and info.base.requires_grad:
        raise GradRuntimeError(
            "A view was created in no_grad mode and its base or another view of its base has been modified inplace "
            "with grad mode enabled. Given that this use case is ambiguous and error-prone, it is forbidden. You "
            "can clarify your code by moving both the view and the inplace either both inside the no_grad block (if "
            "you don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
        )
    if info.made == MULTI_OUTPUT and info.version != version and info.base.requires_grad:
        nr, name = info.output
        raise GradRuntimeError(
            f"Output {nr} of {name} is a view and its base or another view of its base has been modified inplace. "
            "This view is the output of a function that returns multiple views. Such functions do not allow the output "
            "views to be modified inplace. You should replace the inplace operation by an out-of-place one."
        )
    if info.made == DEFAULT and info.version != version:
        edge = edge_of(info.base)
        if edge is not None:
            view._node, view._output_nr = AsStridedBackward0(edge, view._type, info.steps), 0
            view._requires_grad = True
        info.version = version
