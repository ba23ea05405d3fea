"""One line on stderr that shows how far a command is, where stderr is a terminal."""

from __future__ import annotations

import sys

WIDTH = 24


def bar(done: int, total: int) -> None:
    """Draw it anew: "compiling [######      ] 3/12"; the last one ends the line."""
    if sys.stderr.isatty():
        filled = WIDTH * done // total
        end = "\n" if done == total else "\r"
        print(f"compiling [{'#' * filled:<{WIDTH}}] {done}/{total}\x1b[K", end=end, file=sys.stderr, flush=True)
