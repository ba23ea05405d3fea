"""The command line that the examples share, and how they show that they are at work."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from history import History


PICTURES = (".png", ".svg", ".pdf")


def need(module: str) -> Any:
    """A module of the `examples` extra."""
    try:
        return importlib.import_module(module)
    except ImportError as e:
        sys.exit(f"error: this example needs {module.partition('.')[0]}: pip install 'gradc[examples]' ({e})")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {value}")
    return value


_positive.__name__ = "whole number"


def _picture(text: str) -> str:
    """Refused before training, not after it."""
    path = Path(text)
    if path.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"expected a file name that ends in {', '.join(PICTURES)}, got {text!r}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise argparse.ArgumentTypeError(f"cannot make the folder of {text!r}: {e.strerror}") from None
    return text


class Arguments(argparse.Namespace):
    """What was asked for on the command line."""

    steps: int
    out: str
    seed: int

    @contextmanager
    def progress(self, what: str, unit: str) -> Iterator[Progress]:
        """A bar on a terminal, else a line of text every tenth of the way."""
        if not sys.stderr.isatty():
            yield Progress(self.steps, unit)
            return
        rich = need("rich.progress")
        columns = (
            rich.TextColumn("{task.description}"),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TextColumn("{task.fields[status]}"),
            rich.TimeRemainingColumn(),
        )
        with rich.Progress(*columns, console=need("rich.console").Console(stderr=True)) as bar:
            yield Bar(self.steps, unit, bar, bar.add_task(what, total=self.steps, status=""))


class Progress:
    """Lines of text."""

    def __init__(self, total: int, unit: str) -> None:
        self.total, self.unit, self.done = total, unit, 0

    def advance(self, history: History) -> None:
        """One step more is done."""
        self.done += 1
        if self.done % max(self.total // 10, 1) == 0 or self.done == 1:
            print(f"{self.unit} {self.done}/{self.total}: {self.status(history)}", file=sys.stderr, flush=True)

    @staticmethod
    def status(history: History) -> str:
        last = history.rows[-1]
        return f"loss {last['loss']:.4f}, held-out accuracy {last['held_accuracy']:.1%}"


class Bar(Progress):
    """A bar that rich draws."""

    def __init__(self, total: int, unit: str, bar: Any, task: Any) -> None:
        super().__init__(total, unit)
        self.bar, self.task = bar, task

    def advance(self, history: History) -> None:
        self.bar.update(self.task, advance=1, status=self.status(history))


def arguments(description: str | None, *, steps: int, out: str, unit: str = "steps") -> Arguments:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=_positive, default=steps, metavar="N", help=f"{unit} at most (default {steps})")
    parser.add_argument("--out", type=_picture, default=out, metavar="F", help=f"picture of the curves (default {out})")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default 0)")
    return parser.parse_args(namespace=Arguments())
