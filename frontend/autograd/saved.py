"""Tensors saved for backward: the version they had, and what is said if they changed or are gone."""

from __future__ import annotations

import re
import weakref
from typing import TYPE_CHECKING, Any

from gradc.ir.errors import GradRuntimeError, GradTypeError
from gradc.ir.types import DType, TensorType

from ..storage import Array, Storage
from ..tensor import Tensor
from .grad_mode import MODES

if TYPE_CHECKING:
    from .node import Node

FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
    "after calling backward."
)
INFERENCE = (
    "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
    "computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use it "
    "in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`."
)

TYPE_NAMES = {
    "f64": "Double", "f32": "Float", "f16": "Half", "bf16": "BFloat16", "i64": "Long", "i32": "Int", "i16": "Short",
    "i8": "Char", "ui8": "Byte", "ui32": "UInt32", "ui64": "UInt64", "i1": "Bool",
}  # fmt: skip


def type_name(dtype: DType) -> str:
    """torch's word for an element type in error sentences: "Float"."""
    return TYPE_NAMES[dtype.name]


def _array_type(dtype: DType) -> str:
    """torch names the element types that its first versions had differently from the later ones."""
    name = type_name(dtype)
    return f"CPU{name}Type" if name in ("Bool", "BFloat16") else f"torch.{name}Tensor"


def short_name(node: str) -> str:
    """A node's name as torch's error sentences give it: "Mul" for MulBackward0."""
    return re.sub(r"Backward\d*$", "", node)


def changed(type_: TensorType, origin: tuple[str, int] | None, now: int, expected: int) -> GradRuntimeError:
    which = f", which is output {origin[1]} of {short_name(origin[0])}," if origin else ""
    return GradRuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"[{_array_type(type_.dtype)} {list(type_.shape)}]{which} is at version {now}; expected version "
        f"{expected} instead. Hint: enable anomaly detection to find the operation that failed to compute its "
        "gradient, with torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )


class Packed:
    """What the user's pack hook made of a tensor, and the hook that gives it back."""

    __slots__ = ("hook", "kept")

    def __init__(self, tensor: Tensor) -> None:
        pack, self.hook = MODES.saving[-1]
        self.kept = pack(tensor)

    def unpack(self) -> Tensor:
        out = self.hook(self.kept)
        if not isinstance(out, Tensor):
            raise GradTypeError(
                f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(out)}"
            )
        return out


class Saved:
    """A saved operand: the tensor itself and the version it must still have."""

    __slots__ = ("tensor", "version")

    def __init__(self, tensor: Tensor) -> None:
        if tensor._inference:
            raise GradRuntimeError(INFERENCE)
        self.tensor: Any = tensor
        self.version = tensor._storage.version
        if MODES.saving and tensor._number is None:
            self.tensor = Packed(tensor)

    def unpack(self, node: Node) -> Tensor:
        t = self.tensor
        if t is None:
            raise GradRuntimeError(FREED)
        if type(t) is Packed:
            return t.unpack()
        if t._storage.version != self.version:
            fn = t.grad_fn
            origin = None if fn is None else (fn.name(), t._output_nr)
            raise changed(t._type, origin, t._storage.version, self.version)
        return t  # type: ignore[no-any-return]

    def show(self, node: Node) -> Tensor:
        """What `_saved_*` gives: the tensor, or for a number beside a tensor that number as torch wraps it."""
        t = self.unpack(node)
        return t if t._number is None else t._wrapped_number()

    def release(self) -> None:
        self.tensor = None


class SavedResult:
    """A saved result. It must not hold the result tensor, which holds the node; it keeps the memory alone."""

    __slots__ = ("array", "nr", "origin", "packed", "storage", "type", "version")

    def __init__(self, array: Array, storage: Storage, type_: TensorType, nr: int) -> None:
        self.array: Array | None = array
        self.storage: Storage = storage
        self.version = storage.version
        self.type, self.nr = type_, nr
        self.packed: Packed | None = None
        self.origin: weakref.ref[Node] | None = None
        if MODES.saving:
            self.packed = Packed(Tensor._make(type_, array, storage))

    def unpack(self, node: Node) -> Tensor:
        if self.array is None:
            raise GradRuntimeError(FREED)
        if self.packed is not None:
            out = self.packed.unpack()
            return Tensor._make(self.type, out._array, out._storage, node, self.nr)
        if self.storage.version != self.version:
            shown = None if self.origin is None else self.origin()
            name = node.name() if shown is None else shown.name()
            raise changed(self.type, (name, self.nr), self.storage.version, self.version)
        # An integer result (the indices of a maximum) is no output that a gradient arrives at.
        return Tensor._make(self.type, self.array, self.storage, node if self.type.dtype.is_float else None, self.nr)

    show = unpack

    def release(self) -> None:
        self.array = None
