"""torch.linalg: the table's functions under that name, and determinants, inverses and solutions of square systems,
which run at once by NumPy and have no kernel: in a trace they are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gradc.ir.errors import GradRuntimeError, UnsupportedError

from .autograd.function import Function
from .dispatch import current_trace
from .methods import functions_under
from .storage import Array
from .tensor import Tensor

globals().update(functions_under("linalg"))


class SlogDet(NamedTuple):
    """The sign of a determinant, and the logarithm of its absolute value."""

    sign: Tensor
    logabsdet: Tensor


def _square(name: str, a: Tensor) -> None:
    """Refuse what is no batch of square matrices of floats, in torch's sentences, and values of a trace."""
    if a.ndim < 2:
        raise GradRuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    rows, columns = a.shape[-2:]
    if rows != columns:
        raise GradRuntimeError(
            f"{name}: A must be batches of square matrices, but they are {rows} by {columns} matrices"
        )
    if not a.is_floating_point() or a.dtype.is_half:
        raise UnsupportedError(f"{name}: expected float32 or float64, got {a._type}")
    trace = current_trace()
    if trace is not None:
        raise UnsupportedError(
            f"{name} has no kernel and runs eagerly only", loc=trace.loc(), hint="call it outside the compiled function"
        )


def _solved(name: str, done: str, run: Callable[..., Array], *arrays: Array) -> Tensor:
    try:
        return Tensor._of(np.asarray(run(*arrays)).astype(arrays[0].dtype))
    except np.linalg.LinAlgError:
        matrices = arrays[0].reshape(-1, *arrays[0].shape[-2:])
        at = next((i for i, m in enumerate(matrices) if np.linalg.matrix_rank(m) < m.shape[0]), 0)
        batch = f"(Batch element {at}): " if arrays[0].ndim > 2 else ""
        where = f"The diagonal element {_zero_pivot(matrices[at])} is zero, the" if "inv" in name else "The"
        raise GradRuntimeError(
            f"{name}: {batch}{where} {done} could not be completed because the input matrix is singular."
        ) from None


def _zero_pivot(m: Array) -> int:
    """The first pivot of Gaussian elimination that is zero, counted from 1."""
    m = m.astype(np.float64)
    for k in range(m.shape[0]):
        p = k + int(np.argmax(np.abs(m[k:, k])))
        if m[p, k] == 0:
            return k + 1
        m[[k, p]] = m[[p, k]]
        m[k + 1 :] -= np.outer(m[k + 1 :, k] / m[k, k], m[k])
    return int(m.shape[0])


class _Inverse(Function):
    node_name = "LinalgInvExBackward0"

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        out = _solved("linalg.inv", "inversion", np.linalg.inv, a._array)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, ct: Any) -> Any:
        (out,) = ctx.saved_tensors
        return -(out.mT @ ct @ out.mT)


class _Determinant(Function):
    node_name = "LinalgDetBackward0"

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        out = _solved("linalg.det", "factorisation", np.linalg.det, a._array)
        ctx.save_for_backward(a, out)
        return out

    @staticmethod
    def backward(ctx: Any, ct: Any) -> Any:
        a, out = ctx.saved_tensors
        return (ct * out).unsqueeze(-1).unsqueeze(-1) * inv(a).mT


class _LogDeterminant(Function):
    node_name = "LinalgSlogdetBackward0"

    @staticmethod
    def forward(ctx: Any, a: Any) -> Any:
        sign, value = np.linalg.slogdet(a._array)
        ctx.save_for_backward(a)
        outs = Tensor._of(np.asarray(sign)), Tensor._of(np.asarray(value))
        ctx.mark_non_differentiable(outs[0])
        return outs

    @staticmethod
    def backward(ctx: Any, sign: Any, ct: Any) -> Any:
        (a,) = ctx.saved_tensors
        return ct.unsqueeze(-1).unsqueeze(-1) * inv(a).mT


def inv(A: Tensor) -> Any:
    """The inverse of each matrix [..., n, n]. A singular one is a RuntimeError."""
    _square("linalg.inv", A)
    return _Inverse.apply(A)


def det(A: Tensor) -> Any:
    """The determinant of each matrix [..., n, n]; its gradient is det(A) inv(A)^T, so A must not be singular there."""
    _square("linalg.det", A)
    return _Determinant.apply(A)


def slogdet(A: Tensor) -> SlogDet:
    """Sign and logarithm of the absolute value of the determinant of each matrix [..., n, n]."""
    _square("linalg.slogdet", A)
    return SlogDet(*_LogDeterminant.apply(A))


def logdet(A: Tensor) -> Any:
    """The logarithm of the determinant of each matrix [..., n, n]: NaN where it is negative."""
    sign, value = slogdet(A)
    return value + sign.log().detach() if bool((sign < 1).any()) else value


def solve(A: Tensor, B: Tensor) -> Any:
    """X with A X = B, for matrices [..., n, n] and B [..., n, k], or one vector [n]."""
    _square("linalg.solve", A)
    if B.ndim == 1:
        return (inv(A) @ B.unsqueeze(-1)).squeeze(-1)
    return inv(A) @ B
