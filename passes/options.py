"""Readers of the options that a pass may have in a pipeline's text."""

from __future__ import annotations

from collections.abc import Callable


def one_of(*allowed: str) -> Callable[[str], str]:
    """The reader of an option that takes one of these words."""

    def read_word(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"expected {' or '.join(allowed)}, got {value!r}")
        return value

    return read_word


def names(value: str) -> tuple[str, ...]:
    """The reader of an option that takes names with commas between."""
    return tuple(value.split(","))
