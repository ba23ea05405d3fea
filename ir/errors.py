"""Every exception of gradc: a `GradcError` and, at once, the builtin that torch raises in the same place.

A message is a lower-case clause naming the op, what was got and what was expected; where known, the user's line and a
remedy follow on lines of their own.
"""

from __future__ import annotations


class GradcError(Exception):
    """The root of all errors raised on purpose by gradc."""

    def __init__(self, message: str, *, loc: object = None, hint: str | None = None) -> None:
        self.bare = message
        self.loc = loc
        self.hint = hint
        lines = [message]
        if loc is not None:
            lines.append(f"  at {loc}")
        if hint is not None:
            lines.append(f"  hint: {hint}")
        super().__init__("\n".join(lines))

    def at(self, loc: object) -> GradcError:
        """The same error carrying the user's line; unchanged if it already has one."""
        if self.loc is not None or loc is None:
            return self
        return type(self)(self.bare, loc=loc, hint=self.hint)


class GradRuntimeError(GradcError, RuntimeError):
    """Raised where torch raises RuntimeError."""


class GradTypeError(GradcError, TypeError):
    """Raised where torch raises TypeError."""


class GradValueError(GradcError, ValueError):
    """Raised where torch raises ValueError."""


class GradIndexError(GradcError, IndexError):
    """Raised where torch raises IndexError."""


class GradKeyError(GradcError, KeyError):
    """Raised where torch raises KeyError."""


class GradAttributeError(GradcError, AttributeError):
    """An attribute that does not exist."""


class ShapeError(GradRuntimeError):
    """Shapes that do not fit the op."""


class DTypeError(GradRuntimeError):
    """A dtype that the op does not take."""


class NotDifferentiableError(GradRuntimeError):
    """A gradient was asked for through an op that has no rule for it."""


class TraceError(GradRuntimeError):
    """Something that cannot be part of a static graph."""


class UnsupportedError(GradRuntimeError, NotImplementedError):
    """A feature that gradc does not cover; raised before anything runs."""


class VerifyError(GradRuntimeError):
    """The IR breaks one of the verifier's laws: `law` is its number, `subject` the node, graph or module that does."""

    def __init__(
        self,
        message: str,
        *,
        law: int = 0,
        subject: object = None,
        line: int = 0,
        loc: object = None,
        hint: str | None = None,
    ) -> None:
        self.law, self.subject, self.line = law, subject, line
        super().__init__(message, loc=loc, hint=hint)

    def at(self, loc: object) -> VerifyError:
        return self

    def in_text(self, line: int) -> VerifyError:
        """The same error of a text that was parsed, with the line (from 1) that the offender starts on."""
        place = f"line {line}" if self.loc is None else f"{self.loc} (line {line} of the text)"
        return VerifyError(self.bare, law=self.law, subject=self.subject, line=line, loc=place, hint=self.hint)


class ParseError(GradValueError):
    """Text that is not IR; carries line and column (both from 1)."""

    def __init__(
        self,
        message: str,
        *,
        line: int = 0,
        column: int = 0,
        loc: object = None,
        hint: str | None = None,
    ) -> None:
        self.line, self.column = line, column
        super().__init__(message, loc=loc, hint=hint)

    def at(self, loc: object) -> ParseError:
        return self


class TargetError(GradValueError):
    """A compile target that does not exist or cannot be used here."""


class ExecutorError(GradRuntimeError):
    """An executor that is unknown or cannot run here."""
