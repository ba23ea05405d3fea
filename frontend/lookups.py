"""Attribute look-ups without running any of the user's code, and whose code or class something is."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from functools import cached_property
from types import CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, NamedTuple

from .checks import MISSING, PLAIN, Reader, attribute
from .locate import own_folders


class Step(NamedTuple):
    """One attribute followed: what reads it anew; or the function that runs, and what it gets as its first argument."""

    read: Reader
    function: FunctionType | None = None
    owner: Any = None


def space_of(value: Any) -> dict[str, Any] | None:
    """What stands in the object itself."""
    look_up: Any = type(value).__getattribute__
    if isinstance(look_up, FunctionType):
        return None
    try:
        space = look_up(value, "__dict__")
    except AttributeError:
        return None
    return space if isinstance(space, dict) else None


def slot(cls: type, name: str) -> Any:
    """What a class or one of its bases says under a name."""
    for c in cls.__mro__:
        if name in c.__dict__:
            return c.__dict__[name]
    return MISSING


def static(value: Any, name: str) -> Any:
    """What stands under a name in the object, else in its class; in a class, else in its bases."""
    if isinstance(value, type):
        return slot(value, name)
    space = space_of(value)
    return space[name] if space is not None and name in space else slot(type(value), name)


def step(value: Any, name: str) -> Step | None:
    """How an attribute is looked up; None where that cannot be told without running code."""

    def read() -> Any:
        return static(value, name)

    is_class = isinstance(value, type)
    above = slot(value if is_class else type(value), name)
    own = None if is_class else space_of(value)
    if own is not None and name in own and not isinstance(above, property):
        return Step(read)
    function, owner = behind(above, value)
    if function is not None:
        return Step(read, function, owner)
    if isinstance(above, MemberDescriptorType) and not is_class:
        return Step(attribute(value, name))
    return None if above is MISSING or hasattr(type(above), "__get__") else Step(read)


def behind(found: Any, owner: Any) -> tuple[FunctionType | None, Any]:
    """The function that runs where this stands in the class of `owner`, and what its first argument is."""
    inner, first = found, owner
    if isinstance(found, property):
        inner = found.fget
    elif isinstance(found, cached_property):
        inner = found.func
    elif isinstance(found, staticmethod):
        inner, first = found.__func__, None
    elif isinstance(found, classmethod):
        inner, first = found.__func__, owner if isinstance(owner, type) else type(owner)
    return (inner, first) if isinstance(inner, FunctionType) else (None, None)


class Library:
    """What belongs to gradc, to Python's standard library or to an installed package."""

    def __init__(self) -> None:
        # Python's, the user's own, and those that a virtual environment sees beside its own. `sysconfig` would know
        # the same, and takes longer to load than a small program takes to trace.
        seen = {p for p in sys.path if os.path.basename(p) in ("site-packages", "dist-packages")}
        seen.add(os.path.dirname(os.__file__))
        seen |= {os.path.realpath(p) for p in seen}
        self.folders = (*own_folders(), *sorted(p + os.sep for p in seen), "<frozen")

    def code(self, code: CodeType) -> bool:
        return code.co_filename.startswith(self.folders)

    def module(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        root = module.__name__.partition(".")[0]
        if root == "__main__":
            return False
        return root in sys.stdlib_module_names or (file is not None and file.startswith(self.folders))

    def kind(self, cls: type) -> bool:
        module = sys.modules.get(cls.__module__)
        return isinstance(module, ModuleType) and self.module(module)

    def users(self, cls: type) -> list[type]:
        """The user's classes among a class and its bases."""
        return [c for c in cls.__mro__ if not self.kind(c)]

    def imported(self, name: str, space: dict[str, Any]) -> ModuleType | None:
        """The module that an import statement in a function means; None where it cannot be imported."""
        try:
            whole = importlib.util.resolve_name(name, space.get("__package__") or "")
            return sys.modules.get(whole) or importlib.import_module(whole)
        except Exception:  # noqa: BLE001
            # Whether the function comes to this statement is not known; if it does, it fails there by itself.
            return None


def holds_values(value: Any) -> bool:
    """Whether an object of a library's is there to hold the user's values: it has attributes and no methods."""
    if space_of(value) is None or isinstance(value, (*PLAIN, MethodType)):
        return False
    named = [k for c in type(value).__mro__ for k, f in vars(c).items() if isinstance(f, FunctionType)]
    return all(k.startswith("_") for k in named)


def is_module(value: Any) -> bool:
    """Whether an object is an nn.Module."""
    return slot(type(value), "forward") is not MISSING and "_parameters" in (space_of(value) or ())


def slots(cls: type) -> Iterator[str]:
    for c in cls.__mro__:
        names = c.__dict__.get("__slots__", ())
        yield from (names,) if isinstance(names, str) else names
