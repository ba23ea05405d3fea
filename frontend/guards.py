"""What a function reads from outside its arguments, and whether it still is what it was when the function was traced.

Before tracing, the function is followed as far as it reaches (`reach.py`): what it reads there gets checks, which hold
at every call that uses the trace; tensors get a reader, so that each call sees the tensor that stands there then. What
changes by being read (iterators, random generators, clocks) and what is too large to compare cannot be guarded: where
the code names it, it is refused; where it merely lies in an object that the code names, only its identity is checked.
"""

from __future__ import annotations

from typing import Any

from gradc.ir.errors import TraceError

from .changing import BYTES
from .checks import MISSING, Check, Reader
from .reach import Found, Reach
from .tensor import Tensor


class Guards(Reach):
    """The checks and the tensor readers of one trace of one function."""

    def __init__(self, root: Any, name: str) -> None:
        super().__init__()
        self.follow(name, root)

    def broken(self) -> str | None:
        """The path of the first check that fails, None if all hold."""
        for check in self.checks:
            try:
                if not check.holds():
                    return check.path
            except (LookupError, AttributeError, ValueError):
                return check.path
        return None

    def reader(self, t: Tensor) -> Reader:
        """What reads a captured tensor anew at each call; raises where no path to it is known."""
        if id(t) not in self.readers:
            raise TraceError(
                f"the function uses a tensor {t._type} from outside, and where it comes from cannot be followed",
                hint="pass it as an argument, or let the function name the variable or attribute that holds it",
            )
        return self.readers[id(t)][1]

    def expect(self, path: str, read: Reader) -> None:
        """Guard that `read` gives what it gives now."""
        self._check(path, read)

    def once(self, path: str) -> None:
        """Say that `path` changes by the call that is being traced."""
        self.checks.append(Check(path, lambda: MISSING, None, False))

    def follow_grad(self, t: Tensor) -> None:
        """Guard that the `.grad` of a captured tensor is there, or is not, and read it anew at each call."""
        path, read = self.readers[id(t)][0] if id(t) in self.readers else "a tensor", self.reader(t)
        if t._grad is None:
            self.checks.append(Check(f"{path}.grad", lambda: read()._grad, None, False))
        else:
            self._tensor(Found(f"{path}.grad", t._grad, lambda: read()._grad, False))

    def freeze(self, t: Tensor, what: str) -> None:
        """Guard the contents of a captured tensor, whose data was read while tracing."""
        read = self.reader(t)
        if t._type.nbytes > BYTES:
            raise TraceError(
                f"{what} of a captured tensor of {t._type.nbytes:,} bytes while tracing: "
                "its contents cannot be guarded",
                hint="use the tensor itself, or pass what is read as an argument",
            )
        self._check(f"the contents of {self.readers[id(t)][0]}", lambda: read()._array.copy())
