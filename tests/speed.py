"""Limits on time that hold on slow and busy machines too: fixed work, timed in the same process, is the unit."""

from __future__ import annotations

import time
from collections.abc import Callable

QUIET = 0.15
"""CPU seconds that `_work` takes on one quiet core of a server of 2020."""


def _work() -> None:
    words: dict[int, list[str]] = {}
    for i in range(200_000):
        words[i] = f"{i} = {i}".split(" ")


def _once(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def slowdown(tries: int = 3) -> float:
    """How many times slower than the quiet core this process runs now, at least 1."""
    return max(1.0, min(_once(_work) for _ in range(tries)) / QUIET)


def seconds(run: Callable[[], object], tries: int = 3) -> float:
    """CPU seconds of the fastest of a few tries, counted as on the quiet core."""
    return min(_once(run) for _ in range(tries)) / slowdown(tries)
