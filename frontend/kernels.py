"""What a program shows of its launches: source, bytes, operations, binaries."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from gradc.codegen.launch import KernelSource
from gradc.codegen.triton import triton_source
from gradc.ir.errors import TargetError
from gradc.ir.graph import Graph, Module, Node
from gradc.ir.plan import Slot, slots
from gradc.ir.traffic import Traffic, traffic
from gradc.passes.remarks import Remark
from gradc.runtime.binary import Binary
from gradc.runtime.executors import kernel_text
from gradc.runtime.launch import KernelText
from gradc.runtime.target import Target
from gradc.runtime.target import target as find_target


class Kernel:
    """One launch of a program. `phase` is "forward", "backward" or "joint"."""

    def __init__(self, graph: Graph, buffers: list[tuple[str, str]], phase: str, target: Target) -> None:
        """`buffers` are names and types, those read first, then those written."""
        self.graph, self.phase, self.target = graph, phase, target
        self.name = graph.name
        self.buffers = [name for name, _ in buffers]
        self.shapes = dict(buffers)
        self.binaries: dict[str, Binary] = {}
        """Those that were made, by target."""

    @property
    def kind(self) -> str:
        """The kernel class: "MAP", "ROW", ..."""
        return str(self.graph.attrs.get("class", ""))

    @cached_property
    def printed(self) -> KernelSource:
        return triton_source(self.graph)

    @property
    def source(self) -> str:
        """Its Triton text."""
        return self.printed.text

    @cached_property
    def text(self) -> KernelText:
        """The source with what a compiler is told about it."""
        return kernel_text(self.graph)

    @cached_property
    def traffic(self) -> Traffic:
        return traffic(self.graph)

    def _named(self, by_position: dict[int, int]) -> dict[str, int]:
        out: dict[str, int] = {}
        for i, n in by_position.items():
            out[self.buffers[i]] = out.get(self.buffers[i], 0) + n
        return out

    @property
    def reads(self) -> dict[str, int]:
        """Bytes loaded from each buffer, a phase that loads again counted again."""
        return self._named(self.traffic.reads)

    @property
    def writes(self) -> dict[str, int]:
        """Bytes stored to each buffer."""
        return self._named(self.traffic.writes)

    @property
    def bytes_moved(self) -> int:
        return self.traffic.moved

    @property
    def bytes_min(self) -> int:
        return self.traffic.least

    @property
    def bytes_issued(self) -> int:
        return self.traffic.issued

    @property
    def flops(self) -> int:
        return self.traffic.flops

    @property
    def grid(self) -> tuple[int, int, int]:
        return self.printed.grid

    def binary(self, target: str | None = None) -> Binary:
        """The compiled kernel for a target, by default the program's."""
        to = find_target(target) if target is not None else self.target
        if to.name not in self.binaries:
            from gradc.runtime.cache import Cache
            from gradc.runtime.compile import compile_kernel

            if not to.compiles:
                raise TargetError(f"{self.name}: target {to.name!r} has no binaries", hint='binary("cuda:90"), say')
            self.binaries[to.name] = compile_kernel(self.text, to, store=Cache())
        return self.binaries[to.name]

    def to_json(self) -> dict[str, Any]:
        """Its counted facts as plain data, and what is known of its binaries."""
        from .measures import Measures

        out: dict[str, Any] = {
            "name": self.name,
            "class": self.kind,
            "phase": self.phase,
            "grid": list(self.grid),
            "num_warps": self.printed.num_warps,
            "reads": self.reads,
            "writes": self.writes,
            "shapes": self.shapes,
            "bytes_moved": self.bytes_moved,
            "bytes_min": self.bytes_min,
            "bytes_issued": self.bytes_issued,
            "flops": self.flops,
        }
        if self.binaries:
            out["binaries"] = {name: Measures(self, binary).to_json() for name, binary in self.binaries.items()}
        return out

    def __repr__(self) -> str:
        return f"<kernel {self.name} {self.kind} {self.phase}: {self.bytes_moved:,} bytes>"


_NAMED = {"grad": "grad", "write": "new"}
"""Roles of outputs that are named for the input they belong to."""


def input_names(main: Graph) -> list[str]:
    return [str(a.get("name", f"input{i}")) for i, a in enumerate(main.input_attrs)]


def buffer_names(main: Graph, arguments: list[str]) -> dict[int, str]:
    """A name of its own for every value of a scheduled main function: the user's, or its role. `arguments` are the
    names of the whole program's inputs, which gradients are gradients of."""
    base: dict[int, str] = dict(zip(main.inputs, input_names(main), strict=True))
    for v, a in zip(main.outputs, main.output_attrs, strict=True):
        if a.get("role") in _NAMED:
            base.setdefault(v, f"{_NAMED[a['role']]}_{arguments[a['of']]}")
        else:
            base.setdefault(v, main.names.get(v) or a.get("name") or a.get("role", "value"))
    used: dict[str, int] = {}
    out = {}
    for v in dict.fromkeys((*main.inputs, *main.outputs, *range(len(main.types)))):
        name = base.get(v) or main.names.get(v) or f"v{v}"
        n = used[name] = used.get(name, 0) + 1
        out[v] = name if n == 1 else f"{name}_{n}"
    return out


def launches(main: Graph) -> list[Node]:
    return [n for n in main.nodes if n.op.name == "tile.launch"]


def kernels_of(module: Module, phase: str, target: Target, arguments: list[str]) -> list[Kernel]:
    """One entry per launch, in order. In a joint program a launch is "forward" if only the value needs it, "backward"
    if the value does not need it."""
    main = module.main
    names = buffer_names(main, arguments)
    value = _needed(main, [o for o, a in zip(main.outputs, main.output_attrs, strict=True) if a.get("role") != "grad"])
    grads = _needed(main, [o for o, a in zip(main.outputs, main.output_attrs, strict=True) if a.get("role") == "grad"])
    out = []
    for node in launches(main):
        which = phase
        if phase == "joint":
            forward, backward = not value.isdisjoint(node.results), not grads.isdisjoint(node.results)
            which = "joint" if forward and backward else "forward" if forward else "backward"
        graph = module.graphs[node.attrs["kernel"]]
        buffers = [(names[v], str(main.types[v])) for v in (*node.operands, *node.results)]
        out.append(Kernel(graph, buffers, which, target))
    return out


def _needed(main: Graph, outputs: Iterable[int]) -> set[int]:
    live = set(outputs)
    for node in reversed(main.nodes):
        if not live.isdisjoint(node.results):
            live.update(node.operands)
    return live


class Residual:
    """A value that forward hands to backward: an entry of the ledger."""

    __slots__ = ("bytes", "is_input", "name", "reason")

    def __init__(self, remark: Remark) -> None:
        self.name, self.reason = remark.subject, remark.reason
        self.bytes, self.is_input = int(remark.numbers["bytes"]), bool(remark.numbers["is_input"])

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "bytes": self.bytes, "is_input": self.is_input, "reason": self.reason}


class Memory:
    """The arena of every buffer that is neither argument nor result, and what forward saves for backward."""

    def __init__(self, modules: list[Module], remarks: list[Remark]) -> None:
        mains = [m.main for m in modules]
        self.arena_bytes = max((int(g.attrs.get("arena_bytes", 0)) for g in mains), default=0)
        self.lower_bound_bytes = max((int(g.attrs.get("lower_bound_bytes", 0)) for g in mains), default=0)
        self.slots: list[Slot] = [s for g in mains for s in slots(g)]
        self.saved = [Residual(r) for r in remarks if r.kind == "saved"]

    def to_json(self) -> dict[str, Any]:
        return {
            "arena_bytes": self.arena_bytes,
            "lower_bound_bytes": self.lower_bound_bytes,
            "slots": [s.to_json() for s in self.slots],
            "saved": [r.to_json() for r in self.saved],
        }
