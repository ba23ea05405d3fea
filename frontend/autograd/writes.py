"""Nodes of writes that no op of the table describes: zero_, fill_, copy_."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .accumulate import edge_of
from .node import Node

if TYPE_CHECKING:
    from ..tensor import Tensor


class Overwrite(Node):
    """The old elements are gone: their gradient is zero."""

    __slots__ = ("type",)

    def __init__(self, target: Tensor) -> None:
        super().__init__((edge_of(target),), (target._type,))
        self.type = target._type

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        from ..creation import zeros

        return (zeros(self.type.shape, dtype=self.type.dtype) if wanted[0] else None,)


class ZeroBackward0(Overwrite):
    __slots__ = ()


class FillBackward2(Overwrite):
    __slots__ = ()


class FillBackward3(Node):
    """`fill_` with a tensor: its gradient is the sum of what arrives."""

    __slots__ = ("type",)

    def __init__(self, target: Tensor, value: Tensor) -> None:
        super().__init__((edge_of(target), edge_of(value)), (target._type,))
        self.type = target._type

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        from ..creation import zeros

        old = zeros(self.type.shape, dtype=self.type.dtype) if wanted[0] else None
        ct = cts[0]
        return old, ct.sum() if wanted[1] and ct is not None else None


class CopyBackwards(Node):
    """`copy_`: the gradient goes to the source, in its dtype and shape."""

    __slots__ = ("source", "type")

    def __init__(self, target: Tensor, source: Tensor) -> None:
        super().__init__((edge_of(target), edge_of(source)), (target._type,))
        self.type, self.source = target._type, source._type

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        from gradc.ir.build import Var
        from gradc.ir.pullback import match

        from ..creation import zeros
        from ..eager import BUILDER

        old = zeros(self.type.shape, dtype=self.type.dtype) if wanted[0] else None
        ct = cts[0]
        if ct is None or not wanted[1]:
            return old, None
        return old, match(BUILDER, Var(BUILDER, ct), self.source).v
