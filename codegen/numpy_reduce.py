"""Reductions and matrix products in printed NumPy code, within a batch and carried across loop steps."""

from __future__ import annotations

from gradc.ir.dim import product
from gradc.ir.graph import Node
from gradc.ir.monoid import MONOIDS
from gradc.ir.types import DType

from .names import identifier
from .numpy_body import Body, Value
from .numpy_ops import REDUCTIONS, dtype_text, typed_literal


class Reductions(Body):
    """`loop_start` is where the loops of the section begin in `lines`, `after` what follows them."""

    def full(self, e: Value, axes: frozenset[int]) -> Value:
        """The value with these axes at full length, for a reduction that must count every lane."""
        if axes <= e.axes:
            return e
        wanted = e.axes | axes
        return Value(f"np.broadcast_to({e.text}, {self.access.shape(wanted)})", wanted)

    def combine(self, text: str, monoid: str, groups: list[list[int]], dtype: DType) -> str:
        """A reduction of lanes as text."""
        groups = [g for g in groups if g]
        if not groups:
            return text
        if dtype.is_float and monoid in ("sum", "prod"):
            return f"tree({REDUCTIONS[monoid]}, {text}, {tuple(tuple(g) for g in groups)})"
        axes = tuple(k for g in groups for k in g)
        initial = typed_literal(MONOIDS[monoid].identity(dtype), dtype)
        return f"reduce({REDUCTIONS[monoid]}, {text}, {axes}, {initial})"

    def reduce(self, i: int, node: Node) -> None:
        monoid, over, v = node.attrs["monoid"], node.attrs["over"], node.operands[0]
        dtype = self.walk.type(v).dtype
        groups = self.space.lanes(over)
        gone = frozenset(k for g in groups for k in g)
        programs = frozenset(
            k for c in over for k in self.space.of_group(self.walk.position[c]) if self.space.axes[k].kind == "program"
        )
        e = self.full(self.value(v, typed=True), gone | programs)
        carried = [g for g in groups if self.steps(g)]
        if not any(groups):
            self.alias(node, e.text, e.axes)
            return
        if not carried:
            self.set(node, self.combine(e.text, monoid, groups, dtype), e.axes - gone)
            return
        kept = frozenset(k for g in carried for k in g)
        now = [g for g in groups if g not in carried]
        part = self.combine(e.text, monoid, now, dtype)
        acc = self.carry(node, (e.axes - gone) | kept, monoid, dtype)
        ufunc = REDUCTIONS[monoid]
        lanes = self.access.lanes_of(kept)
        self.line(f"{ufunc}({acc}{lanes}, {part}, out={acc}{lanes})")
        self.after.append(f"{self.outer}{acc} = {self.combine(acc, monoid, carried, dtype)}")
        self.env[node.results[0]] = Value(acc, e.axes - gone)

    def exp_sum(self, i: int, node: Node) -> None:
        over, v = node.attrs["over"], node.operands[0]
        dtype = self.walk.type(v).dtype
        groups = self.space.lanes(over)
        gone = frozenset(k for g in groups for k in g)
        e = self.full(self.value(v, typed=True), gone)
        carried = frozenset(k for g in groups if self.steps(g) for k in g)
        top, total = (self.carry(node, e.axes, monoid, dtype) for monoid in ("max", "sum"))
        lanes = self.access.lanes_of(carried)
        self.line(f"exp_step({top}{lanes}, {total}{lanes}, {e.text})")
        best = self.names.fresh("best")
        self.after.append(f"{self.outer}{best} = {self.combine(top, 'max', groups, dtype)}")
        summed = self.combine(f"{total} * np.exp({top} - {best})", "sum", groups, dtype)
        self.after.append(f"{self.outer}{total} = {summed}")
        for r, name in zip(node.results, (best, total), strict=True):
            self.env[r] = Value(name, e.axes - gone)

    def moments(self, i: int, node: Node) -> None:
        over, v = node.attrs["over"], node.operands[0]
        dtype = self.walk.type(v).dtype
        groups = self.space.lanes(over)
        gone = frozenset(k for g in groups for k in g)
        e = self.full(self.value(v, typed=True), gone)
        lanes = self.access.lanes_of(frozenset(k for g in groups if self.steps(g) for k in g))
        total, mean, squares, count = (self.carry(node, e.axes, "sum", dtype) for _ in range(4))
        self.line(f"moments_step({', '.join(n + lanes for n in (total, mean, squares, count))}, {e.text})")
        extent = product(self.walk.groups[self.walk.position[c]].extent for c in over)
        apart = f"{mean} - {total} / {typed_literal(float(extent), dtype)}"
        self.after.append(f"{self.outer}{total} = {self.combine(total, 'sum', groups, dtype)}")
        self.after.append(f"{self.outer}{squares} += {count} * np.square({apart})")
        self.after.append(f"{self.outer}{squares} = {self.combine(squares, 'sum', groups, dtype)}")
        for r, name in zip(node.results, (total, squares), strict=True):
            self.env[r] = Value(name, e.axes - gone)

    def steps(self, axes: list[int]) -> bool:
        """Whether these are the lanes of a group whose steps run one after the other."""
        groups = {self.space.axes[k].group for k in axes}
        return any(i in self.space.tiled and self.walk.groups[i].loop > 1 for i in groups)

    def carry(self, node: Node, axes: frozenset[int], monoid: str, dtype: DType) -> str:
        """An accumulator, made before the loop, with all lanes of a tile along the groups that are looped over."""
        looped = frozenset(k for k in axes if self.steps([k]))
        acc = self.names.fresh(identifier(self.kernel.names.get(node.results[0], monoid)))
        start = typed_literal(MONOIDS[monoid].identity(dtype), dtype)
        line = f"{self.outer}{acc} = np.full({self.access.shape(axes, tiles=looped)}, {start})"
        self.lines.insert(self.loop_start, line)
        self.loop_start += 1
        return acc

    def dot(self, i: int, node: Node) -> None:
        over, dtype = node.attrs["over"], node.attrs["dtype"]
        gone = frozenset(k for g in self.space.lanes(over) for k in g)
        a, b = (self.value(o, typed=True) for o in node.operands)
        a = self.full(a, gone)
        k = tuple(sorted(gone))
        batch = tuple(sorted((a.axes & b.axes) - gone))
        m, n = tuple(sorted(a.axes - b.axes - gone)), tuple(sorted(b.axes - a.axes - gone))
        axes = (a.axes | b.axes) - gone
        text = f"dot({a.text}, {b.text}, {dtype_text(dtype)}, {batch}, {m}, {n}, {k})"
        if not any(self.steps(g) for g in self.space.lanes(over)):
            self.set(node, text, axes)
            return
        acc = self.carry(node, axes, "sum", dtype)
        self.line(f"{acc} += {text}")
        self.env[node.results[0]] = Value(acc, axes)
