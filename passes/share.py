"""Independent launches that share one: each kernel becomes a part (`tile.part`) that runs in programs of its own.

A launch costs about 2 us before its first byte, in which a GPU moves several megabytes. A program that runs beside
another one costs nothing but this: the registers of a launch are those of the part that needs most, so few of the
others fit a multiprocessor. That decides which kernels go together: small ones, whose time is the launch; and large
ones only beside others that compute the same on other tensors, as the parameters of an optimiser's step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gradc.ir.dim import product
from gradc.ir.graph import Graph, Module, Node
from gradc.ir.op import REGISTRY
from gradc.ir.rewrite import Rewriter
from gradc.ir.tile import batch, groups, set_groups
from gradc.ir.types import BufferType, TensorType

SMALL = 8 << 20
"""Bytes of a launch's buffers that move in about the time that it takes to start."""
LANES = 4096
"""Most lanes of a program: what fits registers beside kernels of fewer."""
PARTS = 64
"""Parts of a launch."""
NODES = 2000
"""Nodes of a launch, over all parts: compile time is linear in them."""
BUFFERS = 480
"""Buffers of a launch: the addresses fill 4 KB of parameters at 512."""
SHARED = 1 << 16
"""Most bytes of a tensor that several parts may read: larger ones would be read twice, and not overwritten."""
BACK = 16
"""How many launches before the last one are tried."""
WAITING = 1 << 20
"""Most bytes of temporaries that are computed earlier than they would be."""


class Facts(NamedTuple):
    """What decides whether a kernel may share a launch: whether it is narrow (few lanes in a program, no matrix
    product), whether it is also small, and what it computes, as the names of its operations."""

    narrow: bool
    small: bool
    kind: tuple[str, ...]


class Together:
    """Launches that share one: none reads what another one writes."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.ops = self.buffers = 0
        self.reads: set[int] = set()
        self.kinds: set[tuple[str, ...]] = set()
        self.small = True

    def takes(self, node: Node, kernel: Graph, facts: Facts, main: Graph) -> bool:
        """Whether the launch may share this one."""
        if not facts.narrow or len(self.nodes) == PARTS or self.ops + len(kernel.nodes) > NODES:
            return False
        if self.buffers + len(kernel.inputs) > BUFFERS:
            return False
        if any(_nbytes(main, o) > SHARED for o in node.operands if o in self.reads):
            return False
        return self.kinds == {facts.kind} or (self.small and facts.small)

    def add(self, node: Node, kernel: Graph, facts: Facts) -> None:
        self.nodes.append(node)
        self.ops += len(kernel.nodes)
        self.buffers += len(kernel.inputs)
        self.reads.update(node.operands)
        self.kinds.add(facts.kind)
        self.small = self.small and facts.small


def share(module: Module) -> tuple[Module, dict[str, str]]:
    """A scheduled module with fewer launches, and the kernel that each kernel which is a part now belongs to."""
    main = module.main
    launches = _together(module)
    if all(len(t.nodes) == 1 for t in launches):
        return module, {}
    r = Rewriter(main)
    for node in main.nodes:
        if node.op.name != "tile.launch":
            r.copy(node)
    kernels: dict[str, Graph] = {}
    home: dict[str, str] = {}
    for t in launches:
        first = t.nodes[0]
        name = first.attrs["kernel"]
        if len(t.nodes) == 1:
            kernels[name] = module.graphs[name]
            r.copy(first)
            continue
        home.update({n.attrs["kernel"]: name for n in t.nodes})
        operands = tuple(dict.fromkeys(o for n in t.nodes for o in n.operands))
        results = [v for n in t.nodes for v in n.results]
        kernels[name] = _joined(name, module, t.nodes, (*operands, *results))
        made = r.b.emit(first.op, tuple(r.map[o] for o in operands), {"kernel": name}, [main.types[v] for v in results])
        for old, new in zip(results, made, strict=True):
            r.map[old] = new
            if old in main.names:
                r.graph.names[new] = main.names[old]
    return Module(module.state, {module.entry: r.finish(), **kernels}, module.entry, module.attrs), home


def _together(module: Module) -> list[Together]:
    """The launches, each beside earlier ones that run after all that it reads is there, if it may be."""
    main = module.main
    temporary = set(range(len(main.types))) - set(main.outputs)
    made: dict[int, int] = {}
    out: list[Together] = []
    for node in main.nodes:
        if node.op.name != "tile.launch":
            continue
        kernel = module.graphs[node.attrs["kernel"]]
        after = 1 + max([made[o] for o in node.operands if o in made], default=-1)
        size = sum(_nbytes(main, v) for v in node.results if v in temporary)
        facts = _facts(kernel)
        after = max(after, len(out) - (BACK if size <= WAITING else 1))
        at = next((k for k in range(after, len(out)) if out[k].takes(node, kernel, facts, main)), len(out))
        if at == len(out):
            out.append(Together())
        out[at].add(node, kernel, facts)
        made.update(dict.fromkeys(node.results, at))
    return out


def _nbytes(graph: Graph, v: int) -> int:
    t = graph.types[v]
    assert isinstance(t, (TensorType, BufferType))
    return t.nbytes


def _facts(kernel: Graph) -> Facts:
    gs = groups(kernel)
    names = tuple([n.op.name for n in kernel.nodes])
    narrow = "tile.dot" not in names and product([g.tile for g in gs]) <= LANES
    small = narrow and sum([_nbytes(kernel, v) for v in kernel.inputs]) <= SMALL
    return Facts(narrow, small, (*(g.letter for g in gs), *names))


def _joined(name: str, module: Module, nodes: Sequence[Node], values: Sequence[int]) -> Graph:
    """The kernel whose parts are these launches' kernels; `values` are its buffers in order, those it reads first."""
    joined = Graph(name, "kernel")
    kernels = [module.graphs[n.attrs["kernel"]] for n in nodes]
    given = {
        v: (k, b, attrs)
        for k, n in zip(reversed(kernels), reversed(nodes), strict=True)
        for v, b, attrs in zip((*n.operands, *n.results), k.inputs, k.input_attrs, strict=True)
    }
    buffer: dict[int, int] = {}
    for v in values:
        kernel, b, attrs = given[v]
        buffer[v] = joined.add_input(kernel.types[b], kernel.names.get(b), mode=attrs["mode"])
    for n, kernel in zip(nodes, kernels, strict=True):
        operands = tuple(buffer[v] for v in (*n.operands, *n.results))
        joined.nodes.append(Node(REGISTRY["tile.part"], operands, {}, (), regions=(kernel,)))
    set_groups(joined, (batch(kernels),))
    joined.attrs["class"] = "BATCH"
    return joined
