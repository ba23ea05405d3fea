"""What a program takes and gives, and the arrays in between."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gradc.ir.errors import GradTypeError, ShapeError
from gradc.ir.types import TensorType

from .checks import Reader
from .interop import is_array, to_tensor
from .pytree import Structure, flatten, unflatten
from .specs import Spec
from .tensor import Tensor


class Argument(NamedTuple):
    """A leaf of the arguments: a tensor of this type, or (type None) the fixed Python value `default`."""

    name: str
    type: TensorType | None
    requires_grad: bool
    default: Any


class Outcome(tuple[Any, Any]):
    """`(value, gradients)`; by name, `captured` holds the gradients of captured tensors, and `written` the new contents
    of the inputs that the function writes to."""

    captured: dict[str, Any]
    written: dict[str, Any]

    def __new__(cls, value: Any, grads: Any, captured: dict[str, Any], written: dict[str, Any]) -> Outcome:
        self = super().__new__(cls, (value, grads))
        self.captured, self.written = captured, written
        return self


class Signature(NamedTuple):
    """The leaves of the arguments and their structure, that of the results, and the tensors read from outside."""

    arguments: tuple[Argument, ...]
    structure: Structure
    results: Structure
    captured: tuple[tuple[Reader | None, Tensor], ...]

    @property
    def arity(self) -> int:
        """How many positional arguments there are."""
        return len(self.structure[2][0][2])

    @property
    def tensors(self) -> list[int]:
        """The leaves that are graph inputs."""
        return [i for i, a in enumerate(self.arguments) if a.type is not None]

    def arrays(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
        """The program's inputs for these arguments; raises by name where one does not fit."""
        leaves, structure = flatten((args, kwargs))
        if structure != self.structure:
            want, got = self.arity, len(args)
            detail = f"takes {want} arguments, got {got}" if want != got else "got arguments of another structure"
            raise GradTypeError(f"{name}: {detail} than it was built for" if want == got else f"{name}: {detail}")
        out = []
        for leaf, a in zip(leaves, self.arguments, strict=True):
            if a.type is not None:
                out.append(as_array(name, a.name, leaf, a.type))
            elif not (leaf is a.default or leaf == a.default):
                raise GradTypeError(f"{name}: {a.name} was built in as {a.default!r}, got {leaf!r}")
        return out + [captured_array(name, read, first) for read, first in self.captured]

    def gradients(self, by_input: dict[int, Any]) -> tuple[Any, ...]:
        """One gradient (or tree of them) per argument; None where there is none."""
        at = {leaf: by_input.get(k) for k, leaf in enumerate(self.tensors)}
        args, kwargs = unflatten(self.structure, iter([at.get(i) for i in range(len(self.arguments))]))
        return (*args, *kwargs.values())

    def hidden(self, by_input: dict[int, Any], names: list[str]) -> dict[str, Any]:
        """The gradients of captured tensors, by the name under which they are read."""
        n = len(self.tensors)
        return {names[k]: g for k, g in by_input.items() if k >= n}


def as_array(program: str, name: str, x: Any, want: TensorType) -> np.ndarray[Any, Any]:
    """An argument as a row-major array of exactly this type."""
    if isinstance(x, bool | int | float):
        x = np.asarray(x, want.dtype.numpy)
    if isinstance(x, Spec) or not is_array(x):
        raise GradTypeError(f"{program}: {name} must be an array of {want}, got {type(x).__name__}")
    t = to_tensor(x)
    if t._type != want:
        raise ShapeError(f"{program}: {name} must be {want}, got {t._type}")
    return row_major(t)


def captured_array(program: str, read: Reader | None, first: Tensor) -> np.ndarray[Any, Any]:
    """A captured tensor as it is now."""
    t = first if read is None else read()
    if not isinstance(t, Tensor) or t._type != first._type:
        got = t._type if isinstance(t, Tensor) else type(t).__name__
        raise GradTypeError(f"{program}: a captured tensor was {first._type} and is now {got}")
    return row_major(t)


def row_major(t: Tensor) -> np.ndarray[Any, Any]:
    array = t.detach()._data("an argument")
    return np.ascontiguousarray(array).reshape(array.shape)
