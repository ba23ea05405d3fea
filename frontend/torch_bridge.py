"""Compiled functions inside torch's autograd: a call with torch tensors that require grad is one node of its tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from .autograd.grad_mode import enable_grad
from .interop import TORCH, give, to_tensor
from .tensor import Tensor


def wanted(leaves: Sequence[Any]) -> bool:
    """Whether torch would record a call with these tensors."""
    import torch

    return torch.is_grad_enabled() and any(isinstance(x, torch.Tensor) and x.requires_grad for x in leaves)


def call(function: Callable[[list[Any]], list[Tensor]], leaves: Sequence[Any]) -> list[Any]:
    """The results of `function(leaves as gradc's)` as torch tensors with a grad_fn."""
    return list(_node().apply(function, *leaves))


@cache
def _node() -> Any:
    import torch

    class Gradc(torch.autograd.Function):
        """Runs the compiled function, and its compiled backward."""

        @staticmethod
        def forward(ctx: Any, function: Any, *leaves: Any) -> Any:
            inputs = [_taken(x) for x in leaves]
            with enable_grad():
                results = function(inputs)
            ctx.gradc_inputs, ctx.gradc_results = inputs, results
            out = tuple(give(r, TORCH) for r in results)
            ctx.mark_non_differentiable(*[o for o, r in zip(out, results, strict=True) if not r.requires_grad])
            return out

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *cts: Any) -> Any:
            from .autograd.api import grad

            pairs = [(r, to_tensor(c)) for r, c in zip(ctx.gradc_results, cts, strict=True) if r.requires_grad]
            at = [i for i, x in enumerate(ctx.gradc_inputs) if isinstance(x, Tensor) and x.requires_grad]
            found = grad(
                [r for r, _ in pairs],
                [ctx.gradc_inputs[i] for i in at],
                [c for _, c in pairs],
                retain_graph=True,
                allow_unused=True,
            )
            out: list[Any] = [None] * len(ctx.gradc_inputs)
            for i, g in zip(at, found, strict=True):
                out[i] = None if g is None else give(g, TORCH)
            return (None, *out)

    return Gradc


def _taken(x: Any) -> Any:
    """A torch tensor as gradc's, on the same memory; anything else as it is."""
    import torch

    if not isinstance(x, torch.Tensor):
        return x
    t = Tensor._of(to_tensor(x)._array)
    t._requires_grad = bool(x.requires_grad)
    return t
