"""Ops that carry structure: constants, detach, calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import ShapeError
from gradc.ir.op import COMPOSITE, CONTROL, ELEMENTWISE, SOURCE, Op, Torch, define
from gradc.ir.types import DType, TensorType, dtype, tensor

CONSTANT = define(
    Op(
        name="grad.constant",
        kind=SOURCE,
        operands=(),
        results=("result",),
        attrs={"value": "number", "dtype": "dtype"},
        infer=lambda value, dtype: tensor((), dtype),
        numpy=lambda value, dtype: np.asarray(value).astype(dtype.numpy),
        flops=0,
        doc="A zero-dimensional constant.",
    )
)


def _full_type(*, shape: tuple[int, ...], value: Any, dtype: DType) -> TensorType:
    return tensor(shape, dtype)


FULL = define(
    Op(
        name="grad.full",
        kind=SOURCE,
        operands=(),
        results=("result",),
        attrs={"shape": "ints", "value": "number", "dtype": "dtype"},
        infer=_full_type,
        numpy=lambda shape, value, dtype: np.full(shape, value, dtype.numpy),
        flops=0,
        doc="A tensor with one value everywhere.",
    )
)

DENSE = define(
    Op(
        name="grad.dense",
        kind=SOURCE,
        operands=(),
        results=("result",),
        attrs={"value": "dense"},
        infer=lambda value: tensor(value.shape, value.dtype),
        numpy=lambda value: np.frombuffer(value.data, dtype=value.dtype.numpy).reshape(value.shape),
        flops=0,
        doc="A constant tensor whose bytes are an attribute.",
    )
)

CONVERT = define(
    Op(
        name="grad.convert",
        kind=ELEMENTWISE,
        operands=("self",),
        results=("result",),
        attrs={"dtype": "dtype"},
        infer=lambda x, dtype: tensor(x.shape, dtype),
        numpy=lambda x, dtype: x.astype(dtype.numpy),
        formula=lambda b, self, dtype: b.convert(self, dtype=dtype),
        adjoint={"self": lambda b, ct, self_t: b.convert(ct, dtype=self_t.dtype)},
        grad_fn="ToCopyBackward0",
        sample=lambda rng: [
            ([rng.uniform(-4, 4, (3, 4)).astype(a)], {"dtype": dtype(b)})
            for a, b in (("f4", "f64"), ("f8", "f32"), ("f4", "i32"), ("i8", "f32"), ("i8", "i1"), ("f4", "i1"))
        ],
        doc="Rounds to nearest even between floats, truncates towards zero from float to integer.",
    )
)

DETACH = define(
    Op(
        name="grad.detach",
        kind=ELEMENTWISE,
        operands=("self",),
        results=("result",),
        infer=lambda x: x,
        numpy=lambda x: x,
        formula=lambda b, self: self,
        traits=frozenset({"detach"}),
        torch=(Torch(lambda op, self: op(self), ("detach",)),),
        sample=lambda rng: [([rng.standard_normal((3, 4))], {})],
        flops=0,
        doc="The same value; no cotangent passes.",
    )
)


def _overwrite_type(self: TensorType, value: TensorType) -> TensorType:
    if self != value:
        raise ShapeError(f"overwrite: {self} cannot hold {value}")
    return self


def _overwritten(self: Any, value: Any) -> Any:
    """torch's own: data changes, history does not."""
    out = self.clone()
    out.detach().copy_(value)
    return out


OVERWRITE = define(
    Op(
        name="grad.overwrite",
        kind=COMPOSITE,
        operands=("self", "value"),
        results=("result",),
        infer=_overwrite_type,
        numpy=lambda self, value: value,
        decompose=lambda b, self, value: value,
        adjoint={"self": lambda b, ct: ct},
        sample=lambda rng: [([rng.standard_normal((3, 4)), rng.standard_normal((3, 4))], {}, _overwritten)],
        traits=frozenset({"unrecorded"}),
        flops=0,
        doc="A write that is not recorded (under no_grad, or through a detached view): `self` holds `value` from here "
        "on, and its history stays what it was.",
    )
)


def _call_type(*types: TensorType, **attrs: Any) -> Any:
    raise TypeError("grad.call takes its result types from its region")


CALL = define(
    Op(
        name="grad.call",
        kind=CONTROL,
        operands=("args*",),
        results=("results*",),
        attrs={"callee": "str"},
        infer=_call_type,
        doc="Runs its region on its operands, all that it sees. `inline` (a pass) puts the body in its place.",
    )
)
