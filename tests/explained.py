"""Programs that the tests of explanations share, and the check that an explanation is total."""

from __future__ import annotations

from collections import Counter
from typing import Any

import gradc as gc
import gradc.nn.functional as F
from gradc.ir.graph import Module
from gradc.passes.edges import MEANING
from gradc.passes.fuse import REASONS
from gradc.passes.pipeline import run_pipeline
from gradc.passes.placement import Placement, place
from gradc.passes.views import STRIDED

SIMPLIFY = "decompose,simplify,cse,dce"


def mlp(w1, w2, x, y):
    return F.cross_entropy(gc.relu(x @ w1) @ w2, y)


def norm(x, w, b):
    return (F.layer_norm(x, (x.shape[-1],), w, b) * 0.5).sum()


def attention(q, k, v):
    return (F.softmax(q @ k.T, 1) @ v).pow(2).mean()


def huber(x, y):
    return F.huber_loss(gc.tanh(x), y) + (x.max(1).values * y.sum(1)).mean()


def columns(x):
    c = x - x.mean(0)
    return (c * c).mean(0).sqrt().sum() + c.abs().max()


def turned(x):
    return (x.T.reshape(-1).cumsum(0) * x.reshape(-1)).sum()


def gathered(table, index, w):
    return (F.embedding(index, table).exp() * w).sum()


def long_chain(x):
    for _ in range(130):
        x = gc.sin(x) * 1.01
    return x.sum()


def siblings(x, y):
    return (x * y).sum() + (x + y).exp().sum(0).mean() + x.sum(1).tanh().sum()


def half(x, w):
    return ((x @ w).float().log_softmax(1) * x.float().mean()).sum()


def same_twice(x):
    return (x.exp() @ x.exp()).sin()


def grad(spec: str) -> Any:
    return gc.spec(spec, requires_grad=True)


PROGRAMS: dict[str, tuple[Any, list[Any]]] = {
    "mlp": (mlp, [grad("f32[20,33]"), grad("f32[33,10]"), gc.spec("f32[64,20]"), gc.spec("i64[64]")]),
    "norm": (norm, [grad("f32[300,70]"), grad("f32[70]"), grad("f32[70]")]),
    "norm of long rows": (norm, [grad("f32[8,40000]"), grad("f32[40000]"), grad("f32[40000]")]),
    "attention": (attention, [grad("f32[40,16]"), grad("f32[50,16]"), grad("f32[50,24]")]),
    "huber": (huber, [grad("f32[70,30]"), gc.spec("f32[70,30]")]),
    "columns": (columns, [grad("f32[9000,12]")]),
    "turned": (turned, [grad("f32[31,17]")]),
    "gathered": (gathered, [grad("f32[90,8]"), gc.spec("i64[40]"), gc.spec("f32[40,8]")]),
    "long chain": (long_chain, [grad("f32[5000]")]),
    "siblings": (siblings, [grad("f32[600,40]"), grad("f32[600,40]")]),
    "half": (half, [grad("bf16[30,16]"), grad("bf16[16,8]")]),
    "same twice": (same_twice, [grad("f16[64]")]),
}


def built(name: str, split: bool = False) -> gc.Program:
    fn, specs = PROGRAMS[name]
    return gc.build(fn, *specs, split=split, name="f")


def check_total(simplified: Module) -> Counter[str]:
    """Every edge of a simplified module is fused or has one remark; remarks and launches tell the same story. Returns
    how often each reason was given."""
    graph = simplified.main
    placement = place(simplified)
    result = run_pipeline(simplified, "fuse")
    remarks = [r for r in result.remarks if r.kind == "not-fused"]
    assert [e.remark for e in placement.edges if e.remark is not None] == remarks
    known = Counter((e.source, e.target) for e in placement.edges if e.source != e.target and e.target >= 0)
    assert max(known.values(), default=1) == 1
    producer = graph.producers()
    for i, node in enumerate(graph.nodes):
        for o in node.operands:
            p = producer[o]
            while p >= 0 and graph.nodes[p].op.name in STRIDED and (p, i) not in known:
                p = producer[graph.nodes[p].operands[0]]
            outside = p < 0 or graph.nodes[p].op.name == "grad.dense"
            assert outside or (p, i) in known or node.op.name in STRIDED, (graph.nodes[p], node)
    for r in remarks:
        assert r.reason in REASONS
        assert r.reason in MEANING
        assert r.numbers["bytes"] >= 0
        assert len(set(r.numbers)) >= 3
    told = {(r.numbers["from"], to) for r in remarks for to in r.numbers["to"].split(", ")}
    whole, partial = read_launches(result.module, placement)
    assert whole <= told <= whole | partial
    return Counter(r.reason for r in remarks)


def read_launches(scheduled: Module, placement: Placement) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Pairs of kernels of which the second reads what the first has written, from the launches alone; then those where
    it may be partials."""
    main = scheduled.main
    made = {r: n.attrs["kernel"] for n in main.nodes if n.op.name == "tile.launch" for r in n.results}
    launches = {launch.kernel: launch for launch in placement.launches}
    graph = placement.graph
    types: Any = main.types
    whole, maybe = set(), set()
    for n in main.nodes:
        if n.op.name != "tile.launch":
            continue
        reader = launches[n.attrs["kernel"]]
        for o in n.operands:
            if o not in made:
                continue
            partial = set(reader.finishes) & set(launches[made[o]].nodes)
            shapes = [graph.types[graph.nodes[i].results[0]].shape for i in partial]
            is_partial = any(types[o].shape[len(types[o].shape) - len(s) :] == s for s in shapes)
            (maybe if is_partial else whole).add((made[o], reader.kernel))
    return whole, maybe
