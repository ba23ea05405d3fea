"""Forward hooks of modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from gradc.ir.errors import GradRuntimeError

from ..autograd.hooks import RemovableHandle
from .backward_hooks import BackwardHooks


class Hook(NamedTuple):
    """A hook, and whether it is given the keyword arguments and runs after an error too."""

    call: Callable[..., Any]
    with_kwargs: bool
    always: bool = False


class Hooks(OrderedDict[int, Hook]):
    """Hooks in the order in which they run. A key is never used twice, so that an old handle removes nothing new."""

    used: int = 0

    def add(self, hook: Hook, prepend: bool) -> RemovableHandle:
        key = self.used
        self.used += 1
        self[key] = hook
        if prepend:
            self.move_to_end(key, last=False)
        return RemovableHandle(self, key)  # type: ignore[arg-type]


def call(module: Any, pre: Hooks, post: Hooks, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`module.forward` between its hooks."""
    ran: set[int] = set()
    result = None
    backward = None
    if module._backward_hooks or module._backward_pre_hooks:
        backward = BackwardHooks(module, module._backward_pre_hooks, module._backward_hooks)
    try:
        for hook in pre.values():
            args, kwargs = _before(module, hook, args, kwargs)
        if backward is not None:
            args = backward.arguments(args)
        result = module.forward(*args, **kwargs)
        for key, hook in post.items():
            ran.add(key)
            result = _after(module, hook, args, kwargs, result)
        return result if backward is None else backward.results(result)
    except Exception:
        for key, hook in post.items():
            if hook.always and key not in ran:
                result = _after(module, hook, args, kwargs, result)
        raise


def _before(module: Any, hook: Hook, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not hook.with_kwargs:
        given = hook.call(module, args)
        return (args if given is None else given if isinstance(given, tuple) else (given,)), kwargs
    given = hook.call(module, args, kwargs)
    if given is None:
        return args, kwargs
    if not isinstance(given, tuple) or len(given) != 2:
        raise GradRuntimeError(
            f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {given}."
        )
    return given


def _after(module: Any, hook: Hook, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
    given = hook.call(module, args, kwargs, result) if hook.with_kwargs else hook.call(module, args, result)
    return result if given is None else given
