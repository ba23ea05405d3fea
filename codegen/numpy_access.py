"""Shapes, indices and addresses in printed NumPy code."""

from __future__ import annotations

from gradc.ir.tile import Group
from gradc.ir.types import BufferType

from .access import Term
from .numpy_space import SpacePlan
from .walk import Walk


class AccessText:
    """Text for what a kernel's accesses address, over the axes of a `SpacePlan`."""

    def __init__(self, walk: Walk, space: SpacePlan) -> None:
        self.walk, self.space = walk, space

    def number(self, i: int) -> int:
        """Which of the kernel's inputs an access goes to."""
        return self.walk.kernel.inputs.index(self.walk.accesses[i].buffer)

    def shape(self, axes: frozenset[int], tiles: frozenset[int] = frozenset()) -> str:
        """A shape with length 1 on all other axes; on the axes `tiles` it counts all lanes of a tile."""
        sizes = []
        for k, a in enumerate(self.space.axes):
            full = k in tiles and a.kind == "lane"
            sizes.append((str(a.extent) if full else a.size) if k in axes else "1")
        return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"

    def lanes_of(self, axes: frozenset[int]) -> str:
        """The subscript that cuts an accumulator to the lanes of this step; empty where there are only whole tiles."""
        marks = []
        for k, a in enumerate(self.space.axes):
            cut = k in axes and self.walk.groups[a.group].letter in self.walk.guarded
            marks.append(f":{a.size}" if cut else ":")
        return f"[{', '.join(marks)}]" if any(m != ":" for m in marks) else ""

    def tile_start(self, g: Group, step: str) -> str:
        """The flat index of lane 0 of the first program of the batch, at a step."""
        first = f"{g.letter}_lo"
        if g.loop == 1:
            return f"{first} * {g.tile}"
        if g.strided:
            return f"({step} * {g.grid} + {first}) * {g.tile}"
        return f"({first} * {g.loop} + {step}) * {g.tile}"

    def is_view(self, i: int) -> bool:
        """Whether an access is a strided view of its buffer."""
        a = self.walk.accesses[i]
        return not a.indices and all(self.space.regular(t.group) for t in a.terms)

    def _strides(self, i: int) -> dict[int, int]:
        """Elements per index along each axis that the affine part of an access moves with."""
        coeffs = self.walk.kernel.nodes[i].attrs["coeffs"]
        out: dict[int, int] = {}
        for p in range(len(self.walk.groups)):
            if self.space.regular(p):
                out |= self.space.strides(p, coeffs[p])
        for p, c in self.walk.accesses[i].program:
            for k in self.space.of_group(p):
                if self.space.axes[k].kind == "program":
                    out[k] = out.get(k, 0) + c
        return {k: s for k, s in out.items() if s}

    def axes(self, i: int, index_axes: frozenset[int]) -> frozenset[int]:
        """The axes that an access varies along."""
        out = set(self._strides(i)) | index_axes
        for t in self.walk.accesses[i].terms:
            if not self.space.regular(t.group):
                out |= set(self.space.of_group(t.group))
        return frozenset(out)

    def view(self, i: int, how: str, more: str = "") -> str:
        """`io.<how>(buffer, first byte, shape, strides in bytes)`."""
        a = self.walk.accesses[i]
        buffer = self.walk.kernel.types[a.buffer]
        assert isinstance(buffer, BufferType)
        size = buffer.dtype.itemsize
        strides = self._strides(i)
        shape = self.shape(frozenset(strides))
        steps = [str(strides.get(k, 0) * size) for k in range(self.space.rank)]
        tail = f", {more}" if more else ""
        stride_text = f"({', '.join(steps)}{',' if len(steps) == 1 else ''})"
        return f"io.{how}({self.number(i)}, {self._start(i, size)}, {shape}, {stride_text}{tail})"

    def _start(self, i: int, scale: int) -> str:
        """The offset of the first element of a view, times the scale."""
        a = self.walk.accesses[i]
        coeffs = self.walk.kernel.nodes[i].attrs["coeffs"]
        parts = [str(a.offset * scale)] if a.offset else []
        for p in range(len(self.walk.groups)):
            if not self.space.regular(p):
                continue
            found = self.space.strides(p, coeffs[p])
            for k, c in found.items():
                axis = self.space.axes[k]
                if axis.kind != "program" and c and axis.start != "0":
                    parts.append(f"{c * scale} * {axis.start}")
        for p, c in a.program:
            parts.append(f"{c * scale} * {self.walk.groups[p].letter}_lo")
        return " + ".join(parts) or "0"

    def ramp(self, k: int, first: str) -> str:
        """Consecutive integers along one axis."""
        a = self.space.axes[k]
        count = a.size
        numbers = f"np.arange({count})" if first == "0" else f"np.arange({first}, {first} + {count})"
        return numbers if self.space.rank == 1 else f"{numbers}.reshape({self.shape(frozenset((k,)))})"

    def flat(self, position: int) -> tuple[str, frozenset[int]]:
        """The flat index of a tiled group, as an array."""
        g = self.walk.groups[position]
        text, axes = "", self.space.of_group(position)
        for k in axes:
            kind = self.space.axes[k].kind
            if kind == "lane":
                text += self.ramp(k, f"{g.letter}_b")
            else:
                text = f"{self.ramp(k, '0')} * {g.grid_stride} + "
        return text, frozenset(axes)

    def dim(self, position: int, dim: int) -> tuple[str, frozenset[int]]:
        """The index of one dim of a group, as an array."""
        g = self.walk.groups[position]
        divisor, extent = g.strides[dim], g.dims[dim]
        if extent == 1:
            return f"np.zeros({self.shape(frozenset())})", frozenset()
        if position in self.space.tiled:
            text, axes = self.flat(position)
            return self._apart(text, divisor, extent, g.extent), axes
        for k in self.space.of_group(position):
            a = self.space.axes[k]
            if not g.extent:
                return self.ramp(k, a.start), frozenset((k,))
            if a.divisor <= divisor < a.divisor * a.extent:
                text = self._apart(self.ramp(k, a.start), divisor // a.divisor, extent, a.extent)
                return text, frozenset((k,))
        raise AssertionError(f"no axis holds dim {dim} of {g}")

    def _apart(self, text: str, divisor: int, extent: int, whole: int) -> str:
        out = f"({text})"
        if divisor != 1:
            out += f" // {divisor}"
        return out if divisor * extent >= whole else f"{out} % {extent}"

    def address(self, i: int, index: list[str]) -> str:
        """The element numbers that a gather or scatter touches, as an array."""
        a = self.walk.accesses[i]
        parts = [self._start(i, 1)]
        for k, s in self._strides(i).items():
            ramp = self.ramp(k, "0")
            parts.append(ramp if s == 1 else f"{ramp} * {s}")
        for t in a.terms:
            if not self.space.regular(t.group):
                parts.append(self._term(t))
        for text, (_, c) in zip(index, a.indices, strict=True):
            parts.append(f"{text}.astype(np.int64)" + (f" * {c}" if c != 1 else ""))
        return " + ".join(p for p in parts if p != "0") or "0"

    def _term(self, t: Term) -> str:
        text = f"({self.flat(t.group)[0]})"
        if t.divisor != 1:
            text += f" // {t.divisor}"
        if t.modulus is not None:
            text = f"({text}) % {t.modulus}"
        return text if t.coeff == 1 else f"{text} * {t.coeff}"
