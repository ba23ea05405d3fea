"""The tape: nodes, their edges, and what they save.

A node is made by each recorded op. Its `edges` hold, per operand, the node (and which of its outputs) that the
gradient of that operand flows to, or None. Nodes never refer to the tensors they made, so a graph is freed with its
last result.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from gradc.ir.build import Builder, Var
from gradc.ir.errors import GradAttributeError
from gradc.ir.op import Op
from gradc.ir.pullback import pullback
from gradc.ir.types import TensorType

from .hooks import Hooks, RemovableHandle
from .saved import Saved, SavedResult
from .shown import CODES, EXTRA, HIDDEN, REVERSED, TENSORS_ONLY

if TYPE_CHECKING:
    from ..tensor import Tensor

Edge: TypeAlias = "tuple[Node, int] | None"

_NONE: dict[str, Any] = {}
# Creation order is the engine's order, as in torch: later nodes run first.
_sequence = itertools.count()


class Node:
    """One step of the backward pass, as `tensor.grad_fn` shows it."""

    __slots__ = ("__weakref__", "_metadata", "edges", "hooks", "out_types", "sequence", "stashed")

    def __init__(self, edges: tuple[Edge, ...], out_types: tuple[TensorType, ...]) -> None:
        self.edges = edges
        self.out_types = out_types
        self.sequence = next(_sequence)
        self.hooks: Hooks | None = None
        self.stashed = False
        self._metadata: dict[str, Any] | None = None

    def name(self) -> str:
        """The class name as torch prints it: "MulBackward0"."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """(node, output number) per operand; (None, 0) where no gradient flows."""
        return tuple((None, 0) if e is None else e for e in self.edges)

    @property
    def metadata(self) -> dict[str, Any]:
        """A dictionary for the user's own notes."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    def _hooks(self) -> Hooks:
        if self.hooks is None:
            self.hooks = Hooks()
        return self.hooks

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(grad_inputs, grad_outputs)` after the node has run; what it returns replaces grad_inputs."""
        return self._hooks().add("post", hook)

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(grad_outputs)` before the node runs; what it returns replaces grad_outputs."""
        return self._hooks().add("pre", hook)

    def _sequence_nr(self) -> int:
        return self.sequence

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        """The gradient of every operand that is wanted."""
        raise NotImplementedError

    def release(self) -> None:
        """Drop what was saved for backward."""

    def __call__(self, *cts: Tensor | None) -> Any:
        out = self.apply(list(cts), [e is not None for e in self.edges])
        return out[0] if len(out) == 1 else tuple(out)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"


class OpNode(Node):
    """The node of an op of the table. Its rules say what it saves."""

    __slots__ = ("attrs", "op", "operands", "results", "types")

    op: Op
    attrs: dict[str, Any]
    types: list[TensorType]
    operands: list[Saved | None]
    results: list[SavedResult | None]
    builder: ClassVar[Builder]
    """What rules run through; `eager.py`, which imports this file, sets it."""

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        b = self.builder
        operands = [None if s is None else Var(b, s.unpack(self)) for s in self.operands]
        results = [None if s is None else Var(b, s.unpack(self)) for s in self.results]
        given = [None if c is None else Var(b, c) for c in cts]
        out: list[Tensor | None] = [None] * len(self.edges)
        for i, edge in enumerate(self.edges):
            if edge is not None and wanted[i]:
                grad = pullback(b, self.op, i, given, operands, self.types, results, self.attrs)
                if grad is not None:
                    out[i] = grad.v
        return out

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """As torch shows it: operands that no rule differentiates (indices, masks) are left out."""
        op, name, edges = self.op, type(self).__name__, self.edges
        if name in TENSORS_ONLY:
            return tuple(e for e in edges if e is not None)
        if op.edges is not None:
            names = [o.rstrip("*") for o in op.operands]
            return tuple((None, 0) if e is None else e for e in (edges[names.index(o)] for o in op.edges))
        shown = [(None, 0) if e is None else e for i, e in enumerate(edges) if op.operand_name(i) in op.adjoint]
        return tuple(shown[::-1] if name in REVERSED else shown)

    def release(self) -> None:
        for s in (*self.operands, *self.results):
            if s is not None:
                s.release()

    def __getattr__(self, name: str) -> Any:
        if name[7:] not in self._shown() or not name.startswith("_saved_"):
            raise GradAttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        extra = EXTRA.get(type(self).__name__, _NONE).get(name[7:])
        if extra is not None:
            return extra(self)
        source = self.op.saved[name[7:]]
        names = [o.rstrip("*") for o in self.op.operands]
        if source in names:
            i = names.index(source)
            if self.op.operands[i].endswith("*"):
                return tuple(None if s is None else s.show(self) for s in self.operands[i:])
            saved = self.operands[i]
            return None if saved is None else saved.show(self)
        if source in self.op.results:
            result = self.results[self.op.results.index(source)]
            return None if result is None else result.show(self)
        value = self.attrs.get(source)
        return CODES.get(source, {}).get(value, value)

    def _shown(self) -> set[str]:
        """What `_saved_` names there are, without that prefix."""
        name = type(self).__name__
        return ({*self.op.saved} | {*EXTRA.get(name, ())}) - HIDDEN.get(name, frozenset())

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(f"_saved_{n}" for n in self._shown())]


@cache
def node_class(name: str, base: type[Node] = OpNode) -> type[Any]:
    """A class of its own per torch name, because users and `repr` read `type(grad_fn).__name__`."""
    return type(name, (base,), {"__slots__": (), "__module__": __name__})
