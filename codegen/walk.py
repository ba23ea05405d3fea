"""The one walk of a kernel that all printers share: what runs in which loop, what is constant, what every access
addresses, which index groups need masks, and what the padding lanes of a value hold.

Nothing here knows a target language. `Walk.sections` is the order of execution: straight-line runs of nodes, some
inside the kernel's loops. A reduction over a looped group is finished when its section ends.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from gradc.ir.errors import UnsupportedError
from gradc.ir.graph import Graph, Node
from gradc.ir.monoid import MONOIDS
from gradc.ir.tile import COMBINING, Group, grid_size, groups, phases
from gradc.ir.types import TileType

from .access import Access, access_of
from .constants import Number, fold
from .window import Window, window_of

ROOTS = ("tile.store", "tile.check")


class Section(NamedTuple):
    """Nodes that run together, inside the loops of the groups at these positions (outermost first), if any.
    `phase` counts the sections that loop: a buffer loaded in two phases is read twice."""

    loops: tuple[int, ...]
    nodes: tuple[int, ...]
    phase: int


class TileRange(NamedTuple):
    """The tiles of a group that one program handles: start, stop and step of the tile number, where `start` and `stop`
    are `program * <factor>` plus a constant, and `stop` is cut at `limit` where programs share the tiles unevenly."""

    start: tuple[int, int]
    stop: tuple[int, int]
    step: int
    limit: int | None


class Walk:
    """All that is known of a kernel before a word is printed."""

    def __init__(self, kernel: Graph, windowed: bool = False) -> None:
        """`windowed` asks for an aligned window (`window.py`), for printers of text whose accesses have widths."""
        self.kernel = kernel
        self.groups: tuple[Group, ...] = groups(kernel)
        self.position = {g.letter: i for i, g in enumerate(self.groups)}
        self.grid = grid_size(self.groups)
        self.constants: dict[int, Number] = {}
        live = self._live()
        self.live = [i for i in range(len(kernel.nodes)) if live[i]]
        for i in self.live:
            fold(kernel, kernel.nodes[i], self.constants)
        self.accesses: dict[int, Access] = {}
        for i in self.live:
            access = access_of(kernel, kernel.nodes[i], self.groups)
            if access is not None:
                self.accesses[i] = access
        self.window: Window | None = None
        self.narrow: dict[int, str] = {}
        """Groups whose accesses are narrow for want of a window, by position, and why."""
        if windowed:
            self.window, self.narrow = window_of(kernel, self.groups, self.accesses.values())
        self.sections = self._sections()
        self._refuse_what_cannot_be_printed()

    def type(self, value: int) -> TileType:
        t = self.kernel.types[value]
        assert isinstance(t, TileType)
        return t

    def space(self, value: int) -> str:
        return self.type(value).space

    @cached_property
    def looped(self) -> tuple[int, ...]:
        return tuple(i for i, g in enumerate(self.groups) if g.loop > 1)

    @cached_property
    def guarded(self) -> frozenset[str]:
        """Letters of the groups that have padding lanes. The last tile of a looped group may be padded, but no program
        handles tiles past the last one. A window's lanes that are in no whole vector are padding too."""
        window = -1 if self.window is None else self.window.position
        return frozenset(
            g.letter
            for i, g in enumerate(self.groups)
            if (g.extent % g.tile if g.loop > 1 else not g.exact) or not g.extent or i == window
        )

    def tiles(self, g: Group) -> int:
        return -(-g.extent // g.tile)

    def tile_range(self, g: Group) -> TileRange:
        tiles = self.tiles(g)
        if g.grid == 1:
            return TileRange((0, 0), (0, tiles), 1, None)
        if g.strided:
            return TileRange((1, 0), (0, tiles), g.grid, None)
        even = tiles == g.grid * g.loop
        return TileRange((g.loop, 0), (g.loop, g.loop), 1, None if even else tiles)

    def finishes(self, node: Node) -> bool:
        """Whether this is a reduction whose result is only there once the loops are done."""
        return node.op.name in COMBINING and any(self.groups[i].letter in node.attrs["over"] for i in self.looped)

    def uses(self, section: Section) -> dict[int, int]:
        """How often each value is read in a section."""
        count: dict[int, int] = {}
        for i in section.nodes:
            for o in self.kernel.nodes[i].operands:
                count[o] = count.get(o, 0) + 1
        return count

    @cached_property
    def identities(self) -> dict[int, Number]:
        """For each load what its padding lanes should read: the identity of the reduction that takes it, else 0."""
        out: dict[int, Number] = {}
        for i in self.live:
            node = self.kernel.nodes[i]
            if node.op.name == "tile.load":
                out[node.results[0]] = self._zero(node.results[0])
        for i in reversed(self.live):
            node = self.kernel.nodes[i]
            if node.op.name == "tile.reduce" and node.operands[0] in out:
                out[node.operands[0]] = MONOIDS[node.attrs["monoid"]].identity(self.type(node.operands[0]).dtype)
        for access, node in ((a, self.kernel.nodes[i]) for i, a in self.accesses.items()):
            if node.op.name == "tile.load" and access.mask is not None:
                out[node.results[0]] = self._zero(node.results[0])
        return out

    @cached_property
    def padding(self) -> dict[int, dict[str, Number]]:
        """What a value is known to hold in all padding lanes of a group, by letter."""
        known: dict[int, dict[str, Number]] = {}
        for i in self.live:
            node = self.kernel.nodes[i]
            if node.op.name == "tile.load":
                r = node.results[0]
                known[r] = {c: self.identities[r] for c in self.space(r) if c in self.guarded}
            elif "scalar" in node.op.traits and node.results[0] not in self.constants:
                known[node.results[0]] = self._padding_of(node, known)
            elif node.op.name == "tile.reduce":
                monoid = MONOIDS[node.attrs["monoid"]]
                v = node.operands[0]
                neutral = monoid.identity(self.type(v).dtype)
                kept = set(self.space(node.results[0]))
                known[node.results[0]] = {c: p for c, p in known.get(v, {}).items() if c in kept and p == neutral}
        return known

    def _padding_of(self, node: Node, known: dict[int, dict[str, Number]]) -> dict[str, Number]:
        """The padding of a scalar op's result: known where all its operands' is."""
        out: dict[str, Number] = {}
        result = node.results[0]
        for c in self.space(result):
            if c not in self.guarded:
                continue
            trial: dict[int, Number] = {}
            for o in node.operands:
                if o in self.constants:
                    trial[o] = self.constants[o]
                elif c in known.get(o, {}):
                    trial[o] = known[o][c]
            fold(self.kernel, node, trial)
            if result in trial:
                out[c] = trial[result]
        return out

    def needs_mask(self, value: int, over: str, neutral: Number) -> bool:
        """Whether padding lanes of the groups in `over` must be replaced by the neutral element first."""
        known = self.padding.get(value, {})
        return any(c in self.guarded and known.get(c) != neutral for c in over)

    def _zero(self, value: int) -> Number:
        return 0.0 if self.type(value).dtype.is_float else (False if self.type(value).dtype.kind == "bool" else 0)

    def _live(self) -> list[bool]:
        nodes = self.kernel.nodes
        live = [n.op.name in ROOTS for n in nodes]
        producer = self.kernel.producers()
        for i in range(len(nodes) - 1, -1, -1):
            if live[i]:
                for o in nodes[i].operands:
                    if producer[o] >= 0:
                        live[producer[o]] = True
        return live

    def _sections(self) -> tuple[Section, ...]:
        made = self.kernel.nodes
        keep = {i for i in self.live if made[i].op.name in ROOTS or made[i].results[0] not in self.constants}
        if not self.looped:
            return (Section((), tuple(i for i in self.live if i in keep), 0),)
        out: list[Section] = []
        for p, phase in enumerate(phases(self.kernel)):
            for loops, nodes in (((), phase.tail), (self.looped, phase.body)):
                chosen = tuple(i for i in nodes if i in keep)
                if chosen:
                    out.append(Section(loops, chosen, p))
        return tuple(out)

    def _refuse_what_cannot_be_printed(self) -> None:
        looped = {self.groups[i].letter for i in self.looped}
        partial: set[int] = set()
        types = self.kernel.types
        half = {v: t.dtype for v, t in enumerate(types) if isinstance(t, TileType) and t.dtype.is_half}
        for i in self.live:
            node = self.kernel.nodes[i]
            name = node.op.name
            if name in COMBINING:
                over = looped & set(node.attrs["over"])
                if over and over != looped:
                    loops = "".join(sorted(looped))
                    self._refuse(node, f"{name} over loop {''.join(sorted(over))} inside loops {loops}")
                if any(self.groups[self.position[c]].grid > 1 for c in node.attrs["over"]):
                    partial.add(node.results[0])
            elif name == "tile.store":
                self._check_store(node, self.accesses[i], node.operands[0] in partial)
            elif partial and any(o in partial for o in node.operands):
                if "scalar" not in node.op.traits:
                    self._refuse(node, f"{name} of a partial result")
                partial.update(node.results)
            if half and "scalar" in node.op.traits and name not in ("tile.convert", "tile.bitcast", "tile.select"):
                found = [half[o].name for o in node.operands if o in half]
                if found:
                    self._refuse(node, f"{name} on {found[0]}: half types are computed in f32")

    def _check_store(self, node: Node, access: Access, partial: bool) -> None:
        free = set(self.space(node.operands[0])) - set(access.space)
        if any(self.groups[self.position[c]].extent > 1 for c in free):
            space = self.space(node.operands[0])
            self._refuse(node, f"tile.store of a value over {space} at an address over {access.space or '_'}")
        if partial and not access.program:
            self._refuse(node, "tile.store of a partial result at one address for all programs")

    def _refuse(self, node: Node, what: str) -> None:
        raise UnsupportedError(f"{self.kernel.name}: cannot print {what}", loc=node.loc)
