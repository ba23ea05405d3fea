"""What stands outside a trace, and is changed outside of it because of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Outside:
    """One for a trace and all that are nested in it."""

    def __init__(self) -> None:
        self.actions: list[Callable[[], None]] = []
        """What is done after each call."""
        self.undo: list[Callable[[], Any]] = []
        """What is done if tracing fails."""
        self.memo: dict[Any, Any] = {}
        """What others keep of the trace."""
        self._changed: dict[int, Any] = {}

    def afterwards(self, t: Any, action: Callable[[], None]) -> None:
        """After each call, run `action`, which changes `t`: the function itself cannot read it any more."""
        self.actions.append(action)
        self._changed[id(t)] = t

    def changes(self, t: Any) -> bool:
        return id(t) in self._changed

    def failed(self) -> None:
        """Tracing has failed: undo what was made for it."""
        while self.undo:
            self.undo.pop()()
