"""Adam (Kingma and Ba, 2015), with L2 penalty or decoupled weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..creation import zeros, zeros_like
from .optimizer import Single, check, check_rate, refuse
from .steps import Steps


class Adam(Single):
    """Steps scaled by running means of the gradient and of its square. `foreach` and `fused` are torch's choices of
    implementation and change nothing here."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_rate(lr)
        check(eps >= 0.0, "epsilon value", eps)
        for i, beta in enumerate(betas):
            check(0.0 <= beta < 1.0, f"beta parameter at index {i}", beta)
        check(weight_decay >= 0.0, "weight_decay value", weight_decay)
        refuse(capturable=capturable, differentiable=differentiable)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _update(self, p: Any, grad: Any, state: dict[str, Any], group: dict[str, Any], steps: Steps) -> None:
        steps.begin(p, state, lambda: _fresh(p, group["amsgrad"]))
        (beta1, beta2), decay = group["betas"], group["weight_decay"]
        if group["maximize"]:
            grad = -grad
        number = steps.next(p, state, group)
        if decay != 0:
            if group["decoupled_weight_decay"]:
                p.mul_(number("kept", lambda lr, step: 1 - lr * decay))
            else:
                grad = grad.add(p, alpha=decay)
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.lerp_(grad, 1 - beta1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        if group["amsgrad"]:
            square = state["max_exp_avg_sq"].copy_(state["max_exp_avg_sq"].maximum(square))
        scale = (square.sqrt() / number("root", lambda lr, step: (1 - beta2**step) ** 0.5)).add_(group["eps"])
        steps.add_quotient(p, mean, scale, number("size", lambda lr, step: -lr / (1 - beta1**step)))


def _fresh(p: Any, amsgrad: bool) -> dict[str, Any]:
    """What is remembered of a parameter before its first step."""
    state = {"step": zeros((), dtype="float32"), "exp_avg": zeros_like(p), "exp_avg_sq": zeros_like(p)}
    return {**state, "max_exp_avg_sq": zeros_like(p)} if amsgrad else state


class AdamW(Adam):
    """Adam whose weight decay does not pass through its running means (Loshchilov and Hutter, 2019)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
