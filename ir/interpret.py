"""The NumPy meaning of every level, op by op: the oracle. (Tile and plan levels: see `interpret_tile.py`.)

`wide=True` computes all floats in float64: the shadow that bounds the error of any other executor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from .errors import ExecutorError, GradcError
from .graph import Dense, Graph, Module, Node
from .op import ELEMENTWISE, VIEW, Op
from .promote import operand_dtypes
from .types import DType, TensorType, dtype, f64, tensor

Array: TypeAlias = np.ndarray[Any, Any]


def evaluate(
    op: Op,
    arrays: Sequence[Array],
    attrs: dict[str, Any],
    *,
    wide: bool = False,
    types: Sequence[TensorType] | None = None,
) -> tuple[Array, ...]:
    """The results of one op on arrays. Elementwise operands are first brought to their common dtype; half types are
    computed in float32 and rounded once at the end; every result has the dtype of the op's type rule.

    `types` are the declared result types where known (a graph's node); without them the type rule is run.
    """
    if op.numpy is None:
        if op.decompose is None:
            raise ExecutorError(f"{op.name} has no NumPy meaning at this level")
        from .build import NumpyBuilder, Var

        b = NumpyBuilder(wide)
        out = op.decompose(b, *[Var(b, a) for a in arrays], **attrs)
        return tuple(o.v for o in out) if isinstance(out, tuple) else (out.v,)
    in_types = [tensor(a.shape, dtype(a.dtype)) for a in arrays]
    if types is None:
        inferred = op.infer(*in_types, **attrs)
        types = inferred if isinstance(inferred, tuple) else (inferred,)
    if op.kind != VIEW:
        if op.kind == ELEMENTWISE:
            want_in = operand_dtypes(op, in_types, types[0].dtype)
            if wide:
                want_in = tuple(f64 if d.is_float else d for d in want_in)
            arrays = [a if a.dtype == d.numpy else a.astype(d.numpy) for a, d in zip(arrays, want_in, strict=True)]
        elif any(t.dtype.is_half for t in in_types):
            arrays = [a.astype(np.float32) if t.dtype.is_half else a for a, t in zip(arrays, in_types, strict=True)]
    if wide and isinstance(attrs.get("dtype"), DType) and attrs["dtype"].is_float:
        attrs = {**attrs, "dtype": f64}
    with np.errstate(all="ignore"):
        raw = op.numpy(*arrays, **attrs)
    results = raw if isinstance(raw, tuple) else (raw,)
    out_arrays = []
    for r, t in zip(results, types, strict=True):
        want = f64.numpy if wide and t.dtype.is_float else t.dtype.numpy
        a = np.asarray(r)
        if a.dtype != want:
            with np.errstate(all="ignore"):
                a = a.astype(want)
        out_arrays.append(a)
    return tuple(out_arrays)


def dense_array(value: Dense) -> Array:
    return np.frombuffer(value.data, dtype=value.dtype.numpy).reshape(value.shape)


def run_graph(
    graph: Graph, inputs: Sequence[Array], *, wide: bool = False, module: Module | None = None
) -> list[Array]:
    """The outputs of a grad-level graph, node by node. Values are dropped after their last use."""
    env: dict[int, Array] = {}
    for v, a in zip(graph.inputs, inputs, strict=True):
        t = graph.types[v]
        env[v] = a.astype(np.float64) if wide and t.dtype.is_float else a
    last = {o: i for i, n in enumerate(graph.nodes) for o in n.operands}
    keep = set(graph.outputs)
    arena = np.zeros(graph.attrs.get("arena_bytes", 0), np.uint8)
    for i, node in enumerate(graph.nodes):
        results = run_node(graph, node, [env[o] for o in node.operands], wide=wide, module=module, arena=arena)
        for v, a in zip(node.results, results, strict=True):
            env[v] = a
        for o in node.operands:
            if last[o] == i and o not in keep:
                env.pop(o, None)
    return [env[o] for o in graph.outputs]


def run_node(
    graph: Graph,
    node: Node,
    arrays: Sequence[Array],
    *,
    wide: bool = False,
    module: Module | None = None,
    arena: Array | None = None,
) -> tuple[Array, ...]:
    if node.op.name == "tile.launch":
        from .interpret_tile import run_launch

        assert module is not None
        return run_launch(module, graph, node, arrays, wide=wide, arena=arena)
    if node.regions:
        return tuple(run_graph(node.regions[0], arrays, wide=wide, module=module))
    try:
        types: Any = tuple(graph.types[r] for r in node.results)
        return evaluate(node.op, arrays, node.attrs, wide=wide, types=types)
    except GradcError as e:
        raise e.at(node.loc) from None


def run_module(module: Module, inputs: Sequence[Array], *, wide: bool = False) -> list[Array]:
    """The outputs of a module at any state, on row-major arrays."""
    return run_graph(module.main, inputs, wide=wide, module=module)
