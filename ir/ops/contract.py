"""The contraction primitive: any product of two tensors summed over some of their dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import product
from gradc.ir.errors import DTypeError, ShapeError, UnsupportedError
from gradc.ir.op import CONTRACTION, Op, define
from gradc.ir.types import DType, TensorType, tensor

from .axis import SCALAR_NAMES
from .labels import pair
from .shape import normal

C_NAMES = {
    "f64": "double",
    "f32": "float",
    "f16": "c10::Half",
    "bf16": "c10::BFloat16",
    "i64": "long int",
    "i32": "int",
    "i16": "short int",
    "i8": "signed char",
    "ui8": "unsigned char",
    "i1": "bool",
}
"""The names torch's sentences about matrix products use for element types."""
MATRICES = "expected m1 and m2 to have the same dtype, but got: {c0} != {c1}"


def check_dtypes(lhs: TensorType, rhs: TensorType, name: str = "addmm_impl_cpu_", sentence: str = MATRICES) -> DType:
    """The one dtype of a product's operands; `sentence` is torch's for two different ones."""
    a, b = lhs.dtype, rhs.dtype
    if a is not b:
        given = {"c0": C_NAMES.get(a.name, a.name), "c1": C_NAMES.get(b.name, b.name)}
        raise DTypeError(sentence.format(SCALAR_NAMES[a.name], SCALAR_NAMES[b.name], **given))
    if a.kind == "bool":
        raise UnsupportedError(f"\"{name}\" not implemented for 'Bool'")
    return a


def free_dims(rank: int, batch: tuple[int, ...], inner: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(i for i in range(rank) if i not in batch and i not in inner)


def _contract_type(
    lhs: TensorType, rhs: TensorType, *, lhs_batch: Any, rhs_batch: Any, lhs_contract: Any, rhs_contract: Any
) -> TensorType:
    d = check_dtypes(lhs, rhs)
    for what, left, right in (("batch", lhs_batch, rhs_batch), ("contracted", lhs_contract, rhs_contract)):
        extents = [lhs.shape[i] for i in left], [rhs.shape[i] for i in right]
        if extents[0] != extents[1]:
            raise ShapeError(f"contract: {what} dimensions {left} of {lhs} and {right} of {rhs} differ in extent")
    return tensor(
        (
            *(lhs.shape[i] for i in lhs_batch),
            *(lhs.shape[i] for i in free_dims(lhs.ndim, lhs_batch, lhs_contract)),
            *(rhs.shape[i] for i in free_dims(rhs.ndim, rhs_batch, rhs_contract)),
        ),
        d,
    )


def _contract_numpy(lhs: Any, rhs: Any, lhs_batch: Any, rhs_batch: Any, lhs_contract: Any, rhs_contract: Any) -> Any:
    lhs_free, rhs_free = free_dims(lhs.ndim, lhs_batch, lhs_contract), free_dims(rhs.ndim, rhs_batch, rhs_contract)
    batch = tuple(lhs.shape[i] for i in lhs_batch)
    rows, columns = tuple(lhs.shape[i] for i in lhs_free), tuple(rhs.shape[i] for i in rhs_free)
    n, inner = product(batch), product(lhs.shape[i] for i in lhs_contract)
    left = lhs.transpose(*lhs_batch, *lhs_free, *lhs_contract).reshape(n, product(rows), inner)
    right = rhs.transpose(*rhs_batch, *rhs_contract, *rhs_free).reshape(n, inner, product(columns))
    return np.matmul(left, right).reshape((*batch, *rows, *columns))


def _operand_labels(rank: int, batch: Any, inner: Any, side: str) -> list[Any]:
    labels: list[Any] = [(side, i) for i in range(rank)]
    for k, i in enumerate(batch):
        labels[i] = ("batch", k)
    for k, i in enumerate(inner):
        labels[i] = ("inner", k)
    return labels


def _contract_labels(
    lhs: int, rhs: int, lhs_batch: Any, rhs_batch: Any, lhs_contract: Any, rhs_contract: Any
) -> tuple[list[Any], list[Any], list[Any]]:
    x = _operand_labels(lhs, lhs_batch, lhs_contract, "lhs")
    y = _operand_labels(rhs, rhs_batch, rhs_contract, "rhs")
    out = [("batch", k) for k in range(len(lhs_batch))]
    return x, y, [*out, *(v for v in x if v[0] == "lhs"), *(v for v in y if v[0] == "rhs")]


def _lhs_adjoint(
    b: Any, ct: Any, lhs_t: TensorType, rhs: Any, lhs_batch: Any, rhs_batch: Any, lhs_contract: Any, rhs_contract: Any
) -> Any:
    x, y, out = _contract_labels(lhs_t.ndim, rhs.ndim, lhs_batch, rhs_batch, lhs_contract, rhs_contract)
    return pair(b, ct, out, rhs, y, x)


def _rhs_adjoint(
    b: Any, ct: Any, rhs_t: TensorType, lhs: Any, lhs_batch: Any, rhs_batch: Any, lhs_contract: Any, rhs_contract: Any
) -> Any:
    x, y, out = _contract_labels(lhs.ndim, rhs_t.ndim, lhs_batch, rhs_batch, lhs_contract, rhs_contract)
    return pair(b, lhs, x, ct, out, y)


CONTRACT = define(
    Op(
        name="grad.contract",
        kind=CONTRACTION,
        operands=("lhs", "rhs"),
        results=("result",),
        attrs={"lhs_batch": "ints", "rhs_batch": "ints", "lhs_contract": "ints", "rhs_contract": "ints"},
        infer=_contract_type,
        numpy=_contract_numpy,
        adjoint={"lhs": _lhs_adjoint, "rhs": _rhs_adjoint},
        grad_fn="BmmBackward0",
        flops=2,
        sample=lambda rng: [
            (
                (normal(rng, 2, 3, 4), normal(rng, 4, 2, 5)),
                {"lhs_batch": (0,), "rhs_batch": (1,), "lhs_contract": (2,), "rhs_contract": (0,)},
            ),
            (
                (normal(rng, 3, 4), normal(rng, 4, 3)),
                {"lhs_batch": (), "rhs_batch": (), "lhs_contract": (1, 0), "rhs_contract": (0, 1)},
            ),
            (
                (normal(rng, 2, 0), normal(rng, 0, 3)),
                {"lhs_batch": (), "rhs_batch": (), "lhs_contract": (1,), "rhs_contract": (0,)},
            ),
        ],
        doc="A product summed over the contracted dimensions; the result has the batch dimensions, the other ones "
        "of lhs, and those of rhs, in this order. Half types accumulate in float32.",
    )
)
