"""The IR: graphs at three levels, the table of ops, their text and their laws."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import ops
from .build import GraphBuilder, NumpyBuilder, TypeBuilder, Var
from .errors import GradAttributeError, GradcError, ParseError, VerifyError
from .graph import Dense, Graph, Loc, Module, Node
from .op import REGISTRY, Op
from .types import (
    DTYPES,
    BufferType,
    DType,
    TensorType,
    TileType,
    Type,
    bf16,
    dtype,
    f16,
    f32,
    f64,
    i1,
    i8,
    i16,
    i32,
    i64,
    tensor,
    tile,
    u8,
    u32,
    u64,
)

if TYPE_CHECKING:
    from .laws import verify
    from .locations import strip_locations
    from .parse_module import parse, parse_graph
    from .print import print_graph, print_module

LAZY = {
    "parse": "parse_module",
    "parse_graph": "parse_module",
    "print_graph": "print",
    "print_module": "print",
    "strip_locations": "locations",
    "verify": "laws",
}
"""What is about text, and its module: programs that only run do not wait for it. No module may bear such a name, since
importing it would put the module in the function's place."""


def __getattr__(name: str) -> Any:
    if name in LAZY:
        value = globals()[name] = getattr(import_module(f"{__name__}.{LAZY[name]}"), name)
        return value
    raise GradAttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "DTYPES",
    "REGISTRY",
    "BufferType",
    "DType",
    "Dense",
    "GradcError",
    "Graph",
    "GraphBuilder",
    "Loc",
    "Module",
    "Node",
    "NumpyBuilder",
    "Op",
    "ParseError",
    "TensorType",
    "TileType",
    "Type",
    "TypeBuilder",
    "Var",
    "VerifyError",
    "bf16",
    "dtype",
    "f16",
    "f32",
    "f64",
    "i1",
    "i8",
    "i16",
    "i32",
    "i64",
    "ops",
    "parse",
    "parse_graph",
    "print_graph",
    "print_module",
    "strip_locations",
    "tensor",
    "tile",
    "u8",
    "u32",
    "u64",
    "verify",
]
