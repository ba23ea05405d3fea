"""Compiled functions inside torch's autograd: a call with torch tensors that require grad is one node of its tape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from .autograd.api import grad
from .autograd.grad_mode import enable_grad
from .interop import TORCH, give, to_tensor
from .tensor import Tensor


def wanted(leaves: Sequence[Any]) -> bool:
    """Whether torch would record a call with these tensors."""
    import torch

    return torch.is_grad_enabled() and any(isinstance(x, torch.Tensor) and x.requires_grad for x in leaves)


def call(function: Callable[[list[Any]], list[Tensor]], leaves: Sequence[Any]) -> list[Any]:
    """The results of `function(leaves as gradc's)` as torch tensors with a grad_fn."""
    return list(_node().apply(function, [_taken(x) for x in leaves], *leaves))


class Watched(NamedTuple):
    """A tensor of torch's and the one of gradc's on the same memory. What torch writes there, gradc's tape learns of
    by the count of writes, which an alias shares."""

    alias: Any
    version: int
    tensor: Tensor

    def tell(self) -> None:
        if self.alias._version != self.version:
            self.tensor._storage.version += 1


def _watched(pairs: Iterable[tuple[Any, Any]]) -> list[Watched]:
    import torch

    found = [(x, t) for x, t in pairs if isinstance(x, torch.Tensor) and not x.is_inference()]
    return [Watched(x.detach(), x._version, t) for x, t in found]


@cache
def _node() -> Any:
    import torch

    class Gradc(torch.autograd.Function):
        """Runs the compiled function, and its compiled backward. `inputs` are the leaves as gradc's tensors."""

        @staticmethod
        def forward(ctx: Any, function: Any, inputs: list[Any], *leaves: Any) -> Any:
            with enable_grad():
                results = function(inputs)
            out = tuple(give(r, TORCH) for r in results)
            ctx.mark_non_differentiable(*[o for o, r in zip(out, results, strict=True) if not r.requires_grad])
            ctx.gradc_inputs, ctx.gradc_results = inputs, results
            ctx.gradc_watched = _watched(zip((*leaves, *out), (*inputs, *results), strict=True))
            at = [i for i, x in enumerate(leaves) if isinstance(x, torch.Tensor) and x.requires_grad]
            ctx.gradc_at = at
            ctx.save_for_backward(*[leaves[i] for i in at])
            return out

        @staticmethod
        def backward(ctx: Any, *cts: Any) -> Any:
            inputs, at = ctx.gradc_inputs, ctx.gradc_at
            pairs = [(r, c) for r, c in zip(ctx.gradc_results, cts, strict=True) if r.requires_grad]
            for w in ctx.gradc_watched:
                w.tell()
            ctx.gradc_watched = [w._replace(version=w.alias._version) for w in ctx.gradc_watched]
            again = torch.is_grad_enabled()
            reached: list[int] = []

            def run(given: list[Any]) -> list[Tensor]:
                found = grad(
                    [r for r, _ in pairs],
                    [inputs[i] for i in at],
                    given[: len(pairs)],
                    retain_graph=True,
                    create_graph=again,
                    allow_unused=True,
                )
                reached.extend(i for i, g in zip(at, found, strict=True) if g is not None)
                return [g for g in found if g is not None]

            given = [c for _, c in pairs]
            own = [_taken(c) for c in given]
            if again:
                # A gradient is a function of the same leaves, and of the cotangents: a node of torch's tape as well.
                made = _node().apply(run, [*own, *(inputs[i] for i in at)], *given, *ctx.saved_tensors)
            else:
                made = [give(g, TORCH) for g in run(own)]
            out: list[Any] = [None] * len(inputs)
            for i, g in zip(reached, made, strict=True):
                out[i] = g
            return (None, None, *out)

    return Gradc


def _taken(x: Any) -> Any:
    """A torch tensor as gradc's, on the same memory; anything else as it is."""
    import torch

    if not isinstance(x, torch.Tensor):
        return x
    t = Tensor._of(to_tensor(x)._array)
    t._requires_grad = bool(x.requires_grad)
    return t
