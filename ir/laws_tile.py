"""The laws of kernels and launches (20 to 28 of `laws.py`). They look at integers only, and share no code with the
pass that schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

from .graph import Graph, Module, Node
from .laws_write import address_steps, check_written, no_lanes
from .monoid import MONOIDS
from .tile import Group, address_space, grid_size, groups, parts, split_load, split_store
from .types import BufferType, TensorType, TileType

Fail: TypeAlias = Callable[..., NoReturn]


def check_kernel(kernel: Graph, fail: Fail) -> None:
    """Laws 20 to 27 of one kernel, and 30."""
    gs = _groups(kernel, fail)
    letters = {g.letter for g in gs}
    modes = _buffers(kernel, fail)
    if parts(kernel):
        _check_parts(kernel, gs, modes, fail)
        return
    stores: dict[int, list[Node]] = {v: [] for v, mode in modes.items() if mode == "out"}
    partial: dict[int, str] = {}
    for node in kernel.nodes:
        for v in (*node.operands, *node.results):
            t = kernel.types[v]
            if isinstance(t, TileType) and not letters.issuperset(t.space):
                fail(21, f"type {t} varies over a group that the kernel does not have", kernel, node)
        _letters(kernel, node, gs, fail)
        for k, o in enumerate(node.operands):
            if o in partial and not (node.op.name == "tile.store" and k == 0 and _apart(node, gs, partial[o])):
                why = f"operand {k} is a partial over {partial[o]!r}: it may only be stored, by program"
                fail(25, why, kernel, node)
        check = _ACCESS.get(node.op.name)
        if check is not None:
            check(kernel, node, gs, modes, fail)
        if node.op.name == "tile.store":
            stores[node.operands[1]].append(node)
        split = "".join(g.letter for g in gs if g.grid > 1 and g.letter in node.attrs.get("over", ""))
        if split:
            partial.update(dict.fromkeys(node.results, split))
    for buffer, nodes in stores.items():
        check_written(kernel, gs, buffer, nodes, fail)


def _check_parts(kernel: Graph, gs: Sequence[Group], modes: dict[int, str], fail: Fail) -> None:
    """Law 30, and the others of each part."""
    programs = 0
    touched: dict[int, int] = {}
    written: set[int] = set()
    for node in kernel.nodes:
        inner = node.regions[0] if node.regions else None
        if node.op.name != "tile.part" or inner is None or inner.kind != "kernel" or parts(inner):
            fail(30, "a kernel with parts holds parts only, and each is a kernel without parts", kernel, node)
        check_kernel(inner, fail)
        programs += grid_size(groups(inner))
        for o, attrs in zip(node.operands, inner.input_attrs, strict=True):
            if attrs["mode"] != modes.get(o):
                fail(30, f"a buffer of mode {modes.get(o)!r} is given as one of mode {attrs['mode']!r}", kernel, node)
            if attrs["mode"] == "out":
                written.add(o)
            touched[o] = touched.get(o, 0) + 1
    for i, v in enumerate(kernel.inputs):
        if modes[v] == "out" and (v not in written or touched[v] > 1):
            fail(30, f"written input {i} is given {touched.get(v, 0)} times, expected once", kernel)
    if [(g.extent, g.grid, g.loop, g.tile) for g in gs] != [(programs, programs, 1, 1)]:
        fail(30, f"the parts have {programs} programs, groups say {kernel.attrs['groups']}", kernel)


def _groups(kernel: Graph, fail: Fail) -> tuple[Group, ...]:
    try:
        gs = groups(kernel)
        sound = all(
            type(g.letter) is str
            and len(g.letter) == 1
            and "a" <= g.letter <= "z"
            and type(g.dims) is tuple
            and all(type(n) is int for n in (*g.dims, g.grid, g.loop, g.tile))
            and min((*g.dims, 0)) == 0
            and min(g.grid, g.loop, g.tile) >= 1
            for g in gs
        )
    except (KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        fail(20, "attribute groups holds a dictionary per index group: letter, dims, grid, loop, tile, strided", kernel)
    for k, g in enumerate(gs):
        if any(g.letter == h.letter for h in gs[:k]):
            fail(20, f"group {g.letter!r} is there twice", kernel)
        if g.tile & (g.tile - 1):
            fail(20, f"the tile of group {g.letter!r} is {g.tile}, no power of two", kernel)
        if g.grid * g.loop * g.tile < g.extent:
            fail(20, f"group {g.letter!r} covers {g.grid} * {g.loop} * {g.tile} of {g.extent} indices", kernel)
    return gs


def _buffers(kernel: Graph, fail: Fail) -> dict[int, str]:
    if kernel.outputs:
        fail(24, "a kernel has no outputs: it writes buffers", kernel)
    modes: dict[int, str] = {}
    for i, (v, attrs) in enumerate(zip(kernel.inputs, kernel.input_attrs, strict=True)):
        mode = attrs.get("mode")
        if not isinstance(kernel.types[v], BufferType) or mode not in ("in", "out"):
            fail(24, f"input {i} is a {kernel.types[v]} of mode {mode!r}, expected a buffer, 'in' or 'out'", kernel)
        if mode == "in" and "out" in modes.values():
            fail(24, f"input {i} is read, but stands after a written one", kernel)
        modes[v] = mode
    return modes


def _letters(kernel: Graph, node: Node, gs: Sequence[Group], fail: Fail) -> None:
    """Law 21 for attributes, 25 for monoids."""
    known = {g.letter: g for g in gs}
    for key in ("over", "group", "space"):
        named = node.attrs.get(key, "")
        if any(c not in known for c in named) or len(set(named)) != len(named):
            fail(21, f"{key} = {named!r} names groups other than {''.join(known)!r}, or one twice", kernel, node)
    if node.op.name == "tile.index":
        g = known.get(node.attrs["group"])
        if g is None or not 0 <= node.attrs["dim"] < len(g.dims):
            fail(21, f"group {node.attrs['group']!r} has no dim {node.attrs['dim']}", kernel, node)
    monoid = node.attrs.get("monoid")
    if monoid is not None and monoid not in MONOIDS:
        fail(25, f"unknown monoid {monoid!r}, known are {', '.join(MONOIDS)}", kernel, node)


def _apart(store: Node, gs: Sequence[Group], letters: str) -> bool:
    program = store.attrs.get("program", ())
    return all(c for g, c in zip(gs, program, strict=False) if g.letter in letters) and len(program) == len(gs)


def _check_load(kernel: Graph, node: Node, gs: Sequence[Group], modes: dict[int, str], fail: Fail) -> None:
    buffer, mask, index = split_load(node)
    if modes.get(buffer) != "in":
        fail(24, "a load reads an input buffer of mode 'in'", kernel, node)
    _address(kernel, node, gs, buffer, mask, index, fail)
    moves = address_space(node.attrs["coeffs"], tuple(gs))
    if sorted(node.attrs["space"]) != sorted(moves):
        fail(22, f"space is {node.attrs['space']!r}, the coefficients move over {moves!r}", kernel, node)


def _check_store(kernel: Graph, node: Node, gs: Sequence[Group], modes: dict[int, str], fail: Fail) -> None:
    _, buffer, mask, index = split_store(node)
    if modes.get(buffer) != "out":
        fail(24, "a store writes an input buffer of mode 'out'", kernel, node)
    value, into = kernel.types[node.operands[0]], kernel.types[buffer]
    if not isinstance(value, TileType) or value.dtype is not into.dtype:
        fail(24, f"a {value} is stored into a {into}", kernel, node)
    _address(kernel, node, gs, buffer, mask, index, fail)


def _check_flag(kernel: Graph, node: Node, gs: Sequence[Group], modes: dict[int, str], fail: Fail) -> None:
    if modes.get(node.operands[1]) != "out" or not isinstance(kernel.types[node.operands[0]], TileType):
        fail(24, "a check takes a value and a flag buffer of mode 'out'", kernel, node)


_ACCESS: dict[str, Any] = {"tile.load": _check_load, "tile.store": _check_store, "tile.check": _check_flag}


def _address(
    kernel: Graph, node: Node, gs: Sequence[Group], buffer: int, mask: int | None, index: Sequence[int], fail: Fail
) -> None:
    """Laws 22 and 23."""
    a = node.attrs
    rows = a["coeffs"]
    if (
        type(rows) is not tuple
        or len(rows) != len(gs)
        or any(
            type(cs) is not tuple or len(cs) != len(g.dims) or any(type(c) is not int for c in cs)
            for g, cs in zip(gs, rows, strict=True)
        )
    ):
        want_rows = [len(g.dims) for g in gs]
        fail(22, f"coeffs holds {want_rows} integers, one per dim of each group, got {rows!r}", kernel, node)
    program = a.get("program", ())
    if len(program) not in (0, len(gs)):
        fail(22, f"program holds one coefficient per group, got {program!r}", kernel, node)
    for v in (*index, *(() if mask is None else (mask,))):
        t = kernel.types[v]
        want = ("bool",) if v == mask else ("int",)
        if not isinstance(t, TileType) or t.dtype.kind not in want:
            fail(22, f"a mask is an i1 value and an index an integer one, got {t}", kernel, node)
    if len(a.get("index_coeffs", ())) != len(index):
        fail(22, f"{len(index)} index operands have coefficients {a.get('index_coeffs', ())!r}", kernel, node)
    if index or mask is not None or any(g.extent == 0 for g, cs in zip(gs, rows, strict=True) if any(cs)):
        return
    low = high = a["offset"]
    for c, n in address_steps(node, gs):
        low, high = low + min(c * (n - 1), 0), high + max(c * (n - 1), 0)
    t = kernel.types[buffer]
    if isinstance(t, BufferType) and (low < 0 or high >= t.numel) and not no_lanes(kernel, node, gs):
        fail(23, f"elements {low} to {high} are accessed in a {t}", kernel, node)


def check_launch(module: Module | None, graph: Graph, node: Node, fail: Fail) -> None:
    """Law 28, where the module with the kernels is at hand."""
    if module is None:
        return
    name = node.attrs["kernel"]
    kernel = module.graphs.get(name)
    if kernel is None or kernel.kind != "kernel":
        fail(28, f"the module has no kernel {name!r}", graph, node)
    buffers = [(kernel.types[v], a.get("mode")) for v, a in zip(kernel.inputs, kernel.input_attrs, strict=True)]
    for what, mode, values in (("operand", "in", node.operands), ("result", "out", node.results)):
        want = [t for t, m in buffers if m == mode]
        if len(want) != len(values):
            fail(28, f"kernel {name!r} has {len(want)} {mode} buffers, got {len(values)} {what}s", graph, node)
        for k, (b, v) in enumerate(zip(want, values, strict=True)):
            t = graph.types[v]
            sizes = isinstance(b, BufferType) and isinstance(t, TensorType) and (t.numel, t.dtype) == (b.numel, b.dtype)
            if not sizes:
                fail(28, f"{what} {k} is a {t}, kernel {name!r} has a {b}", graph, node)
