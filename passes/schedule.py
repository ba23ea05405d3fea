"""Clusters to kernels: every value gets its access or its formula, every kernel its groups, the program its
launches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradc.ir.build import GraphBuilder
from gradc.ir.graph import Graph, Module
from gradc.ir.op import REGISTRY
from gradc.ir.types import TensorType, tensor

from .emit import KernelMaker

if TYPE_CHECKING:
    from .fuse import Fuser


def wanted_outside(graph: Graph, fuser: Fuser) -> set[int]:
    """Values that must be in memory: read by another cluster (or read whole), or an output."""
    wanted = set(graph.outputs)
    for c in fuser.clusters:
        for i in c.nodes:
            node = graph.nodes[i]
            for k, view in fuser.reads(node, c):
                home = fuser.placed(view.root)
                if home is not None and (home is not c or k in fuser.whole(node)):
                    wanted.add(view.root)
    return wanted


def schedule(module: Module, graph: Graph, fuser: Fuser) -> Module:
    """The scheduled module: kernels in order of position and a main function of launches on whole tensors."""
    wanted = wanted_outside(graph, fuser)
    main = Graph(graph.name, "func")
    main.attrs = dict(graph.attrs)
    b = GraphBuilder(main)
    env: dict[int, int] = {}
    for v, attrs in zip(graph.inputs, graph.input_attrs, strict=True):
        env[v] = main.add_input(graph.types[v], **attrs)
        if v in graph.names:
            main.names[env[v]] = graph.names[v]
    for node in graph.nodes:
        if node.op.name == "grad.dense":
            b.loc = node.loc
            (env[node.results[0]],) = b.emit(node.op, (), node.attrs, [graph.types[node.results[0]]])
    kernels: dict[str, Graph] = {}
    partials: dict[int, tuple[int, int]] = {}
    for c in sorted(fuser.clusters, key=lambda c: c.pos):
        if c.source is not None and not c.nodes and all(partials[v][1] == 1 for v in c.finishes):
            for v in c.finishes:
                env[v] = partials[v][0]
            c.name = c.source.name
            continue
        c.name = name = f"{module.entry}_{len(kernels)}"
        maker = KernelMaker(fuser, c, wanted, partials)
        kernel = maker.make(name)
        kernels[name] = kernel
        operands = tuple(partials[v][0] if v in c.finishes else env[v] for v in maker.inputs)
        types: list[Any] = []
        for v in maker.outputs:
            t = graph.types[v]
            assert isinstance(t, TensorType)
            count = maker.partial_count.get(v, 1)
            types.append(t if count == 1 else tensor((count, *t.shape), t.dtype))
        b.loc = None
        results = b.emit(REGISTRY["tile.launch"], operands, {"kernel": name}, types)
        for v, r in zip(maker.outputs, results, strict=True):
            if v in maker.partial_count:
                partials[v] = (r, maker.partial_count[v])
            else:
                env[v] = r
            if v in graph.names:
                main.names[r] = graph.names[v]
    for v, attrs in zip(graph.outputs, graph.output_attrs, strict=True):
        main.add_output(env[v], **attrs)
    return Module("scheduled", {module.entry: main, **kernels}, module.entry, module.attrs)
