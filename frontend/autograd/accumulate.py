"""The end of every path: adding a gradient into the `.grad` of a leaf."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradc.ir.errors import GradRuntimeError

from .grad_mode import MODES
from .node import Edge, Node

if TYPE_CHECKING:
    from ..tensor import Tensor


class AccumulateGrad(Node):
    """Adds what arrives to `variable.grad`. Runs before any other ready node."""

    __slots__ = ("variable",)

    def __init__(self, variable: Tensor) -> None:
        super().__init__((), (variable._type,))
        self.variable = variable
        self.sequence = 1 << 62

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        new = cts[0]
        if new is None or not self.variable._requires_grad:
            return ()
        variable = self.variable
        old = variable._grad
        if MODES.grad and new.requires_grad:
            variable._grad = _owned(new.detach(), variable).copy_(new) if old is None else old + new
        elif old is None:
            variable._grad = _owned(new, variable)
        elif MODES.grad:
            variable._grad = old + new
        else:
            from ..inplace import add_into

            add_into(old, new)
        hooks = variable._leaf_hooks
        if hooks is not None:
            for hook in list(hooks.post.values()):
                if hook(variable) is not None:
                    raise GradRuntimeError("Tensor post accumulate grad hooks should return None.")
        return ()


def _owned(new: Tensor, variable: Tensor) -> Tensor:
    """A copy in the layout of the variable, which the variable alone holds."""
    array = np.empty_like(variable._array, order="K")
    np.copyto(array, new._array)
    return type(new)._of(array, new._type)


def accumulator(variable: Tensor) -> AccumulateGrad:
    """The AccumulateGrad of a leaf; one while any graph refers to it."""
    node = None if variable._accumulator is None else variable._accumulator()
    if node is None:
        node = AccumulateGrad(variable)
        variable._accumulator = weakref.ref(node)
    return node


def edge_of(t: Tensor) -> Edge:
    """Where the gradient of this tensor flows to; None if it needs none."""
    node = t._node if t._view is None else t.grad_fn
    if node is not None:
        return node, t._output_nr
    if t._requires_grad:
        return accumulator(t), 0
    return None
