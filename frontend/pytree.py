"""Nested arguments and results: tuples, named tuples, lists and dicts, taken apart to leaves and put together again.

A structure is a hashable value: `None` for a leaf, `Fixed` for a value that is part of the structure, else (container
type, keys or None, children's structures).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

Structure: TypeAlias = Any
"""None | Fixed | tuple[type, tuple[key, ...] | None, tuple[Structure, ...]]"""


class Fixed(NamedTuple):
    """A value in the place of a leaf that is the same in every tree of the structure."""

    value: Any


def _children(tree: Any) -> tuple[tuple[Any, ...] | None, list[Any]] | None:
    kind = type(tree)
    if kind is tuple or kind is list or (isinstance(tree, tuple) and hasattr(tree, "_fields")):
        return None, list(tree)
    if kind is dict or kind is OrderedDict:
        return tuple(tree), list(tree.values())
    return None


def flatten(tree: Any, fixed: frozenset[type] = frozenset()) -> tuple[list[Any], Structure]:
    """The leaves in order and the structure that holds them; a value of one of the `fixed` types is no leaf."""
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves, fixed)


def _flatten(tree: Any, leaves: list[Any], fixed: frozenset[type]) -> Structure:
    found = _children(tree)
    if found is None:
        if type(tree) in fixed:
            return Fixed(tree)
        leaves.append(tree)
        return None
    keys, children = found
    return type(tree), keys, tuple([_flatten(c, leaves, fixed) for c in children])


def unflatten(structure: Structure, leaves: Iterator[Any]) -> Any:
    """The tree of this structure over the next leaves."""
    if structure is None:
        return next(leaves)
    if isinstance(structure, Fixed):
        return structure.value
    kind, keys, children = structure
    values = [unflatten(c, leaves) for c in children]
    if keys is not None:
        return kind(zip(keys, values, strict=True))
    return kind(*values) if hasattr(kind, "_fields") else kind(values)


def tree_map(f: Callable[[Any], Any], tree: Any) -> Any:
    leaves, structure = flatten(tree)
    return unflatten(structure, iter([f(x) for x in leaves]))


def paths(structure: Structure, root: str) -> list[str]:
    """A name for each leaf: the root's, with keys and positions appended: `params_0_w`."""
    if structure is None:
        return [root]
    kind, keys, children = structure
    if keys is not None:
        labels = [str(k) for k in keys]
    else:
        labels = list(getattr(kind, "_fields", ())) or [str(i) for i in range(len(children))]
    lead = f"{root}_" if root else ""
    return [p for label, c in zip(labels, children, strict=True) for p in paths(c, lead + label)]
