"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gradc.ir.errors import GradValueError

from ..creation import zeros_like
from .optimizer import Single, check, check_rate, refuse
from .steps import Steps


class SGD(Single):
    """Gradient descent with momentum (also Nesterov's), dampening and weight decay. `foreach` and `fused` are torch's
    choices of implementation and change nothing here."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_rate(lr)
        check(momentum >= 0.0, "momentum value", momentum)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise GradValueError("Nesterov momentum requires a momentum and zero dampening")
        refuse(differentiable=differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _update(self, p: Any, grad: Any, state: dict[str, Any], group: dict[str, Any], steps: Steps) -> None:
        momentum = group["momentum"]
        if group["maximize"]:
            grad = -grad
        if group["weight_decay"] != 0:
            grad = grad.add(p, alpha=group["weight_decay"])
        if momentum != 0:
            started = steps.begin(p, state, lambda: {"momentum_buffer": zeros_like(p)})
            kept = state["momentum_buffer"]
            if started:
                kept.mul_(momentum).add_(grad, alpha=1 - group["dampening"])
            else:
                kept.copy_(grad)
            grad = grad.add(kept, alpha=momentum) if group["nesterov"] else kept
        steps.add(p, grad, steps.next(p, state, group)("rate", lambda lr, step: -lr))
