"""Modules that hold modules: Sequential, ModuleList, ModuleDict."""

from __future__ import annotations

import operator
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, TypeVar

from gradc.ir.errors import GradIndexError, GradKeyError, GradTypeError, GradValueError

from .module import Module, indented

Self = TypeVar("Self", bound="_Numbered")


def position(index: Any, n: int) -> int:
    """An index into `n` children, counted from the front."""
    if not hasattr(index, "__index__"):
        raise GradTypeError(f"'{type(index).__name__}' object cannot be interpreted as an integer")
    i = operator.index(index)
    if not -n <= i < n:
        raise GradIndexError(f"index {index} is out of range")
    return i % n


class _Numbered(Module):
    """Children by position."""

    def _key(self, index: Any) -> str:
        return list(self._modules)[position(index, len(self))]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        keys = list(self._modules)[index] if isinstance(index, slice) else [self._key(index)]
        for key in keys:
            delattr(self, key)
        self._modules = {str(i): m for i, m in enumerate(self._modules.values())}

    def append(self: Self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: Self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        if not isinstance(modules, Iterable):
            name = type(self).__name__
            raise GradTypeError(f"{name}.extend should be called with an iterable, but got {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def _insert(self, index: int, module: Module) -> None:
        if not isinstance(module, Module):
            raise GradTypeError(f"module should be of type: {Module}")
        values = list(self._modules.values())
        values.insert(index, module)
        self._modules = {str(i): m for i, m in enumerate(values)}

    def pop(self, key: int | slice) -> Any:
        """Remove a module and give it back."""
        value = self[key]
        del self[key]
        return value

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError


class Sequential(_Numbered):
    """Modules one after another."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], Mapping) else enumerate(args)
        for name, module in named:
            self.add_module(str(name), module)

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))
        return self._modules[self._key(index)]

    def __add__(self, other: Any) -> Sequential:
        _only_sequential(other)
        return Sequential(*self, *other)

    def __iadd__(self, other: Any) -> Sequential:
        _only_sequential(other)
        return self.extend(other)

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*list(self) * _times(self, times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Sequential:
        return self.extend(list(self) * (_times(self, times) - 1))

    def insert(self, index: int, module: Module) -> Sequential:
        """Put a module before the one at this position."""
        n = len(self)
        if not -n <= index <= n:
            raise GradIndexError(f"Index out of range: {index}")
        self._insert(index, module)
        return self


def _only_sequential(other: Any) -> None:
    if not isinstance(other, Sequential):
        raise GradValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")


def _times(of: Sequential, times: Any) -> int:
    if not isinstance(times, int):
        raise GradTypeError(f"unsupported operand type(s) for *: {type(of)} and {type(times)}")
    if times <= 0:
        raise GradValueError(f"Non-positive multiplication factor {times} for {type(of)}")
    return times


class ModuleList(_Numbered):
    """A list whose modules are found; it computes nothing itself."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._modules[self._key(index)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> ModuleList:
        return self.extend(other)

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one at this position."""
        self._insert(index, module)

    def __repr__(self) -> str:
        runs: list[tuple[int, int, str]] = []
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        lines = [
            f"({first}): {text}" if first == last else f"({first}-{last}): {last - first + 1} x {text}"
            for first, last, text in runs
        ]
        inner = "".join(f"\n  {indented(line)}" for line in lines)
        return f"{self._get_name()}({inner}\n)" if lines else f"{self._get_name()}()"


class ModuleDict(Module):
    """A dictionary whose modules are found."""

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        if key not in self._modules:
            raise GradKeyError(key)
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove everything."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Remove a module and give it back."""
        module = self[key]
        del self._modules[key]
        return module

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> ItemsView[str, Any]:
        """Names and modules."""
        return self._modules.items()

    def values(self) -> ValuesView[Any]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Add the modules of a mapping, or of pairs."""
        for key, module in pairs("ModuleDict", modules):
            self[key] = module


def pairs(kind: str, given: Any) -> Iterator[tuple[Any, Any]]:
    """The pairs of a mapping or of a sequence of pairs."""
    if not isinstance(given, Iterable):
        plural = kind.replace("Parameter", "Parameters")
        raise GradTypeError(
            f"{plural}.update should be called with an iterable of key/value pairs, but got {type(given).__name__}"
        )
    if hasattr(given, "items"):
        yield from given.items()
        return
    for i, pair in enumerate(given):
        where = f"{kind} update sequence element #{i}"
        if not isinstance(pair, Iterable):
            raise GradTypeError(f"{where} should be Iterable; is{type(pair).__name__}")
        pair = tuple(pair)
        if len(pair) != 2:
            raise GradValueError(f"{where} has length {len(pair)}; 2 is required")
        yield pair
