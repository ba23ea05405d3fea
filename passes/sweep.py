"""Kernels without what no store or check needs."""

from __future__ import annotations

from gradc.ir.graph import Graph
from gradc.ir.rewrite import compact

ROOTS = ("tile.store", "tile.check")


def needed(kernel: Graph, roots: set[int]) -> set[int]:
    """Positions of these nodes and of all they depend on."""
    producer = kernel.producers()
    out, stack = set(roots), list(roots)
    while stack:
        for o in kernel.nodes[stack.pop()].operands:
            i = producer[o]
            if i >= 0 and i not in out:
                out.add(i)
                stack.append(i)
    return out


def sweep(kernel: Graph) -> Graph:
    """The kernel with dead nodes gone; its buffers stay."""
    keep = needed(kernel, {i for i, n in enumerate(kernel.nodes) if n.op.name in ROOTS})
    if len(keep) == len(kernel.nodes):
        return kernel
    return compact(kernel, [i in keep for i in range(len(kernel.nodes))])
