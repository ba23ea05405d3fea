"""Derivatives of functions: `grad`, `value_and_grad`, `vjp`, `jvp`, `jacobian`, `hessian`.

Each is written once, for traced values, by the adjoint of what was recorded so far; called outside of a trace it is
compiled. So they nest in any order, take any array library, and run once per signature like any compiled function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError, GradTypeError, GradValueError

from .autograd.grad_mode import MODES, enable_grad
from .compiled import Compiled
from .derive import differentiate, identity, ones, zeros
from .dispatch import current_trace
from .interop import is_array
from .pytree import Structure, flatten, unflatten
from .record import name_of
from .tensor import Tensor
from .tracing import Trace

Argnums = int | Sequence[int]


class _Selected:
    """The arguments that are differentiated: their leaves under ids of their own, put back into the argument list."""

    def __init__(self, what: str, trace: Trace, args: tuple[Any, ...], argnums: Argnums) -> None:
        nums = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        self.leaves: list[Tensor] = []
        self.structures: list[Structure] = []
        self.args = list(args)
        for n in nums:
            if not -len(args) <= n < len(args):
                raise GradValueError(f"{what}: argnums {n} is out of range for {len(args)} arguments")
            leaves, structure = flatten(args[n])
            own = [identity(trace, _differentiable(what, n, trace, x)) for x in leaves]
            self.leaves += own
            self.structures.append(structure)
            self.args[n] = unflatten(structure, iter(own))
        self.bare = isinstance(argnums, int)

    def arrange(self, values: Sequence[Any]) -> Any:
        """One value per leaf in the shape of the selected arguments: bare for an int argnum, else a tuple."""
        it = iter(values)
        trees = tuple(unflatten(s, it) for s in self.structures)
        return trees[0] if self.bare else trees


def _differentiable(what: str, n: int, trace: Trace, x: Any) -> Tensor:
    if isinstance(x, float):
        x = trace.constant(np.asarray(x, np.float32))
    elif isinstance(x, np.ndarray | np.generic):
        x = trace.constant(np.asarray(x))
    if not isinstance(x, Tensor):
        raise GradTypeError(f"{what}: argument {n} must hold tensors of floating point dtype, got {type(x).__name__}")
    if not x.dtype.is_float:
        raise GradTypeError(f"{what}: argument {n} is {x._type}; gradients need a floating point dtype")
    return x


def _traced(what: str, fn: Callable[..., Any], body: Callable[..., Any], same: bool = False) -> Callable[..., Any]:
    """`body(trace, *args, **kwargs)` inside a trace; compiled where there is none. `same`: it takes what `fn` takes."""
    if not callable(fn):
        raise GradTypeError(f"{what}: expected a function, got {type(fn).__name__}")

    def inside(*args: Any, **kwargs: Any) -> Any:
        trace: Any = current_trace()
        with enable_grad():
            out = body(trace, *args, **kwargs)
        return out if MODES.grad else _map(lambda t: t.detach(), out)

    inside.__name__ = f"{what}_{name_of(fn)}"
    if same:
        inside.__wrapped__ = fn  # type: ignore[attr-defined]
    compiled = Compiled(inside)

    @functools.wraps(inside)
    def outside(*args: Any, **kwargs: Any) -> Any:
        if current_trace() is not None:
            return inside(*args, **kwargs)
        return compiled(*_floats(args), **kwargs)

    return outside


def _floats(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Python floats become tensors, so that they can be differentiated and do not make a signature each."""
    leaves, structure = flatten(args)
    out: tuple[Any, ...] = unflatten(structure, iter([np.float32(x) if type(x) is float else x for x in leaves]))
    return out


def _map(f: Callable[[Tensor], Tensor], tree: Any) -> Any:
    leaves, structure = flatten(tree)
    return unflatten(structure, iter([f(x) for x in leaves]))


def _zeros_for_none(trace: Trace, grads: Sequence[Any], like: Sequence[Tensor]) -> list[Tensor]:
    return [zeros(trace, x) if g is None else g for g, x in zip(grads, like, strict=True)]


def _scalar(what: str, out: Any) -> Tensor:
    if not isinstance(out, Tensor):
        raise GradTypeError(f"{what}: the function must return one tensor, got {type(out).__name__}")
    if out.numel() != 1:
        raise GradRuntimeError(
            f"grad can be implicitly created only for scalar outputs: {what} got shape {list(out.shape)}"
        )
    return out


def value_and_grad(fn: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives `(value, gradients)`. An int `argnums` gives a bare gradient, a tuple gives a tuple; an
    argument that no path leads to has a gradient of zeros. With `has_aux`, `fn` returns `(value, aux)` and so does
    this: `((value, aux), gradients)`."""
    return _gradient("value_and_grad", fn, argnums, has_aux, True)


def grad(fn: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradients of a scalar function; see `value_and_grad`."""
    return _gradient("grad", fn, argnums, has_aux, False)


def _gradient(what: str, fn: Callable[..., Any], argnums: Argnums, has_aux: bool, value: bool) -> Callable[..., Any]:
    def body(trace: Trace, *args: Any, **kwargs: Any) -> Any:
        at = _Selected(what, trace, args, argnums)
        result = fn(*at.args, **kwargs)
        out, aux = result if has_aux else (result, None)
        _scalar(what, out)
        grads = differentiate(trace, [out], [ones(trace, out)], at.leaves)
        arranged = at.arrange(_zeros_for_none(trace, grads, at.leaves))
        if value:
            return ((out, aux) if has_aux else out), arranged
        return (arranged, aux) if has_aux else arranged

    return _traced(what, fn, body, same=True)


def vjp(fn: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """`(fn(*primals), pull)`; `pull(cotangents)` gives one gradient per primal, a bare one for a single primal."""

    def pulled(trace: Trace, cotangents: Any, *args: Any) -> Any:
        at = _Selected("vjp", trace, args, tuple(range(len(args))))
        outs, structure = flatten(fn(*at.args))
        cts, given = flatten(cotangents)
        if given != structure:
            raise GradTypeError("vjp: the cotangents do not have the structure of the function's result")
        cts = [_cotangent(trace, c, o) for c, o in zip(cts, outs, strict=True)]
        grads = differentiate(trace, outs, cts, at.leaves)
        trees: tuple[Any, ...] = at.arrange(_zeros_for_none(trace, grads, at.leaves))
        return trees[0] if len(args) == 1 else trees

    trace = current_trace()
    value = fn(*primals) if trace is not None else Compiled(fn)(*primals)
    pull = _traced("vjp", fn, pulled)
    return value, lambda cotangents: pull(cotangents, *primals)


def _cotangent(trace: Trace, c: Any, like: Tensor) -> Tensor:
    if not isinstance(c, Tensor):
        if not is_array(c) and not isinstance(c, bool | int | float):
            raise GradTypeError(f"a cotangent must be a tensor, got {type(c).__name__}")
        c = trace.constant(np.asarray(c).astype(like.dtype.numpy))
    if tuple(c.shape) != tuple(like.shape):
        raise GradRuntimeError(f"a cotangent of shape {list(c.shape)} for a result of shape {list(like.shape)}")
    return c if c.dtype is like.dtype else c.to(like.dtype)  # type: ignore[no-any-return]


def jvp(fn: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """`(fn(*primals), directional derivative)`. The pullback is linear in its cotangent, and its own pullback, at any
    cotangent, is the derivative along the tangents; what belongs to the first pullback alone is removed as dead."""
    if len(primals) != len(tangents):
        raise GradTypeError(f"jvp: {len(primals)} primals but {len(tangents)} tangents")

    def body(trace: Trace, primals: Any, tangents: Any) -> Any:
        at = _Selected("jvp", trace, tuple(primals), tuple(range(len(primals))))
        out = fn(*at.args)
        outs, structure = flatten(out)
        dummies = [identity(trace, ones(trace, o)) for o in outs]
        grads = differentiate(trace, outs, dummies, at.leaves)
        given, _ = flatten(list(tangents))
        tangents_ = [_cotangent(trace, t, x) for t, x in zip(given, at.leaves, strict=True)]
        pairs = [(g, t) for g, t in zip(grads, tangents_, strict=True) if g is not None]
        along = differentiate(trace, [g for g, _ in pairs], [t for _, t in pairs], dummies)
        return out, unflatten(structure, iter(_zeros_for_none(trace, along, outs)))

    out: tuple[Any, Any] = _traced("jvp", fn, body)(tuple(primals), tuple(tangents))
    return out


def jacobian(fn: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The derivative of every element of the result by every element of an argument: shape `result + argument`."""
    return _rows("jacobian", fn, argnums)


def hessian(fn: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The second derivatives of a scalar function in one argument: shape `argument + argument`."""
    return _rows("hessian", grad(fn, argnums), argnums)


def _rows(what: str, fn: Callable[..., Any], argnums: int) -> Callable[..., Any]:
    """One pullback per element of the result, by one compiled program, stacked."""

    def body(trace: Trace, basis: Any, *args: Any, **kwargs: Any) -> Any:
        at = _Selected(what, trace, args, argnums)
        out = fn(*at.args, **kwargs)
        if not isinstance(out, Tensor) or len(at.leaves) != 1 or at.structures[0] is not None:
            raise GradTypeError(f"{what}: the argument and the result must be one tensor each")
        x = at.leaves[0]
        ct = _cotangent(trace, basis, out) if basis is not None else zeros(trace, out)
        (row,) = differentiate(trace, [out], [ct], [x])
        return out, zeros(trace, x) if row is None else row

    row = _traced(what, fn, body)

    @functools.wraps(fn)
    def rows(*args: Any, **kwargs: Any) -> Any:
        out, zero = row(None, *args, **kwargs)
        shape, n = tuple(out.shape), int(np.prod(out.shape))
        picked = []
        for i in range(n):
            basis = np.zeros(n, np.float64)
            basis[i] = 1
            picked.append(row(basis.reshape(shape), *args, **kwargs)[1])
        return _stack(picked, zero, shape)

    return rows


def _stack(rows: list[Any], like: Any, shape: tuple[int, ...]) -> Any:
    """The rows, in kind, under `shape + row shape`; `like` is a row of zeros."""
    whole = (*shape, *like.shape)
    if isinstance(like, np.ndarray):
        return np.stack(rows).reshape(whole) if rows else np.zeros(whole, like.dtype)
    if isinstance(like, Tensor):
        from . import stack

        return stack(rows).reshape(whole) if rows else like.new_zeros(whole)
    import torch

    return torch.stack(rows).reshape(whole) if rows else like.new_zeros(whole)
