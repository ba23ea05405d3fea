"""Hooks of nodes and tensors, and the handles that remove them."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..tensor import Tensor


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook out again; also a context manager."""

    def __init__(self, table: OrderedDict[int, Callable[..., Any]], key: int) -> None:
        self._table, self.id = table, key

    def remove(self) -> None:
        self._table.pop(self.id, None)

    def __repr__(self) -> str:
        return f"<torch.utils.hooks.RemovableHandle object at {id(self):#x}>"

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


class HookTable(OrderedDict[int, Callable[..., Any]]):
    """Hooks in the order of registration."""

    def add(self, hook: Callable[..., Any]) -> RemovableHandle:
        key = next(reversed(self)) + 1 if self else 0
        self[key] = hook
        return RemovableHandle(self, key)


class Hooks:
    """The hooks of one node: `tensor[k]` see the gradient of output k, then `retain[k]` stores it, then `pre` run, the
    node itself, `post`."""

    __slots__ = ("post", "pre", "retain", "tensor")

    def __init__(self) -> None:
        self.pre, self.post = HookTable(), HookTable()
        self.tensor: dict[int, HookTable] = {}
        self.retain: dict[int, weakref.ref[Tensor]] = {}

    def add(self, kind: str, hook: Callable[..., Any]) -> RemovableHandle:
        table: HookTable = getattr(self, kind)
        return table.add(hook)
