"""What a random program may do next: views, joins, indexing, scans, positions."""

from __future__ import annotations

from typing import Any

import numpy as np
from fuzz_values import LARGEST, Grower

from gradc.ir.types import f32, f64


def reshaped(g: Grower, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Another shape with as many elements: dims merged, split or spread."""
    dims = list(shape)
    for _ in range(int(g.rng.integers(1, 4))):
        if len(dims) > 1 and g.chance(0.5):
            i = int(g.rng.integers(len(dims) - 1))
            dims[i : i + 2] = [dims[i] * dims[i + 1]]
        elif len(dims) < 4:
            i = int(g.rng.integers(len(dims) + 1))
            if i < len(dims) and dims[i] > 1:
                f = g.pick([f for f in range(1, dims[i] + 1) if dims[i] % f == 0])
                dims[i : i + 1] = [f, dims[i] // f]
            else:
                dims.insert(i, 1)
    return tuple(dims)


def view(g: Grower) -> None:
    x = g.recent()
    if x is None:
        return
    t = g.t(x)
    shape = t.shape
    kind = g.pick(("reshape", "reshape", "permute", "permute", "slice", "flip", "broadcast", "unslice", "unsqueeze",
                   "roll", "pad", "select", "diagonal", "tril", "repeat"))  # fmt: skip
    if kind == "reshape":
        g.add("reshape", (x,), shape=reshaped(g, shape))
    elif kind == "broadcast":
        lead = (g.pick((1, 2, 3)),) if g.chance(0.5) and t.ndim < 4 else ()
        g.add("broadcast", (x,), shape=(*lead, *[g.pick((2, 3, 5)) if d == 1 and g.chance(0.5) else d for d in shape]))
    elif kind == "unsqueeze":
        if t.ndim < 4:
            g.add("unsqueeze", (x,), dim=int(g.rng.integers(t.ndim + 1)))
    elif not shape:
        return
    elif kind == "permute":
        g.add("permute", (x,), dims=tuple(int(d) for d in g.rng.permutation(t.ndim)))
    elif kind == "slice":
        start = tuple(int(g.rng.integers(0, d // 2 + 1)) if g.chance(0.5) else 0 for d in shape)
        limit = tuple(int(g.rng.integers(s, d + 1)) if g.chance(0.5) else d for s, d in zip(start, shape, strict=True))
        g.add("slice", (x,), start=start, limit=limit, step=tuple(g.pick((1, 1, 2, 3)) for _ in shape))
    elif kind == "flip":
        g.add("flip", (x,), dims=tuple(d for d in range(t.ndim) if g.chance(0.6)))
    elif kind == "unslice":
        step = tuple(g.pick((1, 1, 2)) for _ in shape)
        start = tuple(int(g.rng.integers(0, 3)) for _ in shape)
        limit = tuple(s + max((d - 1) * k + 1, 0) if d else s for s, d, k in zip(start, shape, step, strict=True))
        whole = tuple(e + int(g.rng.integers(0, 3)) for e in limit)
        g.add("unslice", (x,), shape=whole, start=start, limit=limit, step=step)
    elif kind == "roll":
        g.add("roll", (x,), shifts=(int(g.rng.integers(-3, 4)),), dims=(int(g.rng.integers(t.ndim)),))
    elif kind == "pad":
        g.add(
            "pad",
            (x,),
            pad=tuple(int(k) for k in g.rng.integers(0, 3, 2 * int(g.rng.integers(1, t.ndim + 1)))),
            value=0.25,
        )
    elif kind == "select":
        d = int(g.rng.integers(t.ndim))
        if shape[d]:
            g.add("select", (x,), dim=d, index=int(g.rng.integers(shape[d])))
    elif kind == "repeat":
        g.add("repeat", (x,), repeats=tuple(g.pick((1, 1, 2, 3)) for _ in shape))
    elif t.ndim >= 2:
        if kind == "diagonal":
            g.add("diagonal", (x,), offset=int(g.rng.integers(-1, 2)), dim1=0, dim2=1)
        else:
            g.add(g.pick(("tril", "triu")), (x,), diagonal=int(g.rng.integers(-1, 2)))


def join(g: Grower) -> None:
    x = g.recent(lambda t: t.ndim > 0)
    if x is None:
        return
    t = g.t(x)
    dim = int(g.rng.integers(t.ndim))

    def same(o: Any) -> bool:
        return (
            o.dtype is t.dtype
            and o.ndim == t.ndim
            and all(a == b for i, (a, b) in enumerate(zip(o.shape, t.shape, strict=True)) if i != dim)
        )

    found = [v for v in g.floats() if same(g.t(v))]
    more = tuple(g.pick(found) for _ in range(int(g.rng.integers(1, 3))))
    name = "stack" if g.chance(0.3) and all(g.t(v).shape == t.shape for v in more) else "cat"
    g.add(name, (x, *more), dim=dim)


def index(g: Grower) -> None:
    x = g.recent(lambda t: t.ndim > 0 and 0 not in t.shape)
    if x is None:
        return
    t = g.t(x)
    dim = int(g.rng.integers(t.ndim))
    n = t.shape[dim]
    d = g.pick((np.int64, np.int64, np.int32))
    kind = g.pick(("take", "take", "index_select", "gather", "embedding", "scatter_add", "index_add"))
    if kind == "take":
        shape = tuple(int(g.pick((1, 2, 5, 7))) for _ in range(int(g.rng.integers(0, 3))))
        if t.ndim + len(shape) <= 5:
            g.add("take", (x, g.input(np.asarray(g.rng.integers(0, n, shape)).astype(d))), dim=dim)
    elif kind == "index_select":
        g.add("index_select", (x, g.input(g.rng.integers(0, n, g.pick((1, 3, 20))).astype(d))), dim=dim)
    elif kind == "embedding":
        if t.ndim == 2:
            g.add("embedding", (x, g.input(g.rng.integers(0, t.shape[0], (g.pick((1, 4, 33)),)))))
    elif kind == "gather":
        shape = tuple(g.pick((1, 4, n)) if i == dim else int(g.rng.integers(1, k + 1)) for i, k in enumerate(t.shape))
        if np.prod(shape) <= LARGEST:
            g.add("gather", (x, g.input(g.rng.integers(0, n, shape))), dim=dim)
    elif t.numel <= 2000:
        if kind == "scatter_add":
            shape = tuple(int(g.rng.integers(1, k + 1)) for k in t.shape)
            g.add(
                "scatter_add",
                (x, g.input(g.rng.integers(0, n, shape)), g.input(g.reals(shape, t.dtype), active=True)),
                dim=dim,
            )
        else:
            shape = tuple(3 if i == dim else k for i, k in enumerate(t.shape))
            g.add(
                "index_add",
                (x, g.input(g.rng.integers(0, n, 3)), g.input(g.reals(shape, t.dtype), active=True)),
                dim=dim,
                alpha=1,
            )


def scan(g: Grower) -> None:
    x = g.recent(lambda t: t.ndim > 0 and t.numel <= 600)
    if x is not None:
        g.add(g.pick(("cumsum", "cumsum", "cumprod")), (x,), dim=int(g.rng.integers(g.t(x).ndim)), reverse=False)


def position(g: Grower) -> None:
    """An iota beside a value."""
    x = g.recent(lambda t: t.ndim > 0)
    if x is not None:
        t = g.t(x)
        d = int(g.rng.integers(t.ndim))
        i = g.add("iota", (), shape=t.shape, dim=d, dtype=t.dtype if t.dtype in (f32, f64) else f32)
        small = g.add("mul", (i, g.number(0.01, g.t(i).dtype))) if i is not None else None
        if small is not None:
            g.add("add", (x, small))
