"""torch's losses without a node of their own: spelled with Tensor methods, so that their `grad_fn` chain is torch's.

The spellings hang on the record of `mean`, which ends most of them."""

from __future__ import annotations

import math
import warnings
from typing import Any

from gradc.ir.errors import GradRuntimeError, GradValueError
from gradc.ir.op import Torch, lookup


def check_reduction(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The reduction asked for, torch's old flags included; raises GradValueError with torch's sentence."""
    if size_average is not None or reduce is not None:
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"
    if reduction not in ("none", "mean", "sum"):
        raise GradValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def same_size_or_warn(input: Any, target: Any) -> None:
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"Using a target size (torch.Size({list(target.shape)})) that is different to the input size "
            f"(torch.Size({list(input.shape)})). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=4,
        )


def finish(each: Any, reduction: str) -> Any:
    return each if reduction == "none" else each.mean() if reduction == "mean" else each.sum()


def _l1_loss(
    op: Any,
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
    weight: Any = None,
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)
    same_size_or_warn(input, target)
    each = (input - target).abs()
    if weight is None or reduction == "none":
        return finish(each if weight is None else each * weight, reduction)
    each = each * weight
    return each.sum() if reduction == "sum" else each.sum() / weight.expand_as(each).sum()


def _kl_div(
    op: Any,
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
    log_target: Any = False,
) -> Any:
    if reduction != "batchmean":
        reduction = check_reduction(reduction, size_average, reduce)
    elif input.ndim == 0:
        raise GradRuntimeError("kl_div: reduction 'batchmean' needs an input with at least one dimension")
    each = target.exp() * (target - input) if log_target else target.xlogy(target) - target * input
    if reduction == "batchmean":
        return each.sum() / input.shape[0]
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=3,
        )
    return finish(each, reduction)


def _poisson_nll_loss(
    op: Any,
    input: Any,
    target: Any,
    log_input: Any = True,
    full: Any = False,
    size_average: Any = None,
    eps: Any = 1e-08,
    reduce: Any = None,
    reduction: Any = "mean",
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)
    each = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        each = each + stirling.masked_fill(target <= 1, 0)
    return finish(each, reduction)


def _gaussian_nll_loss(
    op: Any, input: Any, target: Any, var: Any, full: Any = False, eps: Any = 1e-06, reduction: Any = "mean"
) -> Any:
    if not hasattr(var, "shape"):
        if var < 0:
            raise GradValueError("var has negative entry/entries")
        var = input.detach() * 0 + var
    elif tuple(var.shape) != tuple(input.shape):
        if tuple(input.shape[:-1]) == tuple(var.shape):
            var = var.unsqueeze(-1)
        elif tuple(input.shape[:-1]) != tuple(var.shape[:-1]) or var.shape[-1] != 1:
            raise GradValueError("var is of incorrect size")
    reduction = check_reduction(reduction)
    var = var + (var.clamp_min(eps) - var).detach()
    each = 0.5 * (var.log() + (input - target) ** 2 / var)
    return finish(each + 0.5 * math.log(2 * math.pi) if full else each, reduction)


def _hinge_embedding_loss(
    op: Any,
    input: Any,
    target: Any,
    margin: Any = 1.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)
    hinge = (margin - input).clamp_min(0).where(target != 1, 0.0)
    return finish(hinge + input.where(target != -1, 0.0), reduction)


def _margin_ranking_loss(
    op: Any,
    input1: Any,
    input2: Any,
    target: Any,
    margin: Any = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim:
        raise GradRuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: "
            f"torch.Size({list(input1.shape)}), input2: torch.Size({list(input2.shape)}), "
            f"target: torch.Size({list(target.shape)}) "
        )
    return finish((-target * (input1 - input2) + margin).clamp_min(0), reduction)


def _cosine_embedding_loss(
    op: Any,
    input1: Any,
    input2: Any,
    target: Any,
    margin: Any = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)
    if target.ndim not in (0, 1) or input1.ndim != target.ndim + 1:
        raise GradRuntimeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found inputs with sizes "
            f"{list(input1.shape)} and {list(input2.shape)}."
        )
    tiny = 1e-12
    d = target.ndim
    cos = (input1 * input2).sum(d) / ((input1 * input1).sum(d) + tiny).mul((input2 * input2).sum(d) + tiny).sqrt()
    near = (1 - cos).where(target == 1, 0.0)
    return finish(near + (cos - margin).clamp_min(0).where(target == -1, 0.0), reduction)


def _triplet_margin_loss(
    op: Any,
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: Any = 1.0,
    p: Any = 2,
    eps: Any = 1e-06,
    swap: Any = False,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)
    if margin <= 0:
        raise GradValueError(f"margin must be greater than 0, got {margin}")
    far = (anchor - negative + eps).norm(p, -1)
    if swap:
        far = far.minimum((positive - negative + eps).norm(p, -1))
    return finish(((anchor - positive + eps).norm(p, -1) - far + margin).clamp_min(0), reduction)


def _multilabel_soft_margin_loss(
    op: Any,
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)

    def log_sigmoid(x: Any) -> Any:
        return op(x, record=lookup("grad.logsigmoid"))

    each = -(target * log_sigmoid(input) + (1 - target) * log_sigmoid(-input))
    each = each if weight is None else each * weight
    return finish(each.sum(-1) / input.shape[-1], reduction)


LOSS_SPELLINGS = (
    Torch(_l1_loss, ("nn.functional.l1_loss",)),
    Torch(_kl_div, ("nn.functional.kl_div",)),
    Torch(_poisson_nll_loss, ("nn.functional.poisson_nll_loss",)),
    Torch(_gaussian_nll_loss, ("nn.functional.gaussian_nll_loss",)),
    Torch(_hinge_embedding_loss, ("nn.functional.hinge_embedding_loss",)),
    Torch(_margin_ranking_loss, ("nn.functional.margin_ranking_loss",)),
    Torch(_cosine_embedding_loss, ("nn.functional.cosine_embedding_loss",)),
    Torch(_triplet_margin_loss, ("nn.functional.triplet_margin_loss",)),
    Torch(_multilabel_soft_margin_loss, ("nn.functional.multilabel_soft_margin_loss",)),
)
