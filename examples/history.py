"""What training recorded, as numbers, as a line of text and as a picture."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from command import need

COLOURS = {"-": "#1f5fa8", "--": "#d1662b"}


class History:
    """One row per step or epoch."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.rows: list[dict[str, float]] = []
        self.batch_losses: list[float] = []
        self.converged = False

    def add(self, **row: float) -> None:
        self.rows.append(row)

    def column(self, name: str) -> list[float]:
        return [row[name] for row in self.rows]

    def summary(self) -> str:
        """The last row in words."""
        last = self.rows[-1]
        how = "converged" if self.converged else "ended"
        return (
            f"{how} at {self.unit} {last[self.unit]:.0f}: loss {last['loss']:.6f}, held out {last['held_loss']:.6f}; "
            f"accuracy {last['accuracy']:.2%}, held out {last['held_accuracy']:.2%}"
        )

    def save(self, picture: str, title: str, log_steps: bool = False) -> None:
        """Draw the curves into `picture` and write their numbers beside it, each file as a whole or not at all."""
        path = Path(picture)
        numbers = path.with_suffix(".csv")
        part = numbers.with_suffix(".csv.part")
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(part, numbers)
        part = path.with_suffix(f"{path.suffix}.part")
        self.draw(part, path.suffix.lower().lstrip("."), title, log_steps)
        os.replace(part, path)
        print(f"curves: {path}, numbers: {numbers}")

    def draw(self, path: Path, kind: str, title: str, log_steps: bool) -> None:
        """Loss on the left, accuracy on the right; held-out curves are dashed."""
        need("matplotlib").use("Agg")
        figure, (left, right) = need("matplotlib.pyplot").subplots(1, 2, figsize=(10, 4.2), layout="constrained")
        figure.suptitle(title, fontsize=12)
        at = self.column(self.unit)
        for axes, name, scale in ((left, "loss", 1.0), (right, "accuracy", 100.0)):
            trained = [scale * v for v in self.column(name)]
            held = [scale * v for v in self.column(f"held_{name}")]
            for label, values, style in (("training", trained, "-"), ("held out", held, "--")):
                label = f"{label}  {_shown(name, values[-1])}"
                axes.plot(at, values, style, color=COLOURS[style], linewidth=1.8, label=label)
            axes.set_xlabel(self.unit)
            if log_steps:
                axes.set_xscale("log")
                _plain_ticks(axes.xaxis)
            axes.set_xlim(at[0], max(at[-1], at[0] + 1))
            axes.grid(color="#e3e3e3", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(title="last value", frameon=False)
        left.set_yscale("log")
        _plain_ticks(left.yaxis)
        left.set_ylabel("mean cross entropy (nats, log scale)")
        right.set_ylabel("accuracy (% of examples)")
        figure.savefig(path, dpi=150, format=kind)
        need("matplotlib.pyplot").close(figure)


def _plain_ticks(axis: Any) -> None:
    """1, 2, 5 and their multiples by ten, as plain numbers."""
    ticker = need("matplotlib.ticker")
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(ticker.NullLocator())


def _shown(name: str, value: float) -> str:
    return f"{value:.4f}" if name == "loss" else f"{value:.1f} %"
