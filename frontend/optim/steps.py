"""What an optimiser's rule asks for beside tensors: state to begin with, and numbers that differ from step to step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Number: TypeAlias = Callable[[str, Callable[[float, float], float]], Any]
"""`number(key, compute)` is `compute(learning rate, number of this step)`; `key` tells such numbers apart."""


class Steps:
    """Steps that run at once. `traced.py` has those of compiled functions."""

    def begin(self, p: Any, state: dict[str, Any], make: Callable[[], dict[str, Any]]) -> bool:
        """Put what `make` gives into the state where it is missing; returns whether all of it was there."""
        if state and None not in state.values():
            return True
        for key, value in make().items():
            if state.get(key) is None:
                state[key] = value
        return False

    def next(self, p: Any, state: dict[str, Any], group: dict[str, Any]) -> Number:
        """Count a step, where the state counts them."""
        lr, step = float(group["lr"]), 0.0
        if "step" in state:
            state["step"] += 1
            step = float(state["step"])
        return lambda key, compute: compute(lr, step)

    def add(self, p: Any, x: Any, number: Any) -> None:
        """`p += number * x`."""
        p.add_(x, alpha=number)

    def add_quotient(self, p: Any, x: Any, y: Any, number: Any) -> None:
        """`p += number * x / y`."""
        p.addcdiv_(x, y, value=number)
