"""The op table under torch's spellings, recorded into a graph: tests of records run one function on torch's tensors and
on gradc's records, and compare values and derivatives of any order.

    check(lambda T, x, y: T.cat([x, y]).flip(0), [a, b])          # T is torch, then the table
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import torch

from gradc.ir.build import GraphBuilder, NumpyBuilder, Var
from gradc.ir.dim import row_major
from gradc.ir.graph import Graph
from gradc.ir.interpret import run_graph
from gradc.ir.op import VIEW, Op, Torch
from gradc.ir.ops import REGISTRY
from gradc.ir.pullback import pullback
from gradc.ir.types import dtype, tensor

torch.set_num_threads(1)


def _spellings(kind: str) -> dict[str, tuple[Op, Torch]]:
    return {n: (op, t) for op in REGISTRY.values() for t in op.torch for n in getattr(t, kind)}


class Traced:
    """A value of a graph with torch's methods. Strides follow views, so that reshape and view can be told apart."""

    def __init__(self, var: Var, strides: tuple[int, ...] | None = None, grad_fn: str | None = None) -> None:
        self.var, self.grad_fn = var, grad_fn
        self.strides = row_major(var.shape) if strides is None else strides

    shape = property(lambda self: self.var.shape)
    ndim = property(lambda self: self.var.ndim)
    dtype = property(lambda self: self.var.dtype)

    def stride(self) -> tuple[int, ...]:
        return self.strides

    def clone(self) -> Traced:
        return Traced(self.var, grad_fn="CloneBackward0")

    def to(self, d: Any) -> Traced:
        return Traced(self.var.b.convert(self.var, dtype=dtype(d)))

    def __getattr__(self, name: str) -> Any:
        found = _spellings("methods").get(name)
        if found is not None:
            return lambda *a, **k: call(*found, self, *a, **k)
        found = _spellings("properties").get(name)
        if found is None:
            raise AttributeError(name)
        return call(*found, self)

    def __getitem__(self, key: Any) -> Any:
        from gradc.ir.ops.index import plan_index

        x = self
        for name, attrs, extra in plan_index(self.shape, key):
            x = _apply(self.var.b, REGISTRY["grad." + name], (x, *(lift(self.var.b, e) for e in extra)), attrs)
        return x


def _binary(name: str) -> Any:
    return lambda self, other: _apply(self.var.b, REGISTRY["grad." + name], (self, other), {})


for _name in ("add", "sub", "mul", "lt"):
    setattr(Traced, f"__{_name}__", _binary(_name))
Traced.__rmul__ = Traced.__mul__  # type: ignore[attr-defined]
Traced.__matmul__ = lambda self, other: self.matmul(other)  # type: ignore[attr-defined]


def lift(b: Any, x: Any) -> Traced:
    """An array as a constant of the graph."""
    from gradc.ir.graph import Dense

    if isinstance(x, Traced):
        return x
    a = np.ascontiguousarray(x)
    return Traced(b.dense(value=Dense(a.tobytes(), np.shape(x), dtype(a.dtype))))


def _apply(b: Any, op: Op, operands: Sequence[Any], attrs: dict[str, Any], grad_fn: str | None = None) -> Any:
    raw = [x.var if isinstance(x, Traced) else x for x in operands]
    out = b.apply(op, raw, attrs)
    if isinstance(out, tuple):
        return tuple(Traced(o) for o in out)
    strides = None
    if op.kind == VIEW and isinstance(operands[0], Traced):
        x = operands[0]
        probe = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), x.shape, x.strides)
        seen = NumpyBuilder().run(op, (probe,), {k: v for k, v in attrs.items() if v is not None})
        if np.may_share_memory(seen, probe):
            strides = seen.strides
    return Traced(out, strides, grad_fn or op.grad_fn)


def call(op: Op, spelling: Torch, *args: Any, **kwargs: Any) -> Any:
    b = next(x for a in args for x in (a if isinstance(a, list | tuple) else [a]) if isinstance(x, Traced)).var.b

    def bound(*operands: Any, grad_fn: str | None = None, **attrs: Any) -> Any:
        return _apply(b, op, operands, attrs, grad_fn)

    return spelling.call(bound, *args, **kwargs)


class _Table:
    """`Table.nn.functional.pad` is the record offered under that name."""

    def __init__(self, path: str = "") -> None:
        self.path = path

    def __getattr__(self, name: str) -> Any:
        found = _spellings("names").get(self.path + name)
        if found is None:
            return _Table(self.path + name + ".")
        return lambda *a, **k: call(*found, *a, **k)


Table = _Table()


def differentiate(b: GraphBuilder, outs: Sequence[Var], cts: Sequence[Var], wrt: Sequence[int]) -> list[Var | None]:
    """Reverse mode over the graph so far, by the records' rules."""
    graph, ct = b.graph, {o.v: c for o, c in zip(outs, cts, strict=True)}
    active = set(wrt)
    for n in graph.nodes:
        if any(o in active for o in n.operands):
            active.update(r for r in n.results if graph.types[r].dtype.is_float)
    for n in reversed(list(graph.nodes)):
        if not any(r in ct for r in n.results):
            continue
        cs = [ct.get(r) for r in n.results]
        for i, o in enumerate(n.operands):
            if o not in active:
                continue
            types: Any = [graph.types[p] for p in n.operands]
            c = pullback(
                b, n.op, i, cs, [Var(b, p) for p in n.operands], types, [Var(b, r) for r in n.results], n.attrs
            )
            if c is not None:
                ct[o] = ct[o] + c if o in ct else c
    return [ct.get(v) for v in wrt]


def to_numpy(t: torch.Tensor) -> np.ndarray[Any, Any]:
    t = t.detach()
    return (
        t.view(torch.int16).numpy().view(ml_dtypes.bfloat16) if t.dtype is torch.bfloat16 else t.resolve_neg().numpy()
    )


def to_torch(a: np.ndarray[Any, Any]) -> torch.Tensor:
    a = np.array(a, order="C", copy=True)
    return (
        torch.from_numpy(a.view(np.int16)).view(torch.bfloat16)
        if a.dtype == ml_dtypes.bfloat16
        else torch.from_numpy(a)
    )


def _listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, list | tuple) else [x]


def record(f: Callable[..., Any], arrays: Sequence[Any], order: int, seed: int = 0) -> tuple[Graph, list[Any]]:
    """A graph whose outputs are f's results, then derivatives of growing order, and the cotangents used."""
    rng = np.random.default_rng(seed)
    graph = Graph("f")
    b = GraphBuilder(graph)
    ins = [graph.add_input(tensor(a.shape, dtype(a.dtype))) for a in arrays]
    outs: list[Any] = _listed(f(Table, *[Traced(Var(b, v)) for v in ins]))
    for o in outs:
        graph.add_output(o.var.v)
    wrt = [v for v in ins if graph.types[v].dtype.is_float]
    level: list[Var | None] = [o.var for o in outs]
    feeds = []
    for _ in range(order):
        some = [v for v in level if v is not None and v.dtype.is_float]
        cts = []
        for v in some:
            c = rng.standard_normal(v.shape)
            feeds.append(np.asarray(c).astype(v.dtype.numpy))
            cts.append(Var(b, graph.add_input(v.type)))
        level = differentiate(b, some, cts, wrt)
        for v in level:
            if v is not None:
                graph.add_output(v.v)
    return graph, feeds


def by_torch(f: Callable[..., Any], arrays: Sequence[Any], feeds: Sequence[Any], order: int) -> list[Any]:
    xs = [to_torch(a) for a in arrays]
    for x in xs:
        x.requires_grad_(x.is_floating_point())
    outs = _listed(f(torch, *xs))
    wrt = [x for x in xs if x.requires_grad]
    every, level, feed = list(outs), [o for o in outs if o.is_floating_point()], iter(feeds)
    for _ in range(order):
        cts = [to_torch(next(feed)) for _ in level]
        live = [(v, c) for v, c in zip(level, cts, strict=True) if v.requires_grad]
        if not live:
            break
        some, given = map(list, zip(*live, strict=True))
        grads = torch.autograd.grad(some, wrt, given, create_graph=True, allow_unused=True)
        level = [g for g in grads if g is not None]
        every += level
    return [to_numpy(v) for v in every]


def decomposed(graph: Graph) -> Graph:
    from gradc.ir.graph import Module
    from gradc.passes.decompose import decompose

    out = decompose(Module("joint", {"f": graph}, "f"), []).main
    assert not [n for n in out.nodes if n.op.decompose is not None]
    return out


def check(f: Callable[..., Any], arrays: Sequence[Any], *, order: int = 2, tol: float | None = None) -> Graph:
    """Values, first and second derivatives of f on the table equal torch's, as recorded and when decomposed."""
    graph, feeds = record(f, arrays, order)
    want = by_torch(f, arrays, feeds, order)
    inputs = [*arrays, *feeds]
    half = any(a.dtype.itemsize == 2 and a.dtype.kind not in "iu" for a in arrays)
    double = all(a.dtype.kind != "f" or a.dtype.itemsize == 8 for a in arrays) and not half
    tol = tol or (2e-2 if half else 1e-11 if double else 2e-5)
    for g in (graph, decomposed(graph)):
        got = run_graph(g, inputs)
        # torch may find no path where a linear op's second derivative is zero
        for a, e in zip(got, want, strict=False):
            assert a.shape == e.shape
            assert a.dtype == e.dtype
            np.testing.assert_allclose(a.astype(np.float64), e.astype(np.float64), rtol=tol, atol=tol)
        assert len(got) >= len(want)
        for extra in got[len(want) :]:
            assert not extra.astype(np.float64).any()
    return graph


__all__ = ["Table", "Traced", "by_torch", "check", "operator", "record"]
