"""Modules that the tests of the text share: one with everything an attribute, name or region can hold, one per entry of
the op table's samples, one per hand-built kernel, and every stage of a few compiled functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from tile_kernels import CASES

from gradc.ir import Dense, Graph, GraphBuilder, Loc, Module, dtype, f32, i1, tensor
from gradc.ir.build import type_of_array
from gradc.ir.graph import Attr
from gradc.ir.op import PLAN, REGISTRY, TILE
from gradc.ir.types import BufferType, tile

ATTRS: dict[str, Attr] = {
    "bool": True,
    "int": -7,
    "long": 2**64 - 1,
    "least": -(2**63),
    "zero": -0.0,
    "one": 1.0,
    "tiny": 5e-324,
    "tenth": 0.1,
    "large": 1e22,
    "inf": float("inf"),
    "low": float("-inf"),
    "nan": float("nan"),
    "str": 'a "quoted" \\ line\n\té\udc80',
    "empty": "",
    "none": (),
    "ints": (1, -2, 3),
    "mixed": (1, 1.0, True, "s", (2, (3.5,)), {"k": ()}),
    "bools": (True, False),
    "dict": {"a b": 1, "z": {"y": {}}, "A": 2},
    "dtype": dtype("bfloat16"),
    "type": tensor((2, 0), f32),
    "value": tile("xr", f32),
    "scalar": tile("", i1),
    "buffer": BufferType(12, f32, 256),
    "dense": Dense(np.arange(3, dtype=np.float32).tobytes(), (3, 1), f32),
    "flags": Dense(b"\1\0\1\1", (2, 2), i1),
    "hollow": Dense(b"", (0, 4), f32),
    "nans": Dense(np.array([0x7FA00001, 0xFF800000], np.uint32).tobytes(), (2,), f32),
}


def everything() -> Module:
    """All attribute kinds, awkward names, marks, locations, several results, nested regions."""
    g = Graph("loss fn")
    g.attrs = {"forward": 3, "groups": ({"dims": (1, 2)},)}
    b = GraphBuilder(g)
    x = b.var(g.add_input(tensor((4, 8), f32), "x", requires_grad=True))
    y = b.var(g.add_input(tensor((8,), f32)))
    b.var(g.add_input(tensor((), f32), "arg7"))
    b.loc = Loc("loss.py", 12, 8)
    z = x * y
    g.names[z.v] = "x"
    b.loc = Loc('odd "dir"/é.py', 1)
    w = b.exp(z) + 1.5
    g.names[w.v] = "3 weights é"
    b.no_grad = True
    s = b.sum(w, dims=(0, 1), keepdim=False)
    b.loc, b.no_grad = None, False
    (call,) = b.emit(REGISTRY["grad.call"], (s.v,), {"callee": "f"}, [tensor((), f32)], (nested(3),))
    top, index = b.max(x, dim=1, keepdim=False)
    g.names[index.v] = "x"
    b.max(x, dim=0, keepdim=False)
    g.add_output(call, role="value")
    g.add_output(top.v, extra=dict(ATTRS))
    return Module("traced", {"loss fn": g, "other": nested(0, "func")}, "loss fn", dict(ATTRS))


def nested(depth: int, kind: str = "region") -> Graph:
    """A region that calls a region that calls ..."""
    g = Graph("other" if kind == "func" else f"f{depth}", kind)
    b = GraphBuilder(g)
    x = b.var(g.add_input(tensor((), f32), "x", depth=depth))
    v = b.exp(x)
    if depth:
        b.loc = Loc("inner.py", depth, 1)
        inner = b.emit(REGISTRY["grad.call"], (v.v,), {"callee": "g"}, [tensor((), f32)], (nested(depth - 1),))
        v = b.var(inner[0])
    g.add_output(v.v, role="value")
    return g


def chain(n: int) -> Module:
    """`n` nodes, half binary and half unary, each with a location."""
    g = Graph("chain")
    b = GraphBuilder(g)
    v = b.var(g.add_input(tensor((4, 8), f32), "x"))
    b.loc = Loc("loss.py", 12, 8)
    for _ in range(n // 2):
        v = b.exp(v * v)
    g.add_output(v.v, role="value")
    return Module("traced", {"chain": g}, "chain")


def op_modules() -> Iterator[tuple[str, Module]]:
    """One module per sample of each record of the grad level."""
    for name, op in sorted(REGISTRY.items()):
        if op.sample is None or op.kind in (TILE, PLAN):
            continue
        for k, (operands, attrs, *_) in enumerate(op.sample(np.random.default_rng(0))):
            g = Graph(op.short)
            b = GraphBuilder(g)
            flat: list[Any] = [a for x in operands for a in (x if isinstance(x, (list, tuple)) else (x,))]
            out = b.apply(op, [b.var(g.add_input(type_of_array(np.asarray(a)))) for a in flat], attrs)
            for v in out if isinstance(out, tuple) else (out,):
                g.add_output(v.v)
            yield f"{name}-{k}", Module("traced", {op.short: g}, op.short)


def kernel_modules() -> Iterator[tuple[str, Module]]:
    """One scheduled module per hand-built kernel, with a program that launches it."""
    for name, build in CASES.items():
        kernel = build()
        g = Graph("main", "program")
        ins, outs = [], []
        for v, attrs in zip(kernel.inputs, kernel.input_attrs, strict=True):
            buffer = kernel.types[v]
            assert isinstance(buffer, BufferType)
            t = tensor((buffer.numel,), buffer.dtype)
            if attrs["mode"] == "in":
                ins.append(g.add_input(t, attrs["name"]))
            else:
                outs.append(t)
        b = GraphBuilder(g)
        for v in b.emit(REGISTRY["tile.launch"], tuple(ins), {"kernel": kernel.name}, outs):
            g.add_output(v, role="value")
        yield name, Module("scheduled", {"main": g, kernel.name: kernel}, "main")


def stages() -> Iterator[tuple[str, str]]:
    """The text of every stage of a few compiled functions."""
    import gradc as gc

    def wave(x, y):  # type: ignore[no-untyped-def]
        return ((x * 2).sin() * y + y.exp()).tanh().mean()

    def rows(x, y):  # type: ignore[no-untyped-def]
        return (gc.softmax(x, dim=1) * y).sum()

    def columns(x, y):  # type: ignore[no-untyped-def]
        return (gc.cat([x, y], dim=1).sum(0).exp() * 0.5).sum()

    def product(x, y):  # type: ignore[no-untyped-def]
        return (x @ y.T).relu().sum()

    for f in (wave, rows, columns, product):
        spec = gc.spec((37, 50), "float32", requires_grad=True)
        for stage, text in gc.build(f, spec, spec, name=f.__name__).stages.items():
            yield f"{f.__name__}-{stage}", text
