"""The NumPy meaning of kernels: the whole iteration space at once, three array axes (program, loop, lane) per group.

It keeps the kernel's grouping into programs, so partial results have the kernel's shape; the order of summation within
a program is NumPy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import ExecutorError
from .graph import Graph, Module, Node
from .interpret import Array
from .monoid import MONOIDS
from .tile import Group, groups, parts, split_load, split_store
from .types import BufferType, TileType, dtype, f64


class _Space:
    """Index arrays and validity masks of a kernel's groups, shaped to broadcast over the whole space."""

    def __init__(self, gs: tuple[Group, ...]) -> None:
        self.groups = gs
        self.rank = 3 * len(gs)
        self.position = {g.letter: i for i, g in enumerate(gs)}
        self.flat: list[Array] = []
        self.valid: list[Array] = []
        self.program: list[Array] = []
        for i, g in enumerate(gs):
            p = self._axis(np.arange(g.grid), 3 * i)
            step = self._axis(np.arange(g.loop), 3 * i + 1)
            lane = self._axis(np.arange(g.tile), 3 * i + 2)
            flat = p * g.grid_stride + step * g.loop_stride + lane
            self.flat.append(flat)
            self.valid.append(flat < g.extent)
            self.program.append(p)

    def _axis(self, a: Array, axis: int) -> Array:
        return a.reshape([-1 if k == axis else 1 for k in range(self.rank)])

    def dim(self, group: int, dim: int) -> Array:
        g = self.groups[group]
        if len(g.dims) == 1:
            return self.flat[group]
        return self.flat[group] // g.strides[dim] % max(g.dims[dim], 1)

    def mask(self, space: str) -> Array:
        m: Array = np.ones([1] * self.rank, bool)
        for c in space:
            m = m & self.valid[self.position[c]]
        return m

    def axes(self, letters: str) -> tuple[int, ...]:
        """Loop and lane axes of these groups."""
        return tuple(a for c in letters for a in (3 * self.position[c] + 1, 3 * self.position[c] + 2))

    def address(self, attrs: dict[str, Any], index: Sequence[Array]) -> Array:
        a: Array = np.full([1] * self.rank, attrs["offset"], np.int64)
        for i, cs in enumerate(attrs["coeffs"]):
            for d, c in enumerate(cs):
                if c:
                    a = a + c * self.dim(i, d)
        for i, c in enumerate(attrs.get("program") or ()):
            if c:
                a = a + c * self.program[i]
        for c, v in zip(attrs.get("index_coeffs") or (), index, strict=True):
            a = a + c * v.astype(np.int64)
        return a


def run_kernel(kernel: Graph, buffers: Sequence[Array], *, wide: bool = False) -> None:
    """Run a kernel on flat arrays, one per kernel input; written ones are changed in place."""
    env: dict[int, Array] = dict(zip(kernel.inputs, buffers, strict=True))
    for part in parts(kernel):
        run_kernel(part.regions[0], [env[o] for o in part.operands], wide=wide)
    if parts(kernel):
        return
    space = _Space(groups(kernel))
    for node in kernel.nodes:
        step = _STEPS.get(node.op.name, _scalar)
        with np.errstate(all="ignore"):
            out = step(kernel, node, env, space, wide)
        if isinstance(out, tuple):
            env.update(zip(node.results, out, strict=True))
        elif out is not None:
            env[node.results[0]] = out


def _scalar(kernel: Graph, node: Node, env: dict[int, Array], space: _Space, wide: bool) -> Array:
    assert node.op.numpy is not None
    attrs = node.attrs
    d = attrs.get("dtype")
    if wide and d is not None and d.is_float:
        attrs = {**attrs, "dtype": f64}
        if node.op.name == "tile.bitcast":
            raise ExecutorError("float64 shadow runs need a level without bitcasts")
    out: Array = np.asarray(node.op.numpy(*[env[o] for o in node.operands], **attrs))
    return out.reshape([1] * space.rank) if out.ndim == 0 else out


def _index(kernel: Graph, node: Node, env: dict[int, Array], space: _Space, wide: bool) -> Array:
    i = space.position[node.attrs["group"]]
    return space.dim(i, node.attrs["dim"]).astype(node.attrs["dtype"].numpy)


def _load(kernel: Graph, node: Node, env: dict[int, Array], space: _Space, wide: bool) -> Array:
    buffer, mask, index = split_load(node)
    source = env[buffer]
    type_ = kernel.types[node.results[0]]
    assert isinstance(type_, TileType)
    address = space.address(node.attrs, [env[v] for v in index])
    valid = space.mask(type_.space)
    if mask is not None:
        valid = valid & env[mask]
    address, valid = np.broadcast_arrays(address, valid)
    if source.size == 0:
        return np.zeros(address.shape, source.dtype)
    out: Array = np.where(valid, source[np.where(valid, address, 0)], np.zeros((), source.dtype))
    return out


def _store(kernel: Graph, node: Node, env: dict[int, Array], space: _Space, wide: bool) -> None:
    value, buffer, mask, index = split_store(node)
    type_ = kernel.types[value]
    assert isinstance(type_, TileType)
    letters = "".join(g.letter for g, cs in zip(space.groups, node.attrs["coeffs"], strict=True) if any(cs))
    letters += type_.space + "".join(t.space for t in (kernel.types[v] for v in index) if isinstance(t, TileType))
    address = space.address(node.attrs, [env[v] for v in index])
    valid = space.mask(letters)
    if mask is not None:
        valid = valid & env[mask]
    address, valid, data = np.broadcast_arrays(address, valid, env[value])
    target = env[buffer]
    target[address[valid]] = data[valid].astype(target.dtype)


def _reduce(kernel: Graph, node: Node, env: dict[int, Array], space: _Space, wide: bool) -> Array:
    monoid = MONOIDS[node.attrs["monoid"]]
    over = node.attrs["over"]
    x = env[node.operands[0]]
    identity = np.asarray(monoid.identity(dtype(x.dtype))).astype(x.dtype)
    full = np.broadcast_shapes(x.shape, space.mask(over).shape)
    x = np.where(space.mask(over), np.broadcast_to(x, full), identity)
    return np.asarray(monoid.ufunc.reduce(x, axis=space.axes(over), keepdims=True)).astype(x.dtype, copy=False)


def _exp_sum(kernel: Graph, node: Node, env: dict[int, Array], space: _Space, wide: bool) -> tuple[Array, Array]:
    over, x = node.attrs["over"], env[node.operands[0]]
    full = np.broadcast_shapes(x.shape, space.mask(over).shape)
    x = np.where(space.mask(over), np.broadcast_to(x, full), -np.inf).astype(x.dtype, copy=False)
    top = np.asarray(np.maximum.reduce(x, axis=space.axes(over), keepdims=True))
    each = np.where(space.mask(over), np.exp(x - top), 0)
    return top, np.add.reduce(each, axis=space.axes(over), keepdims=True).astype(x.dtype, copy=False)


def _moments(
    kernel: Graph, node: Node, env: dict[int, Array], space: _Space, wide: bool
) -> tuple[Array, Array]:
    over, x = node.attrs["over"], env[node.operands[0]]
    inside = np.broadcast_to(space.mask(over), np.broadcast_shapes(x.shape, space.mask(over).shape))
    axes = space.axes(over)
    total = np.add.reduce(np.where(inside, x, 0), axis=axes, keepdims=True).astype(x.dtype, copy=False)
    off = np.where(inside, x - total / np.add.reduce(inside, axis=axes, keepdims=True), 0)
    return total, np.add.reduce(off * off, axis=axes, keepdims=True).astype(x.dtype, copy=False)


def _dot(kernel: Graph, node: Node, env: dict[int, Array], space: _Space, wide: bool) -> Array:
    over = node.attrs["over"]
    acc = np.float64 if wide else node.attrs["dtype"].numpy
    mask = space.mask(over)
    a = np.where(mask, env[node.operands[0]], 0).astype(acc)
    b = np.where(mask, env[node.operands[1]], 0).astype(acc)
    gone = set(space.axes(over))
    live = [[k for k in range(space.rank) if x.shape[k] != 1] for x in (a, b)]
    keep = [k for k in range(space.rank) if (k in live[0] or k in live[1]) and k not in gone]
    out = np.einsum(a.squeeze(), live[0], b.squeeze(), live[1], keep, optimize=True)
    shape = [1] * space.rank
    for k, n in zip(keep, out.shape, strict=True):
        shape[k] = n
    return np.asarray(out).reshape(shape)


def _check(kernel: Graph, node: Node, env: dict[int, Array], space: _Space, wide: bool) -> None:
    bad, flag = node.operands
    type_ = kernel.types[bad]
    assert isinstance(type_, TileType)
    if np.any(env[bad] & space.mask(type_.space)):
        env[flag][0] = node.attrs["code"]


_STEPS: dict[str, Any] = {
    "tile.index": _index,
    "tile.load": _load,
    "tile.store": _store,
    "tile.reduce": _reduce,
    "tile.exp_sum": _exp_sum,
    "tile.moments": _moments,
    "tile.dot": _dot,
    "tile.check": _check,
}


def run_launch(
    module: Module, graph: Graph, node: Node, arrays: Sequence[Array], *, wide: bool, arena: Array | None = None
) -> tuple[Array, ...]:
    """One launch on whole arrays: results start as NaN (or the largest integer), so an unwritten element shows.

    Results with a slot live in the arena (except in float64 shadow runs, whose elements are wider than planned)."""
    kernel = module.graphs[node.attrs["kernel"]]
    outs = []
    offsets = node.attrs.get("slots") or (-1,) * len(node.results)
    for r, offset in zip(node.results, offsets, strict=True):
        t: Any = graph.types[r]
        if offset >= 0 and arena is not None and not wide:
            outs.append(arena[offset : offset + t.nbytes].view(t.dtype.numpy).reshape(t.shape))
            continue
        outs.append(unwritten(t.shape, np.dtype(np.float64) if wide and t.dtype.is_float else t.dtype.numpy))
    flat = [np.ascontiguousarray(a).reshape(-1) for a in arrays] + [o.reshape(-1) for o in outs]
    for v, a in zip(kernel.inputs, flat, strict=True):
        bt = kernel.types[v]
        assert isinstance(bt, BufferType)
        if a.size < bt.numel:
            raise ExecutorError(
                f"{kernel.name}: buffer {kernel.names.get(v, v)} needs {bt.numel} elements, got {a.size}"
            )
    run_kernel(kernel, flat, wide=wide)
    return tuple(outs)


def unwritten(shape: tuple[int, ...], d: np.dtype[Any]) -> Array:
    """An array whose every element says that nobody wrote it."""
    if d.kind == "b":
        return np.ones(shape, d)
    if d.kind in "iu":
        return np.full(shape, np.iinfo(d).max, d)
    return np.full(shape, np.nan, d)
