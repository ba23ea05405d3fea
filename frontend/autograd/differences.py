"""Gradients held against finite differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError, GradValueError

from ..storage import Array
from ..tensor import Tensor
from .api import grad
from .grad_mode import enable_grad, no_grad


class GradcheckError(GradRuntimeError):
    """Raised by `gradcheck` and `gradgradcheck` if two ways to a gradient disagree."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """True if the gradients of `func` agree with central differences of step `eps`, element by element."""
    args = _tuple(inputs)
    try:
        _check(func, args, eps, atol, rtol, nondet_tol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    **options: Any,
) -> bool:
    """True if the gradients of the gradients of `func` agree with central differences."""
    args = _tuple(inputs)
    if grad_outputs is None:
        rng = np.random.Generator(np.random.Philox(0))
        outputs = _outputs(func(*args))
        cts = tuple(Tensor._of(rng.standard_normal(o._type.shape).astype(o._array.dtype)) for o in outputs)
        cts = tuple(c.requires_grad_() for c in cts)
    else:
        cts = _tuple(grad_outputs)
    split = len(args)

    def first_order(*both: Any) -> Any:
        with enable_grad():
            ins = both[:split]
            outputs = _outputs(func(*ins))
            wrt = [t for t in ins if isinstance(t, Tensor) and t.requires_grad]
            found = grad(outputs, wrt, list(both[split:]), create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        first_order,
        (*args, *cts),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
    )


def _tuple(inputs: Any) -> tuple[Any, ...]:
    return tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)


def _outputs(result: Any) -> list[Tensor]:
    """The results that have a gradient."""
    results = [result] if isinstance(result, Tensor) else list(result)
    return [r for r in results if isinstance(r, Tensor) and r.requires_grad]


def _check(
    func: Callable[..., Any], args: tuple[Any, ...], eps: float, atol: float, rtol: float, nondet: float
) -> None:
    active = [(i, t) for i, t in enumerate(args) if isinstance(t, Tensor) and t.requires_grad]
    if not active:
        raise GradValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
        )
    for i, t in active:
        if t._type.dtype.bits != 64:
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or complex. This check "
                "will likely fail if all the inputs are not of double precision floating point or complex. ",
                UserWarning,
                stacklevel=4,
            )
        if t._array.size and any(s == 0 and d > 1 for s, d in zip(t._array.strides, t._array.shape, strict=True)):
            raise GradRuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                "non-overlapping to be able to compute the numerical gradients correctly. You should call "
                ".contiguous on the input before passing it to gradcheck."
            )
    outputs = _outputs(func(*args))
    if not outputs:
        results = func(*args)
        for r in [results] if isinstance(results, Tensor) else results:
            if isinstance(r, Tensor):
                _all_constant(func, args, active, eps)
        return
    for o, output in enumerate(outputs):
        for i, t in active:
            analytical = _analytical(output, t)
            again = _analytical(_outputs(func(*args))[o], t)
            if np.abs(analytical - again).max(initial=0.0) > nondet:
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple "
                    "times gives different values, although analytical gradient matches numerical gradient.The "
                    f"tolerance for nondeterminism was {nondet}."
                )
            numerical = _numerical(func, args, t, o, eps)
            if not np.allclose(analytical, numerical, rtol=rtol, atol=atol, equal_nan=True):
                raise GradcheckError(
                    f"Jacobian mismatch for output {o} with respect to input {i},\n"
                    f"numerical:{_of(numerical)!r}\nanalytical:{_of(analytical)!r}\n"
                )


def _all_constant(func: Any, args: tuple[Any, ...], active: Sequence[tuple[int, Tensor]], eps: float) -> None:
    for i, t in active:
        numerical = _numerical(func, args, t, None, eps)
        if np.abs(numerical).max(initial=0.0) > eps:
            raise GradcheckError(f"Numerical gradient for function expected to be zero (input {i})")


def _of(array: Array) -> Tensor:
    return Tensor._of(array)


def _analytical(output: Tensor, t: Tensor) -> Array:
    """The Jacobian (inputs x outputs), one backward pass per output element."""
    jacobian = np.zeros((t._array.size, output._array.size), t._array.dtype)
    for k in range(output._array.size):
        seed = np.zeros(output._type.shape, output._array.dtype)
        seed.reshape(-1)[k] = 1
        (found,) = grad(output, t, Tensor._of(seed), retain_graph=True, allow_unused=True)
        if found is not None:
            jacobian[:, k] = found._array.reshape(-1)
    return jacobian


def _numerical(func: Any, args: tuple[Any, ...], t: Tensor, o: int | None, eps: float) -> Array:
    """The Jacobian (inputs x outputs) by central differences; the input's memory is moved and moved back."""
    columns = []
    with no_grad():
        for k in np.ndindex(t._array.shape):
            kept = t._array[k].copy()
            values = []
            for step in (eps, -eps):
                t._array[k] = kept + step
                values.append(_values(func, args, o))
            t._array[k] = kept
            columns.append((values[0] - values[1]) / (2 * eps))
    return np.array(columns, dtype=t._array.dtype).reshape(t._array.size, -1)


def _values(func: Any, args: tuple[Any, ...], which: int | None) -> Array:
    with enable_grad():
        result = func(*args)
    if which is None:
        results = [result] if isinstance(result, Tensor) else [r for r in result if isinstance(r, Tensor)]
        return np.concatenate([r._array.reshape(-1).astype(np.float64) for r in results])
    return _outputs(result)[which]._array.reshape(-1).astype(np.float64)
