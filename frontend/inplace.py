"""Writes into tensors: the checks, the version, and the new history of what was written to."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError

from .autograd.grad_mode import MODES
from .autograd.node import Node
from .autograd.saved import Saved, SavedResult, type_name
from .autograd.view import CUSTOM, INFERENCE, MULTI_OUTPUT, NO_GRAD, CopySlices
from .dispatch import current_trace
from .storage import Array, writable
from .tensor import Tensor

_RANK = {"bool": 0, "int": 1, "float": 2}


def apply_inplace(target: Tensor, compute: Callable[[], Tensor]) -> Tensor:
    """`target.op_(...)`: computed out of place by the same record, then written."""
    trace = current_trace()
    if trace is not None:
        trace.write(target, compute())
        return target
    check_target(target)
    value = compute()
    check_result(target, value._type)
    node = value._node
    if node is not None:
        _keep_old_self(node, target)
    store(target, value._array)
    if node is not None:
        saved = _resaved_result(node, target)
        rebase(target, node)
        if saved is not None and target._view is not None and target._node is not None:
            saved.origin = weakref.ref(target._node)
    elif MODES.grad and target.requires_grad:
        rebase(target, _cut(target))
    return target


def check_target(target: Tensor) -> None:
    """Refuse what cannot be written to, in torch's sentences."""
    if target._inference and not MODES.inference:
        raise GradRuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a "
            "normal tensor before doing inplace update.See https://github.com/pytorch/rfcs/pull/17 for more details."
        )
    if not MODES.grad or not target.requires_grad:
        return
    view = target._view
    if view is not None:
        if view.made in _VIEW_REASONS:
            raise GradRuntimeError(_VIEW_REASONS[view.made].format(*view.output))
        if view.base.is_leaf and view.base.requires_grad:
            raise GradRuntimeError(
                "a view of a leaf Variable that requires grad is being used in an in-place operation."
            )
    if target.is_leaf:
        raise GradRuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


_SEVERAL = (
    "Output {} of {} is a view and is being modified inplace. This view is the output of a function that returns "
    "multiple views. Such functions do not allow the output views to be modified inplace. You should replace the "
    "inplace operation by an out-of-place one."
)
_NO_GRAD = (
    "A view was created in no_grad mode and is being modified inplace with grad mode enabled. Given that this use case "
    "is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace "
    "either both inside the no_grad block (if you don't want the inplace to be tracked) or both outside (if you want "
    "the inplace to be tracked)."
)
_CUSTOM = (
    "Output {} of {} is a view and is being modified inplace. This view was created inside a custom Function (or "
    "because an input was returned as-is) and the autograd logic to handle view+inplace would override the custom "
    "backward associated with the custom Function, leading to incorrect gradients. This behavior is forbidden. You can "
    "fix this by cloning the output of the custom Function."
)
_INFERENCE = (
    "A view was created in inference mode and is being modified inplace in normal mode. Given that this use case is "
    "ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace "
    "either both inside the inference_mode block (if you don't want the inplace to be tracked) or both outside (if you "
    "want the inplace to be tracked)."
)
_VIEW_REASONS = {MULTI_OUTPUT: _SEVERAL, NO_GRAD: _NO_GRAD, CUSTOM: _CUSTOM, INFERENCE: _INFERENCE}


def check_result(target: Tensor, got: Any) -> None:
    want = target._type
    if got.shape != want.shape:
        raise GradRuntimeError(
            f"output with shape {list(want.shape)} doesn't match the broadcast shape {list(got.shape)}"
        )
    if got.dtype is not want.dtype and _RANK[got.dtype.kind] > _RANK[want.dtype.kind]:
        raise GradRuntimeError(
            f"result type {type_name(got.dtype)} can't be cast to the desired output type {type_name(want.dtype)}"
        )


def store(target: Tensor, array: Array, counted: bool = True) -> None:
    """Overwrite the elements and count the write."""
    with np.errstate(all="ignore"):
        np.copyto(writable(target._array), array, casting="unsafe")
    if counted and not target._inference:
        target._storage.version += 1


def add_into(target: Tensor, other: Tensor) -> None:
    """`target += other`, not recorded (the sum in `.grad`)."""
    with np.errstate(all="ignore"):
        total = target._array + other._array
    store(target, total)


def _keep_old_self(node: Node, target: Tensor) -> None:
    """A rule that needs the value before the write gets a copy of it. As in torch that holds for the first operand
    only: `v.mul_(v)` cannot be differentiated."""
    operands = getattr(node, "operands", ())
    if operands and isinstance(operands[0], Saved) and operands[0].tensor is target:
        old = Tensor._make(target._type, target._array.copy(), target._storage, target.grad_fn, target._output_nr)
        old._storage = type(target._storage)(old._array)
        old._requires_grad = target.requires_grad
        operands[0] = Saved(old)


def _resaved_result(node: Node, target: Tensor) -> SavedResult | None:
    """A rule that needs the result reads it where it now lives: later writes there are noticed."""
    results = getattr(node, "results", ())
    if not results or results[0] is None:
        return None
    results[0] = SavedResult(target._array, target._storage, target._type, 0)
    return results[0]  # type: ignore[no-any-return]


def rebase(target: Tensor, node: Node, output_nr: int = 0) -> None:
    """`target` (and, through a view, its base) now comes from `node`."""
    view = target._view
    if view is None:
        _move_retained(target, node)
        target._node, target._output_nr, target._requires_grad = node, output_nr, True
        return
    base = view.base
    slices = CopySlices(base, view.steps, node)
    _move_retained(base, slices)
    base._node, base._output_nr, base._requires_grad = slices, 0, True
    target._requires_grad = True
    target.grad_fn  # noqa: B018 - made anew now, so that the view's node is older than what uses it


def _move_retained(target: Tensor, node: Node) -> None:
    """`retain_grad()` follows the tensor to its new node."""
    old = target._node
    if target._retains and old is not None and old.hooks is not None:
        ref = old.hooks.retain.pop(target._output_nr, None)
        if ref is not None:
            node._hooks().retain[0] = ref


def _cut(target: Tensor) -> Node:
    from .autograd.writes import ZeroBackward0

    return ZeroBackward0(target)
