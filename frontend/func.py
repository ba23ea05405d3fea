"""torch.func: derivatives of functions as functions, by compiling (see `transform.py`); vmap is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from gradc.ir.errors import UnsupportedError

from .nn.functional_call import functional_call
from .transform import grad, hessian, jacobian, jvp, value_and_grad, vjp

Argnums = int | tuple[int, ...]


def grad_and_value(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """Like `value_and_grad`, with the gradients first: `(gradients, value)`."""
    both = value_and_grad(func, argnums, has_aux)

    def turned(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return gradients, value

    return turned


def jacrev(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The derivative of every element of the result by every element of an argument, row by row."""
    return jacobian(func, argnums)


def jacfwd(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """What `jacrev` gives; it is computed the same way."""
    return jacobian(func, argnums)


def vmap(func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, **options: Any) -> NoReturn:
    """Refused: gradc has no batching transform."""
    raise UnsupportedError(
        "gradc has no torch.func.vmap",
        hint="write the batch dimension out: most functions take any number of leading dimensions",
    )


__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "value_and_grad",
    "vjp",
    "vmap",
]
