"""Functions, methods and properties, generated from the `torch` entries of the op table."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError, GradTypeError
from gradc.ir.op import Op, Torch
from gradc.ir.ops import REGISTRY

from .autograd.grad_mode import MODES
from .autograd.parts import together
from .dispatch import apply
from .inplace import apply_inplace
from .tensor import Tensor

OPERANDS = (Tensor, int, float, np.generic)
FOREIGN = (str, bytes, list, tuple, dict, set, type(None))
SYMBOLS = {
    **{"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "** or pow()"},
    **{"iadd": "+=", "isub": "-=", "imul": "*=", "itruediv": "/=", "ifloordiv": "//=", "imod": "%="},
    **{"and": "&", "or": "|", "xor": "^", "lt": "<", "le": "<=", "gt": ">", "ge": ">="},
}
SEVERAL = frozenset({"unbind", "split", "chunk"})
"""Spellings whose results are views that share one tape node."""
POSITION = r"\(position (\d+)\)"
MISSING = r"missing (\d+) required positional arguments?: (.*)"
ALIASES = {"axis": "dim", "keepdims": "keepdim", "input": "self", "self": "input", "x": "self"}


class Handle:
    """What an entry's `call` receives as `op`: applies the record to operands and attributes."""

    __slots__ = ("op",)

    def __init__(self, op: Op) -> None:
        self.op = op

    def __call__(
        self, *operands: Any, grad_fn: str | None = None, record: Op | None = None, inplace: bool = False, **attrs: Any
    ) -> Any:
        op = self.op if record is None else record
        if inplace:
            return apply_inplace(operands[0], lambda: apply(op, operands, attrs, grad_fn))
        return apply(op, operands, attrs, grad_fn)


def _function(op: Op, entry: Torch, name: str) -> Callable[..., Any]:
    handle, call = Handle(op), together(entry.call) if name in SEVERAL else entry.call

    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            if kwargs:
                out = kwargs.pop("out", None)
                result = call(handle, *args, **_renamed(call, kwargs))
                return result if out is None else _into(name, out, result)
            return call(handle, *args)
        except (TypeError, AttributeError, ValueError) as error:
            raise _explained(error, name, call, args) from None

    return _named(function, name, op)


def _method(op: Op, entry: Torch, name: str) -> Callable[..., Any]:
    handle, call = Handle(op), together(entry.call) if name in SEVERAL else entry.call

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        try:
            if kwargs:
                return call(handle, self, *args, **_renamed(call, kwargs))
            return call(handle, self, *args)
        except (TypeError, AttributeError, ValueError) as error:
            raise _explained(error, name, call, args, method=True) from None

    return _named(method, name, op)


def _inplace_method(op: Op, entry: Torch, name: str) -> Callable[..., Any]:
    method = _method(op, entry, name)

    def inplace(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return apply_inplace(self, lambda: method(self, *args, **kwargs))

    return _named(inplace, name, op)


def _operator(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """A method as Python's operator protocol wants it: other kinds of operand get their turn, and values that can
    have none are refused."""
    symbol = SYMBOLS.get(name.strip("_"))

    def operator(self: Tensor, *other: Any) -> Any:
        if other and not isinstance(other[0], OPERANDS):
            if isinstance(other[0], np.ndarray) and name in ("__eq__", "__ne__"):
                from .from_data import as_tensor

                return method(self, as_tensor(other[0]))
            if symbol is not None and isinstance(other[0], FOREIGN):
                kind = type(other[0]).__name__
                if symbol in "<=>=":
                    raise GradTypeError(f"'{symbol}' not supported between instances of 'Tensor' and '{kind}'")
                raise GradTypeError(f"unsupported operand type(s) for {symbol}: 'Tensor' and '{kind}'")
            return NotImplemented
        return method(self, *other)

    return operator


def _named(function: Callable[..., Any], name: str, op: Op) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = op.doc or f"torch's {name}."
    return function


@cache
def _parameters(call: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(call).parameters)[1:]


def _renamed(call: Callable[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments under the names of the call's parameters: `axis` for `dim`, `input` for `self`."""
    known = _parameters(call)
    return {k if k in known else ALIASES.get(k, k): v for k, v in kwargs.items()}


def _into(name: str, out: Any, result: Any) -> Any:
    """`out=`: one tensor, or one per result."""
    if isinstance(result, tuple):
        for o, r in zip(out, result, strict=True):
            _into(name, o, r)
        return out
    if MODES.grad and (out.requires_grad or result.requires_grad):
        raise GradRuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad."
        )
    if out._traced is None and out._type.shape != result._type.shape and out._type.numel == 0:
        out.resize_(result._type.shape)
    out.copy_(result)
    return out


def _explained(
    error: Exception, name: str, call: Callable[..., Any], args: tuple[Any, ...], method: bool = False
) -> Exception:
    """Python's complaint about a call as torch words it; errors of our own stay as they are."""
    from gradc.ir.errors import GradcError

    if isinstance(error, GradcError):
        found = re.search(POSITION, error.bare)
        if method and found:
            # torch counts a method's arguments without the tensor itself.
            place = f"(position {int(found[1]) - 1})"
            text = error.bare if name.startswith("__") else re.sub(r"^\w+\(\)", f"{name}()", error.bare)
            return type(error)(re.sub(POSITION, place, text), loc=error.loc, hint=error.hint)
        return error
    parameters = _parameters(call)[1 if method else 0 :]
    lacking = re.match(r"'(\w+)' object (has no attribute|is not iterable)", str(error))
    for i, (parameter, value) in enumerate(zip(parameters, args, strict=False)):
        kind = type(value).__name__
        if isinstance(value, Tensor):
            continue
        operand = parameter in ("self", "other", "input", "tensor", "mat2", "target")
        if (operand and not isinstance(value, (int, float))) or (lacking and lacking[1] == kind):
            word = "input" if parameter == "self" else parameter
            return GradTypeError(f"{name}(): argument '{word}' (position {i + 1}) must be Tensor, not {kind}")
    wrong = isinstance(error, (TypeError, ValueError))
    text = _reworded(str(error), call)
    return GradTypeError(f"{name}(){'' if text.startswith('missing') else ':'} {text}") if wrong else error


def _reworded(message: str, call: Callable[..., Any]) -> str:
    lacking = re.search(MISSING, message)
    if lacking:
        return f"missing {lacking[1]} required positional arguments: {lacking[2].replace(chr(39), chr(34))}"
    message = message.replace(f"{call.__qualname__}() ", "").replace(f"{call.__name__}() ", "")
    return message.replace("'self'", "'input'")


def install() -> dict[str, Callable[..., Any]]:
    """Put the methods on Tensor; returns the functions by dotted path under gradc."""
    functions: dict[str, Callable[..., Any]] = {}
    for op in REGISTRY.values():
        for entry in op.torch:
            for path in entry.names:
                functions[path] = _function(op, entry, path.rpartition(".")[2])
            for name in entry.methods:
                _attach(name, _method(op, entry, name))
            for name in entry.inplace:
                _attach(name, _inplace_method(op, entry, name))
            for name in entry.properties:
                _attach(name, property(_method(op, entry, name)))
    return functions


def _attach(name: str, value: Any) -> None:
    # What is written by hand in Tensor's own files (detach, copy_, ...) is not overwritten.
    if name not in Tensor.__dict__:
        setattr(Tensor, name, _operator(name, value) if name.startswith("__") else value)
