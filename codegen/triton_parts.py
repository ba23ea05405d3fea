"""Triton source of a kernel with parts: one function per part, and one that tells the programs apart.

Parts that differ in nothing but their buffers share a function. Triton inlines all of them, so a program runs the code
of its part alone, and registers are those of the part that needs most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gradc.ir.graph import Graph
from gradc.ir.tile import grid_size, groups, parts
from gradc.ir.types import BufferType

from .launch import KernelSource
from .names import Names, identifier
from .triton_body import PID, function_name
from .triton_ops import HELPERS, pointer_type

HEADER = "import triton\nimport triton.language as tl\n"


class Part(NamedTuple):
    """A printed part: the helpers it calls, its text, and how it would be launched by itself."""

    helpers: set[str]
    text: str
    num_warps: int
    num_stages: int


class Call(NamedTuple):
    """A part's function, its first program, and the pointers it is given."""

    name: str
    first: int
    pointers: Sequence[str]

    def text(self, indent: str) -> str:
        pid = f"{PID} - {self.first}" if self.first else PID
        return f"{indent}{self.name}({', '.join((pid, *self.pointers))})"


def assembled(helpers: Iterable[str], functions: Sequence[str]) -> str:
    """A whole module's text."""
    wanted = [HELPERS[h] for h in HELPERS if h in helpers]
    return "\n\n".join([HEADER, *wanted, *(f"@triton.jit\n{f}\n" for f in functions)])


def parameters(kernel: Graph, names: Names) -> dict[int, str]:
    """The names of a kernel's pointers."""
    pairs = enumerate(kernel.inputs)
    return {v: names.fresh(identifier(f"{kernel.names.get(v, f'arg{i}')}_ptr", "arg")) for i, v in pairs}


def pointers(kernel: Graph, names: Mapping[int, str]) -> tuple[dict[str, str], frozenset[str]]:
    """The types of a kernel's parameters, and those that are known to be multiples of 16."""
    signature, divisible = {}, []
    for v in kernel.inputs:
        t = kernel.types[v]
        assert isinstance(t, BufferType)
        signature[names[v]] = pointer_type(t.dtype)
        if t.align % 16 == 0:
            divisible.append(names[v])
    return signature, frozenset(divisible)


def together(kernel: Graph, print_part: Callable[[Graph, str], Part]) -> KernelSource:
    """Print a kernel with parts."""
    name = function_name(kernel)
    functions = Names({name, *HELPERS})
    names = Names({name, *HELPERS, PID})
    spelt = parameters(kernel, names)
    printed: dict[Any, tuple[str, Part]] = {}
    calls, first = [], 0
    for node in parts(kernel):
        inner = node.regions[0]
        key = _meaning(inner)
        if key not in printed:
            function = functions.fresh(f"{name}_part")
            printed[key] = function, print_part(inner, function)
        calls.append(Call(printed[key][0], first, [spelt[o] for o in node.operands]))
        first += max(grid_size(groups(inner)), 1)
    signature, divisible = pointers(kernel, spelt)
    lines = [f"def {name}({', '.join(signature)}):", f"    # {len(calls)} kernels in {first} programs"]
    lines += [f"    {PID} = tl.program_id(0)", *_choice(calls)]
    each = [part for _, part in printed.values()]
    return KernelSource(
        assembled({h for p in each for h in p.helpers}, [*(p.text for p in each), "\n".join(lines)]),
        name,
        signature,
        (first, 1, 1),
        divisible=divisible,
        num_warps=max(p.num_warps for p in each),
        num_stages=max(p.num_stages for p in each),
    )


def _choice(calls: Sequence[Call]) -> list[str]:
    """Statements that find a program's call by halving, so that few comparisons precede it."""
    out: list[str] = []
    work: list[tuple[Sequence[Call], str] | str] = [(calls, "    ")]
    while work:
        item = work.pop()
        if isinstance(item, str):
            out.append(item)
            continue
        some, indent = item
        if len(some) == 1:
            out.append(some[0].text(indent))
            continue
        half = len(some) // 2
        out.append(f"{indent}if {PID} < {some[half].first}:")
        work += [(some[half:], indent + "    "), f"{indent}else:", (some[:half], indent + "    ")]
    return out


def _meaning(kernel: Graph) -> Any:
    """What two parts share that differ in nothing but names and buffers."""
    nodes = tuple((n.op.name, n.operands, n.results, repr(sorted(n.attrs.items()))) for n in kernel.nodes)
    return nodes, tuple(map(str, kernel.types)), tuple(kernel.inputs), repr(kernel.attrs["groups"])
