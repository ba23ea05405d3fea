"""Ops of the user's own: subclasses of Function say how to run forward and how to pull a gradient back."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from gradc.ir.errors import GradRuntimeError, GradTypeError, UnsupportedError

from .accumulate import edge_of
from .custom import CustomNode, saved_output
from .grad_mode import MODES, no_grad
from .node import Node, node_class
from .saved import FREED, Saved
from .view import CUSTOM, ViewInfo


class FunctionCtx:
    """What forward leaves for backward. Other attributes may be set freely."""

    def __init__(self) -> None:
        self.to_save: tuple[Any, ...] = ()
        self.dirty_tensors: tuple[Any, ...] = ()
        self.non_differentiable: tuple[Any, ...] = ()
        self.materialize_grads = True
        self.needs_input_grad: tuple[bool, ...] = ()
        self._saved: list[Any] | None = []
        self._node: Any = None

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep inputs or outputs (or None) until backward, watched for writes."""
        self.to_save = tensors

    save_for_forward = save_for_backward

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs forward wrote to."""
        self.dirty_tensors = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs have no gradient."""
        self.non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """False: a missing gradient reaches backward as None, not as zeros."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was given to `save_for_backward`."""
        if self._saved is None:
            raise GradRuntimeError(FREED)
        node = self._node() if self._node is not None else None
        return tuple(None if s is None else s.unpack(node) for s in self._saved)


class Function:
    """Subclass it with static methods `forward(ctx, *args)` and `backward(ctx, *grads)` (or forward without ctx and
    `setup_context(ctx, inputs, output)`), and call `apply`."""

    node_name: str | None = None
    """The name of its tape nodes; its own name and "Backward" where it is not given."""

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise GradRuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd "
            "function with static forward method. (Example: "
            "https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The value; overridden by the subclass."""
        raise UnsupportedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Fills `ctx` after a forward that does not take one."""
        raise UnsupportedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """One gradient (or None) per argument of forward; overridden by the subclass."""
        raise UnsupportedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @classmethod
    def pull_back(cls, ctx: Any, *grads: Any) -> Any:
        """The user's `backward`, or `vjp`, which is another name for it."""
        rule = cls.backward if cls.vjp is Function.vjp else cls.vjp
        return rule(ctx, *grads)

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward; record the function if an argument requires grad."""
        from ..dispatch import current_trace
        from ..tensor import Tensor

        if kwargs:
            bound = inspect.signature(cls.forward).bind(*(() if _takes_no_ctx(cls) else (None,)), *args, **kwargs)
            bound.apply_defaults()
            args = bound.args if _takes_no_ctx(cls) else bound.args[1:]
        if current_trace() is not None:
            current_trace().refuse(f"the autograd.Function {cls.__name__}")
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        recorded = MODES.grad and any(ctx.needs_input_grad)
        edges = tuple(edge_of(a) if recorded and isinstance(a, Tensor) and a.requires_grad else None for a in args)
        with no_grad():
            if _takes_no_ctx(cls):
                output = cls.forward(*args)
                cls.setup_context(ctx, args, output)
            else:
                output = cls.forward(ctx, *args)
        several = isinstance(output, tuple)
        outputs = list(output) if several else [output]
        if not any(isinstance(o, Tensor) for o in outputs):
            return output
        for t in ctx.dirty_tensors:
            if not any(t is o for o in outputs):
                raise GradRuntimeError(_DIRTY)
            t._storage.version += 1
        node = _node(cls, ctx, edges, args, outputs) if recorded else None
        outputs = [_finished(cls, ctx, node, i, o, args) for i, o in enumerate(outputs)]
        _save(ctx, outputs, output if several else (output,))
        return tuple(outputs) if several else outputs[0]


_DIRTY = (
    "Some elements marked as dirty during the forward method were not returned as output. The inputs that are modified "
    "inplace must all be outputs of the Function."
)


def _takes_no_ctx(cls: type[Function]) -> bool:
    return cls.setup_context is not Function.setup_context


def _node(cls: type[Function], ctx: FunctionCtx, edges: Any, args: Any, outputs: Sequence[Any]) -> Node:
    from ..tensor import Tensor

    types = tuple(o._type if isinstance(o, Tensor) else None for o in outputs)
    node = node_class(cls.node_name or cls.__name__ + "Backward", CustomNode)(edges, types)
    node.function, node.ctx = cls, ctx
    node.in_types = tuple(a._type if isinstance(a, Tensor) else None for a in args)
    return node  # type: ignore[no-any-return]


def _finished(cls: type[Function], ctx: FunctionCtx, node: Node | None, i: int, out: Any, args: Sequence[Any]) -> Any:
    """An output with its place in the tape. Inputs handed back, and views of them, become views whose in-place use is
    refused, because it would bypass the function's own backward."""
    from ..inplace import rebase
    from ..tensor import Tensor

    if not isinstance(out, Tensor):
        return out
    dirty = any(out is d for d in ctx.dirty_tensors)
    same = any(out is a for a in args)
    if dirty:
        if node is not None:
            if out._view is None and out._node is None and out._requires_grad:
                raise GradRuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
            rebase(out, node)
        return out
    if same:
        of = out
        out = Tensor._make(of._type, of._array, of._storage)
        base = of if of._view is None else of._view.base
        out._view = ViewInfo(base, (), of._storage.version, CUSTOM)
    elif out._view is not None and any(isinstance(a, Tensor) and a._storage is out._storage for a in args):
        out._view.made = CUSTOM
    else:
        out._view = None
    marked = any(out is m for m in ctx.non_differentiable)
    if node is not None and not marked and out._type.dtype.is_float:
        out._node, out._output_nr, out._requires_grad = node, i, True
        if out._view is not None:
            out._view.output = (i, cls.__name__)
    elif marked or node is None:
        out._requires_grad = False
    return out


def _save(ctx: FunctionCtx, outputs: Sequence[Any], raw: Sequence[Any]) -> None:
    """Saved outputs refer to their memory only: the tape never holds the tensors it made."""
    if not ctx.to_save:
        return
    kept: list[Any] = []
    for t in ctx.to_save:
        if t is None:
            kept.append(None)
            continue
        if not hasattr(t, "_storage"):
            raise GradTypeError(
                f"save_for_backward can only save variables, but argument {len(kept)} is of type {type(t).__name__}"
            )
        nr = next((i for i, o in enumerate(raw) if o is t), None)
        out = None if nr is None else outputs[nr]
        kept.append(Saved(t) if out is None or out._node is None else saved_output(out))
    ctx._saved, ctx.to_save = kept, ()


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a backward that is not made of differentiable ops: a second derivative is refused."""

    @functools.wraps(backward)
    def wrapped(ctx: Any, *grads: Any) -> Any:
        from ..tensor import Tensor

        with no_grad():
            outputs = backward(ctx, *grads)
        if not MODES.grad or not any(isinstance(g, Tensor) and g.requires_grad for g in grads):
            return outputs
        several = isinstance(outputs, tuple)
        made = [
            o if not isinstance(o, Tensor) else _Refusal.apply(o.detach().requires_grad_())
            for o in (outputs if several else (outputs,))
        ]
        return tuple(made) if several else made[0]

    return wrapped


class _Refusal(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise GradRuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")
