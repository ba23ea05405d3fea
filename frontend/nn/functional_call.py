"""A module called with other tensors in the place of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradc.ir.errors import GradRuntimeError

from .module import Module


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`module(*args, **kwargs)` with the tensors given by dotted name in the place of its parameters and buffers, which
    are back when the call is over. `strict`: every one must be given, and no other name."""
    if isinstance(parameter_and_buffer_dicts, Mapping):
        given = dict(parameter_and_buffer_dicts)
    else:
        given = {k: v for d in parameter_and_buffer_dicts for k, v in d.items()}
    places: dict[str, list[tuple[dict[str, Any], str]]] = {}
    shared: dict[int, list[tuple[dict[str, Any], str]]] = {}
    for path, part in module.named_modules(remove_duplicate=False):
        for space in (part._parameters, part._buffers):
            for name, own in space.items():
                at: list[tuple[dict[str, Any], str]] = [(space, name)]
                if tie_weights and own is not None:
                    at = shared.setdefault(id(own), [])
                    at.append((space, name))
                places[f"{path}.{name}" if path else name] = at
    if strict:
        _check(type(module).__name__, places, given)
    before: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for name, value in given.items():
            for space, key in places.get(name, ()):
                before.append((space, key, space[key]))
                space[key] = value
        positional = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*positional, **(kwargs or {}))
    finally:
        for space, key, value in reversed(before):
            space[key] = value


def _check(name: str, places: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    lines = []
    unexpected, missing = sorted(set(given) - set(places)), sorted(set(places) - set(given))
    for word, keys in (("Unexpected", unexpected), ("Missing", missing)):
        if keys:
            lines.append(f"{word} key(s): {', '.join(repr(k) for k in keys)}.")
    if lines:
        raise GradRuntimeError(f"Error(s) in reparametrizing for {name}:\n\t" + "\n\t".join(lines))
