"""What is drawn of a step: its nodes, inputs and outputs, and as ghosts the nodes that the pass removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gradc.ir.graph import Graph, Node
from gradc.ir.naming import value_names
from gradc.ir.op import SOURCE
from gradc.ir.types import TensorType, Type

from .arrange import BACKWARD, FORWARD
from .steps import Part, Step, forward_nodes

LONGEST = 30
"""Letters of a label's first line."""


@dataclass
class Vertex:
    """A thing in a drawing. `key` is the same in all steps for the same thing."""

    key: str
    label: str
    side: int
    kind: str
    type: str = ""
    name: str = ""
    args: list[str] = field(default_factory=list)
    kernel: str = ""
    status: str = "kept"
    node: tuple[int, int] | None = None
    """Part and position of the node."""
    reads: list[int] = field(default_factory=list)
    source: bool = False
    repeated: bool = False
    bytes: int = 0

    def first(self, far: list[str]) -> str:
        """The label's first line: the op, and the operands that no line leads to."""
        text = " ".join([self.label, ", ".join([*self.args, *far])]).strip()
        return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"

    def second(self) -> str:
        return " ".join(t for t in (self.name, self.type) if t)


def short_type(t: Type) -> str:
    """ "f32[8,4]" """
    if not isinstance(t, TensorType):
        return str(t)
    return f"{t.dtype.name}[{','.join(str(d) for d in t.shape)}]"


def size_of(t: Type) -> int:
    return int(t.nbytes) if isinstance(t, TensorType) else 0


def vertices_of(step: Step, before: Step | None) -> list[Vertex]:
    """Nodes, inputs and outputs of a step, and as ghosts the nodes that the pass removed."""
    out: list[Vertex] = []
    old = {u for part in before.uids for u in part} if before is not None else None
    now = {u for part in step.uids for u in part}
    place: dict[int, int] = {}
    for p, (part, uids) in enumerate(zip(step.parts, step.uids, strict=True)):
        made = _values(out, part, p)
        _nodes(out, part, p, uids, made, place, old)
        _outputs(out, part, p, made)
    if before is None:
        return out
    for part, uids in zip(before.parts, before.uids, strict=True):
        made = {}
        folded = _folded(part.graph)
        names = value_names(part.graph)[id(part.graph)]
        forward = forward_nodes(part.graph)
        for i, (node, uid) in enumerate(zip(part.graph.nodes, uids, strict=True)):
            if uid in now:
                for r in node.results:
                    made[r] = place.get(uid, -1)
            elif i not in folded:
                v = _vertex(part, node, i, uid, forward, names)
                v.status, v.node, v.kernel = "removed", None, ""
                v.reads = [made[o] for o in node.operands if made.get(o, -1) >= 0]
                for r in node.results:
                    made[r] = len(out)
                out.append(v)
    return out


def _values(out: list[Vertex], part: Part, p: int) -> dict[int, int]:
    """The inputs as vertices; which vertex makes which value."""
    graph, made = part.graph, dict[int, int]()
    read = {o for n in graph.nodes for o in n.operands}
    for k, (v, attrs) in enumerate(zip(graph.inputs, graph.input_attrs, strict=True)):
        name = str(attrs.get("name", f"input{k}"))
        if v not in read and v not in graph.outputs:
            continue
        kind = "parameter" if attrs.get("requires_grad") else "input"
        made[v] = len(out)
        out.append(Vertex(f"i{p}.{k}", name, FORWARD, kind, short_type(graph.types[v]), source=True,
                          bytes=size_of(graph.types[v])))  # fmt: skip
    return made


def _folded(graph: Graph) -> set[int]:
    """Positions of constants that are written where they are read."""
    outputs = set(graph.outputs)
    return {
        i
        for i, n in enumerate(graph.nodes)
        if n.op.kind == SOURCE and "value" in n.attrs and outputs.isdisjoint(n.results)
    }


def _nodes(
    out: list[Vertex], part: Part, p: int, uids: list[int], made: dict[int, int], place: dict[int, int],
    old: set[int] | None,
) -> None:  # fmt: skip
    graph, folded = part.graph, _folded(part.graph)
    forward = forward_nodes(graph)
    written: dict[int, str] = {}
    names = value_names(graph)[id(graph)]
    for i, (node, uid) in enumerate(zip(graph.nodes, uids, strict=True)):
        if i in folded:
            written[node.results[0]] = number(node.attrs["value"])
            continue
        v = _vertex(part, node, i, uid, forward, names)
        v.node = (p, i)
        v.status = "kept" if old is None or uid in old else "added"
        v.args = [written[o] for o in node.operands if o in written]
        v.reads = [made[o] for o in dict.fromkeys(node.operands) if o in made]
        place[uid] = len(out)
        for r in node.results:
            made[r] = len(out)
        out.append(v)


def _vertex(part: Part, node: Node, i: int, uid: int, forward: set[int], names: dict[int, str]) -> Vertex:
    graph = part.graph
    side = BACKWARD if part.phase == "backward" or (part.phase == "joint" and i not in forward) else FORWARD
    label = str(node.attrs.get("kernel") or node.op.short)
    name = ", ".join(names[r] for r in node.results)
    type_ = short_type(graph.types[node.results[0]]) if len(node.results) == 1 else ""
    return Vertex(
        f"n{uid}", label, side, node.op.kind, type_, name, kernel=part.kernel_of.get(i, ""),
        repeated=i in part.repeated, bytes=sum(size_of(graph.types[r]) for r in node.results),
    )  # fmt: skip


def _outputs(out: list[Vertex], part: Part, p: int, made: dict[int, int]) -> None:
    graph = part.graph
    inputs = [str(a.get("name", f"input{k}")) for k, a in enumerate(graph.input_attrs)]
    for k, (v, attrs) in enumerate(zip(graph.outputs, graph.output_attrs, strict=True)):
        role, of = str(attrs.get("role", "value")), attrs.get("of")
        label = f"∂{inputs[of]}" if role == "grad" and isinstance(of, int) and of < len(inputs) else role
        side = BACKWARD if role == "grad" else FORWARD
        vertex = Vertex(f"o{p}.{role}.{k}", label, side, "gradient" if role == "grad" else "output",
                        short_type(graph.types[v]), bytes=size_of(graph.types[v]))  # fmt: skip
        vertex.reads = [made[v]] if v in made else []
        out.append(vertex)


def number(value: Any) -> str:
    """A constant as people read it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
