"""Memory: one arena for everything that is neither argument nor result, planned before anything runs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gradc.ir.graph import Graph, Module
from gradc.ir.plan import ALIGN
from gradc.ir.rewrite import Rewriter
from gradc.ir.tile import groups, parts, phases, split_load, split_store
from gradc.ir.types import TensorType

from .arena import Interval, lower_bound, pack
from .remarks import Remark


def in_place_pairs(kernel: Graph) -> list[tuple[int, int]]:
    """(read position, written position) of buffers that may share memory: every load of the one and the only store of
    the other use the same unmasked address function, so each element is read only by the lane that overwrites it. In a
    kernel with parts no other part may read it."""
    position = {v: i for i, v in enumerate(kernel.inputs)}
    together = parts(kernel)
    if together:
        users = Counter(o for part in together for o in part.operands)
        own = [(part.operands, pair) for part in together for pair in in_place_pairs(part.regions[0])]
        return [(position[ops[r]], position[ops[w]]) for ops, (r, w) in own if users[ops[r]] == 1]
    gs = groups(kernel)
    loads: dict[int, set[Any]] = {}
    stores: dict[int, list[Any]] = {}
    for node in kernel.nodes:
        if node.op.name == "tile.load":
            buffer, mask, index = split_load(node)
            plain = mask is None and not index
            loads.setdefault(buffer, set()).add((node.attrs["coeffs"], node.attrs["offset"]) if plain else None)
        elif node.op.name == "tile.store":
            _, buffer, mask, index = split_store(node)
            plain = mask is None and not index and not any(node.attrs.get("program") or ())
            stores.setdefault(buffer, []).append((node.attrs["coeffs"], node.attrs["offset"]) if plain else None)
    out = []
    spread = [g for g in gs if g.extent != 1]
    for w, written in stores.items():
        if len(written) != 1 or written[0] is None:
            continue
        coeffs = dict(zip((g.letter for g in gs), written[0][0], strict=True))
        if not all(all(c or d == 1 for c, d in zip(coeffs[g.letter], g.dims, strict=True)) for g in spread):
            continue
        for r, read in loads.items():
            same_width = kernel.types[r].dtype.itemsize == kernel.types[w].dtype.itemsize
            if read == {written[0]} and same_width:
                out.append((position[r], position[w]))
    return out if out and len(phases(kernel)) == 1 else []


def plan_memory(module: Module, remarks: list[Remark]) -> Module:
    """scheduled -> planned: an offset per launch result that is not a result of the program. A result of the program
    lies in memory of its own, or in that of a donated input which the same launch reads last, element by element."""
    main = module.main
    last = {o: i for i, n in enumerate(main.nodes) for o in n.operands}
    results = set(main.outputs)
    given = {v for v, a in zip(main.inputs, main.input_attrs, strict=True) if a.get("donated")} - results
    owner: dict[int, int] = {}
    spans: list[list[int]] = []
    donors: dict[int, int] = {}
    pairs_of: dict[str, list[tuple[int, int]]] = {}
    for i, node in enumerate(main.nodes):
        if node.op.name != "tile.launch":
            continue
        n_in, name = len(node.operands), node.attrs["kernel"]
        if name not in pairs_of and any([(d in owner or d in given) and last[d] == i for d in node.operands]):
            pairs_of[name] = in_place_pairs(module.graphs[name])
        pairs = {w: r for r, w in reversed(pairs_of.get(name, ()))}
        taken: set[int] = set()
        for k, v in enumerate(node.results):
            if v in results:
                for source, w in pairs_of.get(name, ()) if given else ():
                    d = node.operands[source] if w == n_in + k and source < n_in else -1
                    if d in given and last[d] == i and main.types[d] == main.types[v]:
                        given.remove(d)
                        donors[v] = source
                        break
                continue
            size = _rounded(main, v)
            donor = pairs.get(n_in + k)
            if donor is not None:
                d = node.operands[donor]
                if d in owner and last[d] == i and d not in taken and spans[owner[d]][0] >= size:
                    owner[v] = owner[d]
                    spans[owner[v]][2] = max(last.get(v, i), i)
                    donors[v] = donor
                    taken.add(d)
                    continue
            owner[v] = len(spans)
            spans.append([size, i, max(last.get(v, i), i)])
    buffers = [Interval(*s) for s in spans]
    offsets, total = pack(buffers)
    r = Rewriter(main)
    for node in main.nodes:
        attrs = dict(node.attrs)
        if node.op.name == "tile.launch":
            attrs["slots"] = tuple(offsets[owner[v]] if v in owner else -1 for v in node.results)
            if any(v in donors for v in node.results):
                attrs["in_place"] = tuple(donors.get(v, -1) for v in node.results)
        r.copy(node, attrs)
    graph = r.finish()
    graph.attrs["arena_bytes"] = total
    graph.attrs["lower_bound_bytes"] = lower_bound(buffers)
    return module.with_main(graph, "planned")


def _rounded(main: Graph, v: int) -> int:
    t = main.types[v]
    assert isinstance(t, TensorType)
    return -(-max(t.nbytes, 1) // ALIGN) * ALIGN
