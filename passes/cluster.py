"""Clusters: the sets of nodes that become one kernel, and the axes they share.

A cluster iterates over axes (ints with extents). Every value in it has labels: for each of its dims the axes that dim
is made of, outermost first; a dim of extent 1 has none. Two uses of a value agree on an iteration when their labels do;
a reshape between them only splits axes. Nothing here knows about op names.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from gradc.ir.dim import Shape, next_pow2, product, row_major

from .views import View

Label: TypeAlias = tuple[int, ...]
Labels: TypeAlias = tuple[Label, ...]

TINY = 4096
"""Lanes that one program may hold for a whole cluster: below it any reduction finishes inside the kernel."""
ROW_LIMIT = 65536
"""Longest contiguous row that is one program's work, however few rows there are."""
ROW_SHARE = 4096
"""With many rows, a row may be this many times as long as there are rows."""
COLUMN_LIMIT = 512
"""Longest reduced extent held in one tile when the reduced axes are not the contiguous ones."""
OP_LIMIT = 300
"""Scalar operations per kernel: Triton's compile time is superlinear above."""
BUFFER_LIMIT = 48
"""Buffers per kernel."""


class Parts(NamedTuple):
    """The axes of a matrix product's result: batches, rows and columns; `half` says that its operands are of a half
    type. `products` share them."""

    batch: frozenset[int]
    rows: frozenset[int]
    columns: frozenset[int]
    half: bool
    products: int = 1

    def replace(self, axis: int, by: tuple[int, int]) -> Parts:
        """With an axis cut in two."""

        def cut(axes: frozenset[int]) -> frozenset[int]:
            return axes - {axis} | set(by) if axis in axes else axes

        return Parts(cut(self.batch), cut(self.rows), cut(self.columns), self.half, self.products)


class Cluster:
    """`kind` is MAP, ROW (axes `inner` lie whole in a tile), COL (axes `inner` are looped over) or CONTRACT (with
    `parts`)."""

    def __init__(self, pos: int, kind: str = "MAP", source: Cluster | None = None, members: int = 1) -> None:
        self.pos, self.kind, self.source = pos, kind, source
        self.nodes: list[int] = []
        self.axes: dict[int, int] = {}
        self.inner: set[int] = set()
        self.labels: dict[int, Labels] = {}
        self.domains: dict[int, Labels] = {}
        """Labels of the space a node iterates over (a reduction's result no longer tells)."""
        self.reads: dict[int, dict[tuple[int, int], int]] = {}
        """External root -> {(stride, extent): axis} of its first access, to line up further readers."""
        self.final: dict[int, frozenset[int]] = {}
        """Reductions that end in partials: value -> axes reduced."""
        self.finishes: list[int] = []
        """Values whose partials this cluster adds up (a finaliser)."""
        self.members = members
        """Finalisers that share its launch."""
        self.finalisers: list[Cluster] = []
        self.overs: list[frozenset[int]] = []
        """The axes of each reduction that finishes inside."""
        self.one_program = False
        self.parts: Parts | None = None
        self.extra: set[int] = set()
        """Axes of reductions that every program repeats for itself."""
        self.cost = 0
        self.lines: dict[tuple[int, ...], frozenset[int]] = {}
        """Operands that several nodes read -> what is computed from them here (`work.py`)."""
        self.name = ""
        """Its kernel's, once it has one."""
        self.rows = ""
        """The name of the kernel before that, if what is known of each row has one of its own (`divide.py`)."""
        self.stored: list[int] = []
        """What its kernel leaves in memory."""

    @property
    def kept(self) -> set[int]:
        return set(self.axes) - self.inner - self.extra

    @property
    def empty(self) -> bool:
        """Whether some axis has no extent: no program runs, so nothing that has elements may be computed here."""
        return 0 in self.axes.values()

    @property
    def reduced(self) -> bool:
        return bool(self.overs or self.final or self.source)

    @property
    def tiny(self) -> bool:
        """Whether one program can hold the whole iteration space, each axis in a group of its own."""
        if self.kind == "CONTRACT" or self.source is not None or len(self.axes) > 4:
            return False
        return product(next_pow2(n) for n in self.axes.values()) <= TINY

    def extent(self, axes: set[int]) -> int:
        return product(self.axes[a] for a in axes)

    def split(self, axis: int, inner_extent: int, fresh: int) -> tuple[int, int]:
        """Replace an axis by (outer, inner) everywhere; the new axes are `fresh` and `fresh + 1`."""
        outer, inner = fresh, fresh + 1
        n = self.axes.pop(axis)
        self.axes[outer], self.axes[inner] = n // inner_extent, inner_extent
        if axis in self.inner:
            self.inner = (self.inner - {axis}) | {outer, inner}
        if self.parts is not None:
            self.parts = self.parts.replace(axis, (outer, inner))

        def replace(label: Label) -> Label:
            return tuple(b for a in label for b in ((outer, inner) if a == axis else (a,)))

        self.labels = {v: tuple(replace(d) for d in ls) for v, ls in self.labels.items()}
        self.domains = {v: tuple(replace(d) for d in ls) for v, ls in self.domains.items()}
        self.final = {v: frozenset(replace(tuple(t))) for v, t in self.final.items()}
        self.overs = [frozenset(replace(tuple(t))) for t in self.overs]
        for table in self.reads.values():
            for key in [k for k, a in table.items() if a == axis]:
                stride, extent = key
                del table[key]
                table[(stride, inner_extent)] = inner
                table[(stride * inner_extent, extent // inner_extent)] = outer
        return outer, inner


class Mismatch(NamedTuple):
    """Why labels cannot be found: `split` names an axis to cut first, otherwise it is final."""

    split: tuple[int, int] | None = None


def strides_of(labels: Labels, shape: Shape, axes: dict[int, int]) -> dict[int, int]:
    """Axis -> its stride in a row-major tensor with these labels (axes of extent 1 are left out)."""
    out: dict[int, int] = {}
    for label, stride in zip(labels, row_major(shape), strict=True):
        inner = stride
        for a in reversed(label):
            if axes[a] != 1:
                out[a] = inner
            inner *= axes[a]
    return out


def match(view: View, root_labels: Labels, root_shape: Shape, axes: dict[int, int]) -> list[Label | None] | Mismatch:
    """Labels of the dims of a view of a labelled value: None for a broadcast dim. All of the root must be covered."""
    if view.offset or 0 in root_shape or 0 in view.shape:
        return Mismatch()
    by_stride = {s: a for a, s in strides_of(root_labels, root_shape, axes).items()}
    used: set[int] = set()
    out: list[Label | None] = []
    for extent, stride in zip(view.shape, view.strides, strict=True):
        if extent == 1:
            out.append(())
            continue
        if stride == 0:
            out.append(None)
            continue
        label: list[int] = []
        need, at = extent, stride
        while need > 1:
            a = by_stride.get(at)
            if a is None:
                return _cut_at(at, by_stride, axes)
            if a in used:
                return Mismatch()
            n = axes[a]
            if need % n == 0:
                label.insert(0, a)
                used.add(a)
                need //= n
                at *= n
            elif n % need == 0:
                return Mismatch(split=(a, need))
            else:
                return Mismatch()
        out.append(tuple(label))
    if len(used) != len(by_stride):
        return Mismatch()
    return out


def _cut_at(stride: int, by_stride: dict[int, int], axes: dict[int, int]) -> Mismatch:
    """An axis that must be cut for some axis to begin at this stride."""
    for start, a in by_stride.items():
        if start < stride < start * axes[a] and stride % start == 0 and axes[a] % (stride // start) == 0:
            return Mismatch(split=(a, stride // start))
    return Mismatch()


def reduction_mode(c: Cluster, over: frozenset[int], limit: int) -> str | None:
    """How a reduction over these axes may join: "inner" (usable inside the kernel), "final" (leaves partials), or None.
    `limit` is the longest reduced extent that one program may walk. Does not change the cluster; `settle` does."""
    if c.one_program or (c.tiny and not c.final and c.kind == "MAP"):
        return "inner"
    if c.kind == "ROW":
        if over == c.inner and c.source is None:
            return "inner"
        return "final" if over in (frozenset(c.axes), frozenset(c.kept)) else None
    if c.kind == "COL":
        return "final" if over == c.inner or over == frozenset(c.axes) else None
    if over == frozenset(c.axes):
        return "final"
    if any(t != frozenset(c.axes) for t in c.final.values()):
        return None
    return "inner" if next_pow2(c.extent(set(over))) <= limit else "final"


def settle(c: Cluster, over: frozenset[int], mode: str) -> None:
    """Give the cluster the kind that a reduction just accepted by `reduction_mode` asks for."""
    if mode == "inner":
        c.overs.append(over)
    if c.kind != "MAP" or c.one_program:
        return
    if mode == "inner" and c.tiny:
        c.one_program = True
    elif mode == "inner":
        c.kind, c.inner = "ROW", set(over)
    elif over != frozenset(c.axes):
        c.kind, c.inner = "COL", set(over)
