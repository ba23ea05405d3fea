"""How far a function reaches: its code is read, and what it names outside its arguments is followed.

Every closure cell, global, default and import is followed, through attributes, to numbers and flags, containers,
modules and objects, and from there to the code of the user's functions and methods. Numbers and flags get checks,
tensors get a reader. Of the objects of libraries, containers and bags of values are followed, no others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping, MutableSequence, Set
from contextvars import ContextVar
from functools import partial
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from gradc.ir.errors import TraceError

from .changing import BLIND, DRAWING, changes, facts_of, large, metadata
from .checks import MISSING, PLAIN, Check, Reader, attribute, content, entry, item
from .lookups import Library, behind, holds_values, is_module, slots, space_of, static, step
from .reads import IMPORT, SELF, reads_of
from .tensor import Tensor

ITEMS = 1000
KEPT_IN = r"\._(?:parameters|buffers|modules)\['([^']*)'\]"
"""Where a module keeps what the user's code reads as its attributes."""
CHECKS = 100_000


class Found(NamedTuple):
    """Something to guard; `soft`: it lies in an object the code names, and the code may not read it."""

    path: str
    value: Any
    read: Reader
    soft: bool


class Call(NamedTuple):
    """A function to walk, and what it gets as its first argument, if that is known."""

    found: Found
    owner: Any


class Reach:
    """The walk over what a function reads."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self.readers: dict[int, tuple[str, Reader, Tensor]] = {}
        self._seen: dict[tuple[int, bool], Any] = {}
        self._library = Library()
        self._walked: dict[tuple[int, int, bool], Call] = {}
        self._work: list[Found | Call] = []

    def follow(self, path: str, root: Any) -> None:
        """Follow an object that is held on to (the function, an argument that is no tensor)."""
        self._push(path, root)
        while self._work:
            if len(self.checks) > CHECKS:
                raise TraceError(
                    f"{path} reaches more than {CHECKS:,} things that would have to be compared at each call",
                    hint="let it name what it reads, or pass that as an argument",
                )
            todo = self._work.pop()
            if isinstance(todo, Call):
                self._method(todo.found, todo.found.value, todo.owner)
            else:
                self._value(todo)

    def _push(self, path: str, value: Any, read: Reader | None = None, soft: bool = False) -> None:
        self._work.append(Found(path, value, read or (lambda: value), soft))

    def _check(self, path: str, read: Reader, equal: bool = True) -> None:
        self.checks.append(Check(path, read, read(), equal))

    def _refuse(self, found: Found, what: str) -> None:
        if not found.soft:
            raise TraceError(
                f"the function reads {found.path!r}, {what}",
                hint="pass it as an argument, or make it a gradc tensor, which is read anew at each call",
            )

    def _value(self, found: Found) -> None:
        path, value, read, soft = found
        if isinstance(value, PLAIN):
            self.checks.append(Check(path, read, value, True))
            return
        if isinstance(value, Tensor):
            self._tensor(found)
            return
        self.checks.append(Check(path, read, value, False))
        if (id(value), soft) in self._seen:
            return
        self._seen[id(value), soft] = value
        change, size = changes(value), large(value)
        if change is not None:
            self._refuse(found, change)
        elif size is not None:
            self._refuse(found, size)
        elif isinstance(value, np.ndarray):
            self.checks.append(Check(path, lambda: value.copy(), value.copy(), True))
        elif isinstance(value, ContextVar):
            self._push(f"{path}.get()", value.get(MISSING), lambda: value.get(MISSING), soft)
        elif isinstance(value, type):
            for c in self._library.users(value):
                self._class(value, c, value, True)
        elif isinstance(value, ModuleType):
            if self._library.module(value):
                return
            self._check(f"the names in {path}", lambda: list(vars(value)))
            for k in [k for k in vars(value) if not k.startswith("__")]:
                self._push(f"{path}.{k}", vars(value)[k], entry(vars(value), k), True)
        elif isinstance(value, FunctionType):
            self._function(found, None)
        elif isinstance(value, MethodType):
            self._method(found, value.__func__, value.__self__)
        else:
            self._container(found)
            self._object(found)

    def _tensor(self, found: Found) -> None:
        path, value, read, _ = found
        if id(value) not in self.readers:
            self.readers[id(value)] = (re.sub(KEPT_IN, r".\1", path), read, value)
            self._check(f"the type of {path}", lambda: metadata(read()))
        else:
            known, first, _ = self.readers[id(value)]
            self.checks.append(Check(f"{path} being {known}", lambda: read() is first(), True, True))

    def _container(self, found: Found) -> None:
        path, value, _, soft = found
        known = isinstance(value, tuple | list | dict | set | frozenset)
        if not known and not (isinstance(value, MutableSequence | Mapping | Set) and self._library.kind(type(value))):
            return
        if len(value) > ITEMS:
            self._refuse(found, f"a {type(value).__name__} of {len(value):,} items")
        elif isinstance(value, Set):
            self.checks.append(Check(path, lambda: set(value), set(value), True))
        elif isinstance(value, Mapping):
            self._check(f"the keys of {path}", lambda: list(value))
            for k in value:
                self._push(f"{path}[{k!r}]", value[k], entry(value, k), soft)
        else:
            self._check(f"len({path})", lambda: len(value))
            for i, x in enumerate(value):
                self._push(f"{path}[{i}]", x, item(value, i), soft)

    def _method(self, found: Found, fn: Any, owner: Any) -> None:
        """What the function reads of its first argument is followed; the rest of that object is not."""
        if owner is None or (isinstance(fn, FunctionType) and not self._library.code(fn.__code__)):
            self._function(Found(found.path, fn, found.read, found.soft), owner)
        else:
            self._push(f"{found.path}.__func__", fn, soft=found.soft)
            self._push(f"{found.path}.__self__", owner, soft=True)

    def _function(self, found: Found, owner: Any) -> None:
        path, fn, _, soft = found
        key = (id(fn), id(owner), soft)
        if key in self._walked:
            return
        self._walked[key] = Call(found, owner)
        self._check(f"the code of {path}", lambda: fn.__code__, equal=False)
        cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))
        if self._library.code(fn.__code__):
            # A library's own function; the functions of the user's that it holds (a wrapper, a transform) are followed.
            for name, cell in cells.items():
                if callable(content(cell)()):
                    self._push(name, content(cell)(), soft=soft)
            return
        if owner is not None and ("__class__" in cells or not fn.__code__.co_argcount):
            # super() and *args hand the object on without naming it.
            self._push(path, owner, soft=True)
        for i, default in enumerate(fn.__defaults__ or ()):
            self._push(f"default {i} of {path}", default, lambda i=i: fn.__defaults__[i], soft)  # type: ignore[misc]
        for k, default in (fn.__kwdefaults__ or {}).items():
            self._push(f"default {k!r} of {path}", default, entry(fn.__kwdefaults__, k), soft)
        for name, attributes, where in reads_of(fn.__code__):
            if where == SELF:
                if owner is not None:
                    self._chain(name, lambda: owner, attributes, soft or not attributes)
            elif where.startswith(IMPORT):
                module = self._library.imported(where.removeprefix(IMPORT), fn.__globals__)
                if module is not None:
                    self._chain(name, lambda m=module: m, attributes, soft)  # type: ignore[misc]
            elif where in cells:
                self._chain(name, content(cells[where]), attributes, soft)
            else:
                self._chain(name, entry(fn.__globals__, name), attributes, soft)

    def _chain(self, path: str, read: Reader, attributes: tuple[str, ...], soft: bool) -> None:
        """Follow `name.a.b` as far as attributes are plain look-ups, and guard what stands at the end."""
        value = read()
        if value is MISSING:
            if path in BLIND:
                self._refuse(Found(path, value, read, soft), BLIND[path])
            self.checks.append(Check(path, read, MISSING, False))
            return
        for n, a in enumerate(attributes):
            if isinstance(value, ModuleType) and self._library.module(value):
                self._library_chain(path, value, attributes[n:], soft)
                return
            if a in facts_of(value):
                self.checks.append(Check(path, read, value, False))
                self._push(f"{path}.{a}", getattr(value, a), attribute(value, a), soft)
                return
            if isinstance(value, Tensor):
                if a != "grad":
                    break
                self._push(path, value, read, soft)
                path, read = f"{path}.grad", lambda outer=read: getattr(outer(), "grad", MISSING)  # type: ignore[misc]
                value = read()
                continue
            if isinstance(value, (*PLAIN, np.ndarray, MethodType, ContextVar)):
                break
            found = step(value, a)
            if found is None or (found.function is not None and is_module(value)):
                break
            self.checks.append(Check(path, read, value, False))
            if found.function is not None:
                self._check(f"{path}.{a}", found.read, equal=False)
                self._work.append(Call(Found(f"{path}.{a}", found.function, found.read, soft), found.owner))
                return
            path, read = f"{path}.{a}", found.read
            value = read()
        self._push(path, value, read, soft)

    def _library_chain(self, path: str, value: Any, attributes: tuple[str, ...], soft: bool) -> None:
        """What a library offers does not change; but what it draws does, and what it keeps may."""
        for a in attributes:
            why = DRAWING.get(getattr(value, "__name__", ""))
            if why is not None:
                self._refuse(Found(f"{path}.{a}", value, lambda: None, soft), why)
            if not isinstance(value, ModuleType):
                break
            path, value = f"{path}.{a}", getattr(value, a, None)
        if value is os.getenv:
            value = os.environ
        if isinstance(value, MutableMapping | MutableSequence):
            self._push(path, value, soft=soft)

    def _object(self, found: Found) -> None:
        """All of an object that is handed on as a whole: its attributes and its methods may be read somewhere."""
        path, value, _, soft = found
        kind = type(value)
        wrapped = static(value, "__wrapped__")
        if wrapped is not MISSING and not isinstance(wrapped, MemberDescriptorType):
            self._push(path, wrapped, soft=soft)
            return
        if isinstance(value, partial):
            for name, x in (("func", value.func), ("args", value.args), ("keywords", value.keywords)):
                self._push(f"{path}.{name}", x, soft=soft)
        users = self._library.users(kind)
        for c in users:
            self._class(kind, c, value, soft)
        space = space_of(value)
        if space is not None and (users or is_module(value) or holds_values(value)):
            self._check(f"the attributes of {path}", lambda: list(space))
            for k in list(space):
                self._push(f"{path}.{k}", space[k], entry(space, k), True)
        for k in slots(kind) if users else ():
            if hasattr(value, k):
                self._push(f"{path}.{k}", getattr(value, k), attribute(value, k), True)
            else:
                self.checks.append(Check(f"{path}.{k}", attribute(value, k), MISSING, False))

    def _class(self, kind: type, c: type, owner: Any, soft: bool) -> None:
        """What stands in one of the user's classes, looked up on `owner` (an object, or the class itself)."""
        self._check(f"the attributes of {c.__name__}", lambda: list(vars(c)))
        for name, x in list(vars(c).items()):
            path = f"{kind.__name__}.{name}"
            function, first = behind(x, owner)
            if function is not None:
                self._check(path, lambda name=name: static(owner, name), equal=False)  # type: ignore[misc]
                if not self._library.code(function.__code__):
                    named = name in ("forward", "__call__")
                    self._function(Found(path, function, lambda x=x: x, soft or not named), first)  # type: ignore[misc]
            elif not name.startswith("__") and not isinstance(x, MemberDescriptorType):
                self._push(path, static(owner, name), lambda name=name: static(owner, name), True)  # type: ignore[misc]
