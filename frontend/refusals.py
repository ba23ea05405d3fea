"""What cannot be done with a traced value, and what to do instead."""

from __future__ import annotations

from typing import NoReturn

from gradc.ir.errors import TraceError
from gradc.ir.graph import Loc

BRANCH = (
    "a branch on a traced value: while tracing, its truth is not known",
    "use where(condition, a, b), or make the condition a Python value passed as an argument",
)
RETURN = "return the tensor from the function and read the result"


def needs_data(what: str, loc: Loc | None) -> NoReturn:
    """`what` was asked of a traced value."""
    if what in ("bool", "bool()", "__bool__()"):
        raise TraceError(BRANCH[0], loc=loc, hint=BRANCH[1])
    if what.isidentifier():
        what += "()"
    raise TraceError(f"{what} of a traced value: while tracing there is no data", loc=loc, hint=RETURN)


def once(what: str, hint: str, loc: Loc | None) -> NoReturn:
    """`what` takes effect at once, and the calls that follow would not repeat it."""
    raise TraceError(f"{what} while tracing: it would take effect while tracing only", loc=loc, hint=hint)


def leaked(name: str, ended: bool, loc: Loc | None) -> NoReturn:
    """A value of the trace of `name` was used where that trace does not run."""
    where = "after its trace ended" if ended else "outside the function that is being traced"
    raise TraceError(
        f"a traced value of {name!r} leaked: it is used {where}",
        loc=loc,
        hint="return it from the function instead of storing it elsewhere",
    )
