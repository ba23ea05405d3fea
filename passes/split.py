"""Cuts a joint program into a forward and a backward one, as autograd needs them.

The cut is where the adjoint rules read: every forward value that a rule named (its `self`, `result`, ...) is a
residual, an output of the forward program and an input of the backward one. Program inputs that rules named are handed
over as they are. Each residual is remarked with its bytes and the op whose rule wants it.
"""

from __future__ import annotations

from collections.abc import Iterable

from gradc.ir.build import GraphBuilder
from gradc.ir.errors import GradValueError
from gradc.ir.graph import Graph, Module, Node
from gradc.ir.types import TensorType

from .remarks import Remark


def split(module: Module, remarks: list[Remark]) -> tuple[Module, Module]:
    """joint -> (forward, backward), both at state joint. The joint program must take its cotangents as inputs."""
    joint = module.main
    if module.attrs.get("cotangents") != "inputs":
        raise GradValueError("split: the joint program must take its cotangents as inputs")
    n = joint.attrs["forward_nodes"]
    forward_values = {v for node in joint.nodes[:n] for v in node.results}
    live = _live_backward(joint, n)
    wanted: dict[int, Node] = {}
    for node in joint.nodes[n:]:
        if node.results and node.results[0] in live:
            for o in node.operands:
                wanted.setdefault(o, node)
    for o, a in zip(joint.outputs, joint.output_attrs, strict=True):
        if a["role"] == "grad" and o in forward_values:
            wanted.setdefault(o, joint.nodes[n - 1])
    arguments = [v for v, a in zip(joint.inputs, joint.input_attrs, strict=True) if a.get("role") != "cotangent"]
    constants = {v for node in joint.nodes[:n] for v in node.results if node.op.name == "grad.constant"}
    residuals = [v for v in wanted if v in forward_values and v not in constants]
    handed = [v for v in arguments if v in wanted]
    forward = Graph(joint.name + "_forward")
    env = _inputs(forward, joint, arguments)
    _copy(forward, joint, joint.nodes[:n], env)
    for o, a in zip(joint.outputs, joint.output_attrs, strict=True):
        if a["role"] != "grad":
            forward.add_output(env[o], **a)
    for v in residuals:
        forward.add_output(env[v], role="residual", name=_name(joint, v))
    backward = Graph(joint.name + "_backward")
    cotangents = [v for v, a in zip(joint.inputs, joint.input_attrs, strict=True) if a.get("role") == "cotangent"]
    env = _inputs(backward, joint, cotangents)
    for v in (*handed, *residuals):
        env[v] = backward.add_input(joint.types[v], _name(joint, v), role="residual")
    _copy(backward, joint, [x for x in joint.nodes[:n] if x.results and x.results[0] in constants], env)
    _copy(backward, joint, [x for x in joint.nodes[n:] if x.results and x.results[0] in live], env)
    for o, a in zip(joint.outputs, joint.output_attrs, strict=True):
        if a["role"] == "grad":
            backward.add_output(env[o], **a)
    for v in (*handed, *residuals):
        t = joint.types[v]
        assert isinstance(t, TensorType)
        user = wanted[v]
        numbers = {"bytes": t.nbytes, "is_input": v in handed}
        remarks.append(
            Remark("saved", _name(joint, v), f"read by the adjoint of the op at {user.loc}", user.loc, numbers)
        )
    backward.attrs["handed"] = tuple(joint.inputs.index(v) for v in handed)
    return _module(module, forward), _module(module, backward)


def _live_backward(joint: Graph, n: int) -> set[int]:
    live = set(joint.outputs)
    for node in reversed(joint.nodes[n:]):
        if any(r in live for r in node.results):
            live.update(node.results)
            live.update(node.operands)
    return live


def _name(graph: Graph, v: int) -> str:
    return graph.names.get(v, f"v{v}")


def _inputs(graph: Graph, joint: Graph, values: Iterable[int]) -> dict[int, int]:
    attrs = dict(zip(joint.inputs, joint.input_attrs, strict=True))
    env = {}
    for v in values:
        env[v] = graph.add_input(joint.types[v], **attrs[v])
        if v in joint.names:
            graph.names[env[v]] = joint.names[v]
    return env


def _copy(graph: Graph, joint: Graph, nodes: Iterable[Node], env: dict[int, int]) -> None:
    b = GraphBuilder(graph)
    for node in nodes:
        b.loc = node.loc
        ids = b.emit(node.op, tuple(env[o] for o in node.operands), node.attrs, [joint.types[r] for r in node.results])
        env.update(zip(node.results, ids, strict=True))
        for r in node.results:
            if r in joint.names:
                graph.names[env[r]] = joint.names[r]


def _module(module: Module, graph: Graph) -> Module:
    return Module("joint", {graph.name: graph}, graph.name, module.attrs)
