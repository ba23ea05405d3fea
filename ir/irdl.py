"""The op table as MLIR's IRDL, so that stock mlir-opt checks our dumps: `mlir-opt --irdl-file=`.

It says of each op its operands, results, regions and the presence and kind of its attributes. What IRDL cannot say is
left out: type rules, optional attributes, and (see `print.STRUCTURE`) terminators and variadic parts of several types.
"""

from __future__ import annotations

from collections.abc import Mapping

from .laws_node import BUFFERS
from .op import PLAN, REGISTRY, TILE, Op
from .print import GRAPH_OPS
from .types import DTYPES

_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "int": ("#builtin.integer",),
    "float": ("#builtin.float", "#builtin.integer"),
    "number": ("#builtin.float", "#builtin.integer"),
    "bool": ("#builtin.integer",),
    "str": ("#builtin.string",),
    "ints": ("#builtin.dense_array", "#builtin.array"),
    "dense": ("#builtin.dense_int_or_fp_elements",),
    "dtype": tuple(d.name for d in DTYPES),
    "any": (),
}
"""For each attribute kind of a record the MLIR attributes or types that spell it; none means any."""

_TYPES = """\
  irdl.type @v {
    %0 = irdl.base "#builtin.string"
    %1 = irdl.any
    irdl.parameters(space: %0, dtype: %1)
  }
  irdl.type @buffer {
    %0 = irdl.base "#builtin.integer"
    %1 = irdl.any
    %2 = irdl.base "#builtin.integer"
    irdl.parameters(numel: %0, dtype: %1, align: %2)
  }
"""


def irdl(registry: Mapping[str, Op] = REGISTRY) -> str:
    """The dialects of a table of ops, in order of name."""
    dialects: dict[str, list[str]] = {}
    for kind in sorted(GRAPH_OPS.values()):
        dialect, _, short = kind.partition(".")
        text = f"  irdl.operation @{short} {{\n    %0 = irdl.region\n    irdl.regions(body: %0)\n  }}\n"
        dialects.setdefault(dialect, []).append(text)
    for name in sorted(registry):
        dialects.setdefault(name.split(".")[0], []).append(_operation(registry[name]))
    out = []
    for dialect in sorted(dialects):
        types = _TYPES if dialect == "tile" else ""
        out.append(f"irdl.dialect @{dialect} {{\n{types}{''.join(dialects[dialect])}}}\n")
    return "".join(out)


def _operation(op: Op) -> str:
    lines: list[str] = []

    def constraint(text: str) -> str:
        lines.append(f"    %{len(lines)} = {text}\n")
        return f"%{len(lines) - 1}"

    def values(names: tuple[str, ...]) -> str:
        parts = []
        for n in names:
            many = "variadic " if n.endswith("*") else ""
            parts.append(f"{n.rstrip('*')}: {many}{constraint(_value(op, n.rstrip('*')))}")
        return ", ".join(parts)

    tail = []
    if op.operands:
        tail.append(f"    irdl.operands({values(op.operands)})\n")
    if op.results:
        tail.append(f"    irdl.results({values(op.results)})\n")
    attrs = []
    for name, kind in sorted(op.attrs.items()):
        if kind.endswith("?"):
            continue
        known = [constraint(_attribute(a)) for a in _ATTRIBUTES[kind]]
        one = known[0] if len(known) == 1 else constraint(f"irdl.any_of({', '.join(known)})" if known else "irdl.any")
        attrs.append(f'"{name}" = {one}')
    if attrs:
        tail.append(f"    irdl.attributes {{{', '.join(attrs)}}}\n")
    if "region" in op.traits or (op.results and op.results[-1].endswith("*") and op.kind != PLAN):
        tail.append(f"    irdl.regions(body: {constraint('irdl.region')})\n")
    return f"  irdl.operation @{op.short} {{\n{''.join(lines)}{''.join(tail)}  }}\n"


def _value(op: Op, operand: str) -> str:
    if op.kind != TILE:
        return 'irdl.base "!builtin.tensor"'
    return f"irdl.base @tile::@{'buffer' if operand in BUFFERS else 'v'}"


def _attribute(name: str) -> str:
    return f'irdl.base "{name}"' if name[0] == "#" else f"irdl.is {name}"
