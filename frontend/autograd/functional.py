"""Derivatives of functions of eager tensors: jacobian, hessian, vjp, jvp, hvp, vhp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradc.ir.errors import GradRuntimeError

from ..creation import zeros
from ..tensor import Tensor
from .api import grad
from .grad_mode import enable_grad

NO_VECTOR = "The vector v can only be None if the {} a single Tensor with a single element."


def _prepared(inputs: Any, create_graph: bool) -> tuple[bool, list[Tensor]]:
    """Whether there is one input, and inputs of our own that require grad."""
    one = isinstance(inputs, Tensor)
    given = [inputs] if one else list(inputs)
    if create_graph:
        return one, [t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in given]
    return one, [t.detach().requires_grad_() for t in given]


def _called(func: Callable[..., Any], inputs: Sequence[Tensor]) -> tuple[bool, list[Tensor]]:
    with enable_grad():
        out = func(*inputs)
    return isinstance(out, Tensor), [out] if isinstance(out, Tensor) else list(out)


def _gradients(outputs: Any, inputs: Sequence[Tensor], cts: Any, create_graph: bool, strict: bool) -> list[Tensor]:
    live = [(o, c) for o, c in zip(outputs, cts, strict=True) if o.requires_grad]
    if not live:
        found: Sequence[Any] = [None] * len(inputs)
    else:
        found = grad(
            [o for o, _ in live],
            inputs,
            [c for _, c in live],
            create_graph=create_graph,
            retain_graph=True,
            allow_unused=True,
        )
    if strict and any(g is None for g in found):
        raise GradRuntimeError(
            "The output of the user-provided function is independent of an input. This is not allowed in strict mode."
        )
    return [zeros(t.shape, dtype=t.dtype) if g is None else g for g, t in zip(found, inputs, strict=True)]


def _packed(values: Sequence[Any], one: bool) -> Any:
    return values[0] if one else tuple(values)


def _detached(values: Sequence[Tensor], create_graph: bool) -> list[Tensor]:
    return list(values) if create_graph else [v.detach() for v in values]


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The function's value and the product of `v` with its Jacobian."""
    one_in, ins = _prepared(inputs, create_graph)
    one_out, outs = _called(func, ins)
    cts = _vectors(v, outs, NO_VECTOR.format("user-provided function returns"))
    found = _gradients(outs, ins, cts, create_graph, strict)
    return _packed(_detached(outs, create_graph), one_out), _packed(_detached(found, create_graph), one_in)


def _vectors(v: Any, like: Sequence[Tensor], message: str) -> list[Tensor]:
    from ..creation import ones_like

    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise GradRuntimeError(message)
        return [ones_like(like[0])]
    given = [v] if isinstance(v, Tensor) else list(v)
    for i, (g, t) in enumerate(zip(given, like, strict=True)):
        if g.shape != t.shape:
            raise GradRuntimeError(f"v has invalid size: should be {t.shape} but got {g.shape} (element {i}).")
    return given


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The function's value and the product of its Jacobian with `v`, by differentiating a vjp in its vector."""
    _, ins = _prepared(inputs, create_graph)
    directions = _vectors(v, ins, NO_VECTOR.format("input to the user-provided function is"))
    one_out, outs = _called(func, ins)
    with enable_grad():
        seeds = [zeros(o.shape, dtype=o.dtype, requires_grad=True) for o in outs]
        pulled = _gradients(outs, ins, seeds, True, strict)
    found = _gradients(pulled, seeds, directions, create_graph, strict)
    return _packed(_detached(outs, create_graph), one_out), _packed(_detached(found, create_graph), one_out)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """All partial derivatives: for each output and input a tensor of shape output.shape + input.shape."""
    one_in, ins = _prepared(inputs, create_graph)
    one_out, outs = _called(func, ins)
    rows = [_rows(o, ins, create_graph, strict) for o in outs]
    return _packed([_packed(r, one_in) for r in rows], one_out)


def _rows(out: Tensor, ins: Sequence[Tensor], create_graph: bool, strict: bool) -> list[Tensor]:
    from ..methods import functions_under

    stack = functions_under("")["stack"]
    flat = out.reshape(-1)
    found: list[list[Tensor]] = [[] for _ in ins]
    for k in range(out.numel()):
        seed = zeros(flat.shape, dtype=out.dtype)
        seed[k] = 1
        for column, g in zip(found, _gradients([flat], ins, [seed], create_graph, strict), strict=True):
            column.append(g)
    made = []
    for column, t in zip(found, ins, strict=True):
        shape = (*out.shape, *t.shape)
        whole = stack(column).reshape(shape) if column else zeros(shape, dtype=out.dtype)
        made.append(whole if create_graph else whole.detach())
    return made


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """All second partial derivatives of a function with one number as its value."""
    one = isinstance(inputs, Tensor)

    def gradient(*args: Tensor) -> Any:
        out = func(*args)
        if not isinstance(out, Tensor) or out.numel() != 1:
            raise GradRuntimeError(
                "The Tensor returned by the function given to hessian should contain a single element"
            )
        return tuple(_gradients([out.reshape(())], args, [None], True, strict))

    found = jacobian(gradient, inputs if not one else (inputs,), create_graph, strict)
    return found[0][0] if one else found


def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """The function's value and the product of its Hessian with `v`."""
    one_in, ins = _prepared(inputs, create_graph)
    _, outs = _called(func, ins)
    with enable_grad():
        first = _gradients(outs, ins, [None], True, strict)
    directions = _vectors(v, ins, NO_VECTOR.format("input to the user-provided function is"))
    found = _gradients(first, ins, directions, create_graph, strict)
    return _detached(outs, create_graph)[0], _packed(_detached(found, create_graph), one_in)


vhp = hvp
"""The Hessian of a function with continuous second derivatives is symmetric."""
