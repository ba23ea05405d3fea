"""Clusters to kernels: every value gets its access or its formula, every kernel its groups, the program its
launches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradc.ir.build import GraphBuilder
from gradc.ir.graph import Graph, Module
from gradc.ir.op import REGISTRY
from gradc.ir.types import BufferType, TensorType, Type, tensor

from .batch import Batch
from .cluster import Cluster
from .divide import Part
from .emit import KernelMaker
from .fit import fit
from .share import share

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


class Schedule:
    """A program of launches while it grows: `env` holds what lies in memory, `partials` what a finaliser adds up and
    how many there are of it."""

    def __init__(self, module: Module, graph: Graph, fuser: Fuser) -> None:
        self.module, self.graph, self.fuser = module, graph, fuser
        self.wanted = wanted_outside(graph, fuser)
        self.main = main = Graph(graph.name, "func")
        main.attrs = dict(graph.attrs)
        self.b = GraphBuilder(main)
        self.env: dict[int, int] = {}
        self.kernels: dict[str, Graph] = {}
        self.launched = 0
        self.partials: dict[int, tuple[int, int]] = {}
        for v, attrs in zip(graph.inputs, graph.input_attrs, strict=True):
            self.env[v] = main.add_input(graph.types[v], **attrs)
            if v in graph.names:
                main.names[self.env[v]] = graph.names[v]
        for node in graph.nodes:
            if node.op.name == "grad.dense":
                self.b.loc = node.loc
                (self.env[node.results[0]],) = self.b.emit(node.op, (), node.attrs, [graph.types[node.results[0]]])

    def run(self) -> Module:
        batch = Batch(self.fuser)
        for c in sorted(self.fuser.clusters, key=lambda c: c.pos):
            if c.source is not None and not c.nodes and all(self.partials[v][1] == 1 for v in c.finishes):
                for v in c.finishes:
                    self.env[v] = self.partials[v][0]
                c.name = c.source.name
                continue
            if not batch.fits(c, self.partials):
                if batch.needed_by(c):
                    self._launch(batch.flush())
                self._launch(c)
            elif not batch.takes(c, self.partials):
                self._launch(batch.flush())
                batch.takes(c, self.partials)
        self._launch(batch.flush())
        main, graph = self.main, self.graph
        for v, attrs in zip(graph.outputs, graph.output_attrs, strict=True):
            main.add_output(self.env[v], **attrs)
        entry = self.module.entry
        module, home = share(Module("scheduled", {entry: main, **self.kernels}, entry, self.module.attrs))
        for c in self.fuser.clusters:
            c.name, c.rows = home.get(c.name, c.name), home.get(c.rows, c.rows)
        return module

    def _launch(self, c: Cluster | None) -> None:
        if c is None:
            return
        graph, partials = self.graph, self.partials
        c.name = f"{self.module.entry}_{self.launched}"
        self.launched += 1
        maker = KernelMaker(self.fuser, c, self.wanted, partials)
        parts = fit(maker.make(c.name))
        c.rows = parts[0].kernel.name if len(parts) > 1 else ""
        c.stored = maker.outputs
        self.kernels.update((part.kernel.name, part.kernel) for part in parts)
        operands = [partials[v][0] if v in c.finishes else self.env[v] for v in maker.inputs]
        results = _launch(self.b, parts, operands, [graph.types[v] for v in maker.outputs])
        for v, (r, count) in zip(maker.outputs, results, strict=True):
            if v in maker.partial_count:
                partials[v] = (r, count)
            else:
                self.env[v] = r
            if v in graph.names:
                self.main.names[r] = graph.names[v]


def schedule(module: Module, graph: Graph, fuser: Fuser) -> Module:
    """The scheduled module: kernels in order of position and a main function of launches on whole tensors."""
    return Schedule(module, graph, fuser).run()


def _launch(
    b: GraphBuilder, parts: Sequence[Part], operands: list[int], written: Sequence[Type]
) -> list[tuple[int, int]]:
    """Launch a cluster's kernels one after the other. Returns its results in order, each with the number of partials
    that it consists of."""
    b.loc = None
    values = dict(enumerate(operands))
    counts: dict[int, int] = {}
    end = len(operands) + len(written)
    for part in parts:
        outs: list[tuple[int, TensorType]] = []
        for k, v in zip(part.buffers, part.kernel.inputs, strict=True):
            buffer = part.kernel.types[v]
            assert isinstance(buffer, BufferType)
            if k in values:
                continue
            t = written[k - len(operands)] if k < end else tensor((buffer.numel,), buffer.dtype)
            assert isinstance(t, TensorType)
            counts[k] = buffer.numel // max(t.numel, 1) if t.numel else 1
            outs.append((k, t if counts[k] == 1 else tensor((counts[k], *t.shape), t.dtype)))
        ids = b.emit(
            REGISTRY["tile.launch"],
            tuple([values[k] for k in part.buffers if k in values]),
            {"kernel": part.kernel.name},
            [t for _, t in outs],
        )
        values.update(zip((k for k, _ in outs), ids, strict=True))
    return [(values[k], counts[k]) for k in range(len(operands), end)]
