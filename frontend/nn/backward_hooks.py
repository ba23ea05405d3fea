"""Backward hooks of modules: an identity around the arguments and one around the results, whose tape nodes see the
gradients that pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradc.ir.errors import GradRuntimeError, TraceError

from ..autograd.function import Function
from ..autograd.grad_mode import MODES
from ..dispatch import current_trace
from ..tensor import Tensor


class BackwardHookFunction(Function):
    """The identity, with a tape node of its own."""

    @staticmethod
    def forward(ctx: Any, *tensors: Any) -> Any:
        ctx.mark_non_differentiable(*[t for t in tensors if not t.requires_grad])
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads


class BackwardHooks:
    """The hooks of one call of a module."""

    def __init__(self, module: Any, pre: Mapping[int, Any], post: Mapping[int, Any]) -> None:
        if current_trace() is not None:
            raise TraceError(
                "a module with backward hooks, which would run while tracing only",
                hint="register hooks on the result of the compiled function",
            )
        self.module, self.pre, self.post = module, [h.call for h in pre.values()], [h.call for h in post.values()]
        self.grad_outputs: tuple[Any, ...] | None = None
        self.has_inputs, self.n_inputs = False, 0

    def arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments behind an identity that calls the hooks."""
        self.n_inputs = len(args)
        out, node = _behind(args)
        if node is not None:
            self.has_inputs = True
            at = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
            like = [a.new_zeros(()).expand(a.shape) for a in out if isinstance(a, Tensor)]
            node.register_hook(lambda grads, _: self._run(len(args), at, _materialized(grads, like)))
        return out

    def results(self, result: Any) -> Any:
        """The results before an identity that keeps their gradients."""
        if not isinstance(result, (Tensor, tuple)):
            raise GradRuntimeError(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(result)}"
            )
        results = (result,) if isinstance(result, Tensor) else result
        out, node = _behind(results)
        if node is not None:
            node.register_prehook(lambda grads: self._arrived(len(results), results, grads))
        return out[0] if isinstance(result, Tensor) else out

    def _arrived(self, n: int, results: tuple[Any, ...], grads: tuple[Any, ...]) -> Any:
        at = [i for i, r in enumerate(results) if isinstance(r, Tensor)]
        whole = _spread(n, at, grads)
        changed = False
        for hook in self.pre:
            new = hook(self.module, whole)
            if new is not None:
                whole, changed = new if isinstance(new, tuple) else (new,), True
        self.grad_outputs = whole
        if not self.has_inputs:
            for hook in self.post:
                given = hook(self.module, (None,) * self.n_inputs, whole)
                if given is not None and any(g is not None for g in given):
                    raise GradRuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or None "
                        "for all gradients."
                    )
        return tuple(whole[i] for i in at) if changed else None

    def _run(self, n: int, at: list[int], grads: tuple[Any, ...]) -> Any:
        whole, changed = _spread(n, at, grads), False
        for hook in self.post:
            new = hook(self.module, whole, self.grad_outputs)
            if new is None:
                continue
            new = new if isinstance(new, tuple) else (new,)
            if len(new) != n:
                raise GradRuntimeError(
                    f"Backward hook returned an invalid number of grad_input, got {len(new)}, but expected {n}"
                )
            whole, changed = new, True
        self.grad_outputs = None
        return tuple(whole[i] for i in at) if changed else None


def _behind(values: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
    """The tensors behind one identity, and its tape node; None where nothing is recorded."""
    tensors = [v for v in values if isinstance(v, Tensor)]
    if not MODES.grad or not any(t.requires_grad for t in tensors):
        return values, None
    made = BackwardHookFunction.apply(*tensors)
    new = iter(made)
    node = next(t.grad_fn for t in made if t.grad_fn is not None)
    return tuple(next(new) if isinstance(v, Tensor) else v for v in values), node


def _materialized(grads: tuple[Any, ...], like: list[Tensor]) -> tuple[Any, ...]:
    """Zeros where no gradient leads: the identity's own result, as in torch."""
    return tuple(z.clone() if g is None else g for g, z in zip(grads, like, strict=True))


def _spread(n: int, at: list[int], grads: tuple[Any, ...]) -> tuple[Any, ...]:
    out: list[Any] = [None] * n
    for i, g in zip(at, grads, strict=True):
        out[i] = g
    return tuple(out)
