"""Moving one cluster into another: a producer that only feeds later kernels may run inside one of them."""

from __future__ import annotations

from .cluster import BUFFER_LIMIT, OP_LIMIT, Cluster, Label, Labels


def renaming(a: Cluster, c: Cluster, theirs: list[Label | None], mine: Labels) -> dict[int, int] | None:
    """Axes of `a` -> axes of `c`, from the labels that a value of `a` has at a place where `c` reads it."""
    out: dict[int, int] = {}
    for here, there in zip(mine, theirs, strict=True):
        if not there:
            continue
        if len(there) != len(here) or any(a.axes[x] != c.axes[y] for x, y in zip(there, here, strict=True)):
            return None
        for x, y in zip(there, here, strict=True):
            if out.setdefault(x, y) != y:
                return None
    if len(set(out.values())) != len(out):
        return None
    return out


def complete(a: Cluster, c: Cluster, rename: dict[int, int]) -> dict[int, int] | None:
    """Line up the axes of `a` that the value did not show: with equal extents of the same role, else as new axes."""
    taken = set(rename.values())
    out = dict(rename)
    for x, n in a.axes.items():
        if x in out:
            continue
        role = x in a.inner
        for y, m in c.axes.items():
            same_role = (y in c.inner) == role or c.kind == "MAP"
            if m == n and y not in taken and same_role:
                out[x] = y
                taken.add(y)
                break
        else:
            return None
    return out


def may_merge(a: Cluster, c: Cluster, rename: dict[int, int]) -> bool:
    """Whether `c`, with the nodes of `a` added under this renaming, still is one kernel of a known kind."""
    if a.empty != c.empty:
        return False
    if a.cost + c.cost > OP_LIMIT or len(a.reads) + len(c.reads) > BUFFER_LIMIT:
        return False
    if a.final or a.source is not None or a.kind in ("COL", "CONTRACT"):
        return False
    if a.kind == "MAP" and not a.overs:
        return True
    if c.kind == "CONTRACT" or c.source is not None:
        return False
    if a.one_program:
        return c.tiny and not c.final and c.kind == "MAP"
    inner = {rename[x] for x in a.inner}
    if c.kind == "ROW":
        return inner == c.inner
    return c.kind == "MAP" and not c.one_program and not c.final


def absorb(a: Cluster, c: Cluster, rename: dict[int, int]) -> None:
    """Put the nodes of `a` into `c`."""

    def moved(labels: Labels) -> Labels:
        return tuple(tuple(rename[x] for x in lab) for lab in labels)

    c.labels.update({v: moved(ls) for v, ls in a.labels.items()})
    c.domains.update({v: moved(ls) for v, ls in a.domains.items()})
    c.overs.extend(frozenset(rename[x] for x in t) for t in a.overs)
    for root, table in a.reads.items():
        mine = c.reads.setdefault(root, {})
        for key, axis in table.items():
            mine.setdefault(key, rename[axis])
    for v in a.labels:
        c.reads.pop(v, None)
    if a.one_program:
        c.one_program = True
    if a.kind == "ROW" and c.kind == "MAP":
        c.kind, c.inner = "ROW", {rename[x] for x in a.inner}
    c.nodes = sorted(a.nodes + c.nodes)
    c.cost += a.cost
    for operands, lines in a.lines.items():
        c.lines[operands] = c.lines.get(operands, frozenset()) | lines
    a.nodes = []
