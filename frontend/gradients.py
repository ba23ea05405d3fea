"""Tensor's gradient side: requires_grad, grad, grad_fn, hooks, detach, backward."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from gradc.ir.errors import GradAttributeError, GradRuntimeError, GradTypeError

from . import refusals, tensor_hooks
from .autograd.grad_mode import MODES
from .autograd.node import Node
from .autograd.saved import type_name
from .autograd.view import regenerate
from .dispatch import current_trace
from .tensor import Tensor

_NON_LEAF_GRAD = (
    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
    "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
    "Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure you "
    "access the leaf Tensor instead. See github.com/pytorch/pytorch/pull/30531 for more informations."
)


_NOT_A_LEAF = "you can only change requires_grad flags of leaf variables."
_DETACH = (
    "If you want to use a computed variable in a subgraph that doesn't require differentiation use "
    "var_no_grad = var.detach()."
)
_C_NAMES = {"f64": "double", "f32": "float", "i64": "long", "i32": "int", "f16": "c10::Half", "bf16": "c10::BFloat16"}


def get_requires_grad(self: Tensor) -> bool:
    return self._requires_grad or (self._view is not None and self._view.base._requires_grad)


def set_requires_grad(self: Tensor, value: bool, kinds: str = "floating point and complex") -> None:
    if not isinstance(value, bool):
        raise GradRuntimeError("requires_grad must be a bool")
    if not self.is_leaf:
        raise GradRuntimeError(_NOT_A_LEAF if value else f"{_NOT_A_LEAF} {_DETACH}")
    if value and not self._type.dtype.is_float:
        raise GradRuntimeError(f"only Tensors of {kinds} dtype can require gradients")
    if self._traced is not None and self._requires_grad and not value:
        refusals.once("requires_grad = False", "pass the detached tensor", self._traced[0].loc())
    if value and self._inference and not MODES.inference:
        raise GradRuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
    self._requires_grad = value


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Start (or stop) recording what is done with this leaf."""
    if not isinstance(requires_grad, bool):
        kind = type(requires_grad).__name__
        raise GradTypeError(f"requires_grad_(): argument 'requires_grad' (position 1) must be bool, not {kind}")
    if not requires_grad or self.is_leaf:
        set_requires_grad(self, requires_grad, "floating point")
    return self


def get_grad_fn(self: Tensor) -> Node | None:
    if self._view is not None:
        regenerate(self)
    return self._node


def _shown_grad_fn(self: Tensor) -> Node | None:
    if self._traced is not None and not get_is_leaf(self):
        self._traced[0].refuse("grad_fn")
    return get_grad_fn(self)


def get_version(self: Tensor) -> int:
    if self._inference:
        raise GradRuntimeError("Inference tensors do not track version counter.")
    return self._storage.version


def get_is_leaf(self: Tensor) -> bool:
    if self._traced is not None and self._requires_grad:
        trace, v = self._traced
        return v in trace.leaf_ids or v not in trace.active
    return get_grad_fn(self) is None


def get_grad(self: Tensor) -> Tensor | None:
    trace = current_trace()
    if trace is not None:
        return trace.grads.get(self)  # type: ignore[no-any-return]
    if self._grad is None and not self._retains and self._requires_grad and not get_is_leaf(self):
        warnings.warn(_NON_LEAF_GRAD, UserWarning, stacklevel=2)
    return self._grad


def set_grad(self: Tensor, value: Tensor | None) -> None:
    if value is None:
        _put_grad(self, None)
        return
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        raise GradTypeError(f"assigned grad expected to be a Tensor or None but got grad of type {kind}")
    if value is self:
        raise GradRuntimeError("can't assign Variable as its own grad")
    if value._type.dtype is not self._type.dtype:
        raise GradRuntimeError(
            f"attempting to assign a gradient with dtype '{_C_NAMES.get(value.dtype.name, value.dtype.torch_name)}' "
            f"to a tensor with grad_dtype '{type_name(self.dtype)}'. The gradient must match the tensor's grad_dtype "
            "(defaults to the tensor's dtype). You can set the tensor's grad_dtype attribute with a specific dtype, "
            "or None to allow any dtype. Set grad_dtype with caution. Diverging the dtypes of a tensor and its "
            "gradient may break downstream systems that assume they match."
        )
    if value._type.shape != self._type.shape:
        raise GradRuntimeError(
            f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size '{list(self.shape)}'. "
            "Please ensure that the gradient and the tensor are the same size"
        )
    _put_grad(self, value)


def _put_grad(self: Tensor, value: Tensor | None) -> None:
    trace = current_trace()
    if trace is None:
        self._grad = value
    else:
        trace.grads.set(self, value)


def del_grad(self: Tensor) -> None:
    _put_grad(self, None)


def detach(self: Tensor) -> Tensor:
    """A tensor on the same memory, with the same write counter, that is not part of the tape."""
    trace = current_trace()
    if trace is not None or self._traced is not None:
        from gradc.ir.op import REGISTRY

        from .dispatch import apply

        return apply(REGISTRY["grad.detach"], (self,), {})  # type: ignore[no-any-return]
    out = Tensor._make(self._type, self._array, self._storage)
    out._inference = self._inference
    return out


def detach_(self: Tensor) -> Tensor:
    """Cut this tensor itself out of the tape."""
    trace = current_trace()
    if trace is not None:
        if self._traced is not None or self.requires_grad:
            trace.write(self, detach(self))
        return self
    if self._view is not None and self._view.base is not None:
        raise GradRuntimeError(
            "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for "
            "training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence "
            "detach_() cannot be called on these gradients. To fix this error, please refer to the "
            "Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution."
        )
    self._node, self._output_nr, self._requires_grad, self._retains = None, 0, False, False
    return self


def backward(
    self: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradient of this tensor with respect to every leaf that made it to the leaf's `.grad`."""
    if self._traced is not None:
        from .derive import backward as traced

        traced(self._traced[0], self, gradient, create_graph, create_graph if retain_graph is None else retain_graph)
        return
    from .autograd.api import backward as run

    run(self, gradient, retain_graph, create_graph, inputs=inputs)


def read_only(name: str, read: Callable[[Tensor], Any]) -> property:
    """A property that is refused as torch does when it is assigned to."""

    def refuse(self: Tensor, value: Any) -> None:
        raise GradAttributeError(f"attribute '{name}' of 'torch._C.TensorBase' objects is not writable")

    return property(read, refuse)


METHODS = {
    "requires_grad_": requires_grad_,
    **tensor_hooks.METHODS,
    "detach": detach,
    "detach_": detach_,
    "backward": backward,
}
PROPERTIES = {
    "requires_grad": property(get_requires_grad, set_requires_grad),
    "grad_fn": read_only("grad_fn", _shown_grad_fn),
    "is_leaf": read_only("is_leaf", get_is_leaf),
    "grad": property(get_grad, set_grad, del_grad),
    "retains_grad": read_only("retains_grad", lambda self: self._retains),
    "output_nr": read_only("output_nr", lambda self: self._output_nr),
    "_version": read_only("_version", get_version),
}
