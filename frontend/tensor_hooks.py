"""Tensor's hooks: `register_hook`, `register_post_accumulate_grad_hook`, `retain_grad`. While tracing they are refused:
they would run with traced values, once, and not in the calls that follow."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from gradc.ir.errors import GradRuntimeError

from . import refusals
from .autograd.hooks import HookTable, RemovableHandle
from .dispatch import current_trace
from .tensor import Tensor


class LeafHooks:
    """Hooks of a leaf, which outlive the AccumulateGrad nodes of any one graph."""

    __slots__ = ("post", "pre")

    def __init__(self) -> None:
        self.pre, self.post = HookTable(), HookTable()


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of a tensor that is not a leaf in its `.grad`."""
    if not self.requires_grad:
        raise GradRuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if not self.is_leaf:
        _not_in_trace("retain_grad()")
    node = self.grad_fn
    if node is None or self._retains:
        return
    node._hooks().retain[self._output_nr] = weakref.ref(self)
    self._retains = True


def register_hook(self: Tensor, hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(grad)` with every gradient of this tensor; what it returns replaces the gradient."""
    if not self.requires_grad:
        raise GradRuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    _not_in_trace("register_hook()")
    node = self.grad_fn
    if node is None:
        return _leaf_hooks(self).pre.add(hook)
    handle: RemovableHandle = node._hooks().tensor.setdefault(self._output_nr, HookTable()).add(hook)
    return handle


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(tensor)` after a gradient was added to this leaf's `.grad`."""
    if not self.requires_grad:
        raise GradRuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if not self.is_leaf:
        raise GradRuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    _not_in_trace("register_post_accumulate_grad_hook()")
    return _leaf_hooks(self).post.add(hook)


def _not_in_trace(what: str) -> None:
    trace = current_trace()
    if trace is not None:
        refusals.once(what, "call it on the arguments or the result of the compiled function", trace.loc())


def _leaf_hooks(self: Tensor) -> LeafHooks:
    if self._leaf_hooks is None:
        self._leaf_hooks = LeafHooks()
    hooks: LeafHooks = self._leaf_hooks
    return hooks


METHODS = {
    "retain_grad": retain_grad,
    "register_hook": register_hook,
    "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
}
