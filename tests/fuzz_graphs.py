"""Random programs over the IR, grown node by node by the ops' own type rules, with values to run them on.

Every candidate node is evaluated at once, in its own types and in float64, and dropped if a value is not finite, is
large, or if the two disagree: so a program's values stay away from kinks, ties and overflow, and a difference between
two executors is a difference of meaning.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from fuzz_shapes import index, join, position, scan, view
from fuzz_steps import (
    binary,
    cast,
    centred,
    guarded_div,
    integers,
    loss,
    matmul,
    norm,
    reduction,
    select,
    softmax,
    unary,
)
from fuzz_values import LARGEST, Grower, Program, smaller

from gradc.ir.types import bf16, f16, f32, f64

DIMS = (1, 1, 2, 2, 3, 5, 7, 16, 17, 33)
LONG = (64, 127, 129, 300, 1000, 5000)
STEPS: dict[str, tuple[float, Callable[[Grower], None]]] = {
    "unary": (22, unary),
    "binary": (22, binary),
    "div": (3, guarded_div),
    "select": (5, select),
    "reduction": (12, reduction),
    "centred": (6, centred),
    "softmax": (3, softmax),
    "norm": (3, norm),
    "matmul": (5, matmul),
    "view": (16, view),
    "join": (4, join),
    "index": (4, index),
    "loss": (3, loss),
    "cast": (3, cast),
    "integers": (3, integers),
    "scan": (1, scan),
    "position": (2, position),
}


def random_shape(rng: np.random.Generator) -> tuple[int, ...]:
    rank = int(rng.choice([0, 1, 2, 2, 3, 3, 4]))
    dims = [int(rng.choice(DIMS)) for _ in range(rank)]
    if rank and rng.random() < 0.35:
        dims[int(rng.integers(rank))] = int(rng.choice(LONG))
    if rank and rng.random() < 0.04:
        dims[int(rng.integers(rank))] = 0
    while int(np.prod(dims)) > LARGEST // 3:
        dims[int(np.argmax(dims))] //= 2
    return tuple(dims)


def grow(rng: np.random.Generator, nodes: int | None = None) -> Program:
    """One random program with 3 to 40 nodes (before its gradients)."""
    d = (f32, f32, f32, f32, f32, f32, f64, f64, bf16, f16)[int(rng.integers(10))]
    g = Grower(rng, d, random_shape(rng))
    for _ in range(int(rng.integers(1, 4))):
        shape = g.shape if rng.random() < 0.6 else smaller(g, g.shape)
        if rng.random() < 0.2:
            shape = tuple(int(k) for k in rng.permutation(shape)) if shape else ()
        g.input(g.reals(shape), active=rng.random() < 0.8)
    want = nodes or int(rng.integers(3, 41))
    for _ in range(4 * want):
        if len(g.graph.nodes) >= want:
            break
        names = list(STEPS)
        weights = np.array([STEPS[n][0] for n in names])
        STEPS[str(rng.choice(names, p=weights / weights.sum()))][1](g)
    if not g.graph.nodes:
        g.add("neg", (g.graph.inputs[0],))
    return g.finish()
