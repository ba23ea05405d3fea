"""torch's products of fixed rank: mm, mv, dot, bmm, and their forms with an addend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError, ShapeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, tensor

from .axis import SCALAR_NAMES
from .contract import MATRICES, check_dtypes
from .labels import pair
from .shape import normal

Check = Callable[[TensorType, TensorType], None]


def _times(t: TensorType) -> str:
    return "x".join(map(str, t.shape))


def check_mm(x: TensorType, y: TensorType) -> None:
    if x.ndim != 2:
        raise ShapeError("self must be a matrix")
    if y.ndim != 2:
        raise ShapeError("mat2 must be a matrix")
    if x.shape[1] != y.shape[0]:
        raise ShapeError(f"mat1 and mat2 shapes cannot be multiplied ({_times(x)} and {_times(y)})")


def check_mv(x: TensorType, y: TensorType) -> None:
    if x.ndim != 2 or y.ndim != 1:
        raise ShapeError(f"vector + matrix @ vector expected, got 1, {x.ndim}, {y.ndim}")
    if x.shape[1] != y.shape[0]:
        raise ShapeError(f"size mismatch, got input ({x.shape[0]}), mat ({_times(x)}), vec ({y.shape[0]})")


def check_dot(x: TensorType, y: TensorType) -> None:
    if x.ndim != 1 or y.ndim != 1:
        raise ShapeError(f"1D tensors expected, but got {x.ndim}D and {y.ndim}D tensors")
    if x.shape != y.shape:
        raise ShapeError(
            f"inconsistent tensor size, expected tensor [{x.numel}] and src [{y.numel}] to have the same number of "
            f"elements, but got {x.numel} and {y.numel} elements respectively"
        )


def check_bmm(x: TensorType, y: TensorType) -> None:
    for name, t in (("batch1", x), ("batch2", y)):
        if t.ndim != 3:
            raise ShapeError(f"{name} must be a 3D tensor")
    want = [x.shape[0], x.shape[2]]
    if want != list(y.shape[:2]):
        raise ShapeError(
            f"Expected size for first two dimensions of batch2 tensor to be: {want} but got: {list(y.shape[:2])}."
        )


class Form:
    """A product's labels, checks and sentences, shared by its plain form and its form with an addend."""

    def __init__(self, labels: str, check: Check, kernel: str, mixed: str) -> None:
        operands, self.out = labels.split("->")
        self.x, self.y = operands.split(",")
        self.check, self.kernel, self.mixed = check, kernel, mixed

    def infer(self, x: TensorType, y: TensorType) -> TensorType:
        self.check(x, y)
        d = check_dtypes(x, y, self.kernel, self.mixed)
        at = dict(zip(self.x + self.y, x.shape + y.shape, strict=True))
        return tensor(tuple(at[label] for label in self.out), d)

    def apply(self, b: Any, x: Any, y: Any) -> Any:
        return pair(b, x, self.x, y, self.y, self.out)

    def first(self, b: Any, ct: Any, y: Any) -> Any:
        """The cotangent of the first operand."""
        return pair(b, ct, self.out, y, self.y, self.x)

    def second(self, b: Any, ct: Any, x: Any) -> Any:
        return pair(b, x, self.x, ct, self.out, self.y)


SCALARS = "expected scalar type {0} but found {1}"
MM = Form("ik,kj->ij", check_mm, "addmm_impl_cpu_", MATRICES)
MV = Form(
    "ik,k->i", check_mv, "addmv_impl_cpu", "addmv input tensors must have the same dtype, but got {1}, {0}, and {1}"
)
DOT = Form("k,k->", check_dot, "dot", "dot : expected both vectors to have same dtype, but found {0} and {1}")
BMM = Form("bik,bkj->bij", check_bmm, "bmm", SCALARS)


def _plain(name: str, form: Form, second: str, shapes: list[Any], names: tuple[str, ...]) -> Op:
    """Define a product without addend; `second` is torch's name of the second operand."""
    calls: dict[str, Any] = {
        "mat2": lambda op, self, mat2: op(self, mat2),
        "vec": lambda op, self, vec: op(self, vec),
        "tensor": lambda op, self, tensor: op(self, tensor),
    }
    return define(
        Op(
            name=f"grad.{name}",
            kind=COMPOSITE,
            operands=("self", "other"),
            results=("result",),
            infer=form.infer,
            numpy=np.matmul,
            decompose=lambda b, self, other: form.apply(b, self, other),
            adjoint={
                "self": lambda b, ct, other: form.first(b, ct, other),
                "other": lambda b, ct, self: form.second(b, ct, self),
            },
            grad_fn=f"{name.capitalize()}Backward0",
            saved={"self": "self", second: "other"},
            flops=2,
            torch=(Torch(calls[second], names, names),),
            sample=lambda rng: [((normal(rng, *a), normal(rng, *b)), {}) for a, b in shapes],
            doc=f"The product {form.x},{form.y}->{form.out}.",
        )
    )


_plain("mm", MM, "mat2", [((2, 3), (3, 4)), ((0, 3), (3, 2)), ((2, 0), (0, 3))], ("mm",))
_plain("mv", MV, "vec", [((2, 3), (3,)), ((2, 0), (0,))], ("mv",))
_plain("dot", DOT, "tensor", [((3,), (3,)), ((0,), (0,))], ("dot",))
_plain("bmm", BMM, "mat2", [((2, 3, 4), (2, 4, 5)), ((0, 3, 4), (0, 4, 5))], ("bmm",))


def _scaled(b: Any, x: Any, factor: Any) -> Any:
    return x if factor == 1 else x * b.scalar(factor, x.dtype)


def _added(
    name: str,
    form: Form,
    operands: tuple[str, str],
    mixed: Callable[[str, str, str], str],
    call: Callable[..., Any],
    samples: list[Any],
) -> Op:
    """Define beta * input + alpha * product. With beta 0 the input does not count, NaN or not."""

    def infer(input: TensorType, x: TensorType, y: TensorType, *, beta: Any = 1, alpha: Any = 1) -> TensorType:
        if form is MM and x.ndim != 2:
            raise ShapeError(f"mat1 must be a matrix, got {x.ndim}-D tensor")
        if form is MM and y.ndim != 2:
            raise ShapeError(f"mat2 must be a matrix, got {y.ndim}-D tensor")
        form.check(x, y)
        if input.dtype is not y.dtype or x.dtype is not y.dtype:
            raise DTypeError(mixed(*(SCALAR_NAMES[t.dtype.name] for t in (input, x, y))))
        out = form.infer(x, y)
        if form is MV:
            if input.ndim > 1:
                raise ShapeError(f"vector + matrix @ vector expected, got {input.ndim}, {x.ndim}, {y.ndim}")
            if input.shape not in ((), (1,), out.shape):
                raise ShapeError(f"size mismatch, got input ({input.numel}), mat ({_times(x)}), vec ({y.shape[0]})")
        expand_to(input, out.shape)
        return out

    def decompose(b: Any, input: Any, x: Any, y: Any, beta: Any = 1, alpha: Any = 1) -> Any:
        out = _scaled(b, form.apply(b, x, y), alpha)
        return out if beta == 0 else _scaled(b, input, beta) + out

    def numpy(input: Any, x: Any, y: Any, beta: Any = 1, alpha: Any = 1) -> Any:
        out = np.matmul(x, y)
        out = out if alpha == 1 else out * out.dtype.type(alpha)
        return out if beta == 0 else (input if beta == 1 else input * out.dtype.type(beta)) + out

    return define(
        Op(
            name=f"grad.{name}",
            kind=COMPOSITE,
            operands=("input", "self", "other"),
            results=("result",),
            attrs={"beta": "number", "alpha": "number"},
            infer=infer,
            numpy=numpy,
            decompose=decompose,
            adjoint={
                "input": lambda b, ct, beta: _scaled(b, ct, beta),
                "self": lambda b, ct, other, alpha: form.first(b, _scaled(b, ct, alpha), other),
                "other": lambda b, ct, self, alpha: form.second(b, _scaled(b, ct, alpha), self),
            },
            grad_fn=f"{name.capitalize()}Backward0",
            saved={operands[0]: "self", operands[1]: "other", "beta": "beta", "alpha": "alpha"},
            flops=2,
            torch=(Torch(call, (name,), (name,), (f"{name}_",)),),
            sample=lambda rng: [
                (tuple(normal(rng, *s) for s in shapes), {"beta": beta, "alpha": alpha})
                for shapes, beta, alpha in samples
            ],
            doc=f"beta * input + alpha * ({form.x},{form.y}->{form.out}).",
        )
    )


def expand_to(t: TensorType, shape: tuple[int, ...]) -> None:
    """Refuse an addend that does not broadcast to a product, with torch's sentence."""
    lead = len(shape) - t.ndim
    for i, d in enumerate(t.shape):
        if lead < 0 or d not in (1, shape[i + lead]):
            raise ShapeError(
                f"The expanded size of the tensor ({shape[i + lead] if lead >= 0 else len(shape)}) must match the "
                f"existing size ({d}) at non-singleton dimension {i + max(lead, 0)}.  Target sizes: {list(shape)}.  "
                f"Tensor sizes: {list(t.shape)}"
            )


def _addmm_call(op: Any, input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return op(input, mat1, mat2, beta=beta, alpha=alpha)


def _addmv_call(op: Any, input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return op(input, mat, vec, beta=beta, alpha=alpha)


def _baddbmm_call(op: Any, input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return op(input, batch1, batch2, beta=beta, alpha=alpha)


_added(
    "addmm",
    MM,
    ("mat1", "mat2"),
    lambda i, x, y: (
        f"self and mat2 must have the same dtype, but got {i} and {y}"
        if i != y
        else f"mat1 and mat2 must have the same dtype, but got {x} and {y}"
    ),
    _addmm_call,
    [(((4,), (2, 3), (3, 4)), 1, 1), (((2, 4), (2, 3), (3, 4)), 0.5, -2.0), (((), (2, 0), (0, 3)), 0, 1)],
)
_added(
    "addmv",
    MV,
    ("mat", "vec"),
    lambda i, x, y: f"addmv input tensors must have the same dtype, but got {i}, {x}, and {y}",
    _addmv_call,
    [(((2,), (2, 3), (3,)), 1, 1), (((2,), (2, 3), (3,)), 2.0, 0.5)],
)
_added(
    "baddbmm",
    BMM,
    ("batch1", "batch2"),
    lambda i, x, y: f"Input dtypes must be the same, got: input {i.lower()}, batch1: {x.lower()}, batch2: {y.lower()}",
    _baddbmm_call,
    [(((4,), (2, 3, 5), (2, 5, 4)), 1, 1), (((2, 3, 4), (2, 3, 5), (2, 5, 4)), 0.5, 2.0)],
)
