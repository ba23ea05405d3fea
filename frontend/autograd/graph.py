"""The tape as users see it: Node, saved_tensors_hooks, save_on_cpu."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .grad_mode import MODES
from .node import Node


class saved_tensors_hooks:  # noqa: N801 - torch's name
    """Inside, `pack(tensor)` decides what is kept of a tensor saved for backward, and `unpack` gives the tensor
    back."""

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        self.pack, self.unpack = pack_hook, unpack_hook

    def __enter__(self) -> None:
        MODES.saving = (*MODES.saving, (self.pack, self.unpack))

    def __exit__(self, *error: object) -> None:
        MODES.saving = MODES.saving[:-1]


__all__ = ["Node", "saved_tensors_hooks"]
