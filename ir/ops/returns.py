"""Named tuples for ops with several results, printed as torch prints its return types."""

from __future__ import annotations

from collections import namedtuple
from functools import cache
from typing import Any


@cache
def named(op: str, *fields: str) -> Any:
    """The tuple class `torch.return_types.<op>` with these fields; a tracer may rebuild it by `cls(*values)`."""

    def show(self: Any) -> str:
        rows = ",\n".join(f"{name}={value!r}" for name, value in zip(fields, self, strict=True))
        return f"torch.return_types.{op}(\n{rows})"

    base: Any = namedtuple(op, fields)  # type: ignore[misc]
    return type(op, (base,), {"__slots__": (), "__repr__": show, "__module__": __name__})
