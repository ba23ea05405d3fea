"""The states of a program that the page shows: the module after every pass, and which node went on as which."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradc.ir.errors import GradValueError
from gradc.ir.graph import Graph, Module, Node
from gradc.passes.fuse import Fuser
from gradc.passes.pipeline import PIPELINE, Pass, run_pipeline
from gradc.passes.prepare import prepare
from gradc.passes.remarks import Remark
from gradc.passes.schedule import schedule
from gradc.passes.split import split as cut

from .identity import number

KERNEL_STATES = ("scheduled", "planned")


@dataclass
class Part:
    """One graph of a step: the whole program, or one half of a split one. `kernel_of` gives, by node position, the
    kernel that computes the node; `repeated` are nodes that several kernels compute for themselves."""

    graph: Graph
    phase: str = "joint"
    kernel_of: dict[int, str] = field(default_factory=dict)
    repeated: frozenset[int] = frozenset()


@dataclass
class Step:
    """A module after one pass (`name` is the pass, or the state a file is at)."""

    name: str
    state: str
    parts: list[Part]
    seconds: float | None = None
    uids: list[list[int]] = field(default_factory=list)
    """Per part and node position: equal numbers in two steps are the same node."""


@dataclass
class History:
    """All steps, the final modules, and what the passes said."""

    steps: list[Step]
    modules: list[Module]
    phases: list[str]
    remarks: list[Remark]


def history(module: Module, split: bool = False) -> History:
    """Run every pass that a module still has before it, and keep what each leaves."""
    steps = [Step(module.state, module.state, [part(module, "joint")])]
    remarks: list[Remark] = []
    rows = remaining(module.state)
    head = [r for r in rows if r.name in ("inline", "adjoint")]
    modules, phases = [_run(module, head, "joint", steps, remarks)], ["joint"]
    if split and modules[0].state == "joint":
        modules, phases = list(cut(modules[0], remarks)), ["forward", "backward"]
    lanes: list[list[Step]] = []
    for i, (m, phase) in enumerate(zip(modules, phases, strict=True)):
        lanes.append([])
        modules[i] = _run(m, rows[len(head) :], phase, lanes[i], remarks)
    for together in zip(*lanes, strict=True):
        first = together[0]
        parts = [p for s in together for p in s.parts]
        steps.append(Step(first.name, first.state, parts, sum(s.seconds or 0.0 for s in together)))
    for step, uids in zip(steps, number([[p.graph for p in s.parts] for s in steps]), strict=True):
        step.uids = uids
    return History(steps, modules, phases, remarks)


def remaining(state: str) -> list[Pass]:
    """The passes from a state to the end, each once."""
    out, at = [], state
    for row in PIPELINE:
        if at in row.needs:
            out.append(row)
            at = row.leaves or at
    if not out and state not in KERNEL_STATES:
        raise GradValueError(f"no pass starts from a module at {state!r}", hint="view takes what `gradc build` writes")
    return out


def _run(module: Module, rows: list[Pass], phase: str, steps: list[Step], remarks: list[Remark]) -> Module:
    def after(row: Pass, before: Module, now: Module) -> None:
        if now.state == "scheduled":
            shown = members(before, phase)
        elif now.state == "planned" and steps and steps[-1].state == "scheduled":
            shown = steps[-1].parts[0]
        else:
            shown = part(now, phase)
        steps.append(Step(row.name, now.state, [shown]))

    start = len(steps)
    result = run_pipeline(module, rows, after=after)
    remarks.extend(result.remarks)
    for step, (_, seconds) in zip(steps[start:], result.seconds, strict=True):
        step.seconds = seconds
    return result.module


def part(module: Module, phase: str) -> Part:
    """What is drawn of a module: its main graph, or the kernels' bodies where only these are left."""
    if module.state not in KERNEL_STATES:
        return Part(module.main, phase)
    names = {i: n.attrs["kernel"] for i, n in enumerate(module.main.nodes) if n.op.name == "tile.launch"}
    return Part(module.main, phase, names)


def members(simplified: Module, phase: str) -> Part:
    """The graph as fusion sees it, with the kernel of every node."""
    graph, _ = prepare(simplified.main)
    fuser = Fuser(graph)
    fuser.run()
    schedule(simplified, graph, fuser)
    kernel_of = {i: c.name for c in fuser.clusters for i in c.nodes}
    users = graph.users()
    loose = set()
    for i in range(len(graph.nodes) - 1, -1, -1):
        if i in kernel_of:
            continue
        readers = [kernel_of[u] for r in graph.nodes[i].results for u in users[r] if u in kernel_of]
        if readers:
            kernel_of[i] = readers[0]
            if len(set(readers)) > 1:
                loose.add(i)
    return Part(graph, phase, kernel_of, frozenset(loose))


def forward_nodes(graph: Graph) -> set[int]:
    """Positions of the nodes that the value needs."""
    live = {v for v, a in zip(graph.outputs, graph.output_attrs, strict=True) if a.get("role") != "grad"}
    out = set()
    for i in range(len(graph.nodes) - 1, -1, -1):
        node: Node = graph.nodes[i]
        if not live.isdisjoint(node.results):
            live.update(node.operands)
            out.add(i)
    return out
