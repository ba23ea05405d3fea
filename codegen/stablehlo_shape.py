"""How the structural primitives are written in StableHLO: sources, views, products and run-time indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from gradc.ir.dense import format_dense
from gradc.ir.types import TensorType, tensor

from .stablehlo_ops import constant

if TYPE_CHECKING:
    from .stablehlo import Writer

Operands: TypeAlias = list[tuple[str, TensorType]]
Build: TypeAlias = "Callable[[Writer, Operands, TensorType, dict[str, Any]], str]"


def _unary(op: str, w: Writer, operands: Operands, result: TensorType, more: str = "") -> str:
    ((name, t),) = operands
    return w.emit(f"stablehlo.{op} {name}{more} : ({t}) -> {result}")


def _full(w: Writer, operands: Operands, result: TensorType, attrs: dict[str, Any]) -> str:
    text = constant(attrs["value"], result.dtype)
    if not result.ndim:
        return w.emit(text)
    scalar = tensor((), result.dtype)
    return w.emit(f"stablehlo.broadcast_in_dim {w.helper(text)}, dims = [] : ({scalar}) -> {result}")


def _broadcast(w: Writer, operands: Operands, result: TensorType, attrs: dict[str, Any]) -> str:
    ((name, t),) = operands
    dims = list(range(result.ndim - t.ndim, result.ndim))
    return w.emit(f"stablehlo.broadcast_in_dim {name}, dims = {dims} : ({t}) -> {result}")


def _slice(w: Writer, operands: Operands, result: TensorType, attrs: dict[str, Any]) -> str:
    # A slice that starts past its limit is empty here and refused there.
    parts = [
        f"{min(s, e)}:{e}:{k}" for s, e, k in zip(attrs["start"], attrs["limit"], attrs["step"], strict=True)
    ]
    return _unary("slice", w, operands, result, f" [{', '.join(parts)}]")


def _unslice(w: Writer, operands: Operands, result: TensorType, attrs: dict[str, Any]) -> str:
    ((name, t),) = operands
    zero = w.helper(constant(0, t.dtype))
    low = [min(s, n) if m else 0 for s, n, m in zip(attrs["start"], result.shape, t.shape, strict=True)]
    inner = [k - 1 for k in attrs["step"]]
    high = [
        n - lo - (m + (m - 1) * i if m else 0)
        for n, lo, m, i in zip(result.shape, low, t.shape, inner, strict=True)
    ]
    return w.emit(
        f"stablehlo.pad {name}, {zero}, low = {low}, high = {high}, interior = {inner} : "
        f"({t}, {tensor((), t.dtype)}) -> {result}"
    )


def _contract(w: Writer, operands: Operands, result: TensorType, attrs: dict[str, Any]) -> str:
    (x, tx), (y, ty) = operands
    batch = f", batching_dims = {list(attrs['lhs_batch'])} x {list(attrs['rhs_batch'])}" if attrs["lhs_batch"] else ""
    inner = f", contracting_dims = {list(attrs['lhs_contract'])} x {list(attrs['rhs_contract'])}"
    return w.emit(f"stablehlo.dot_general {x}, {y}{batch}{inner} : ({tx}, {ty}) -> {result}")


def _flip(w: Writer, operands: Operands, result: TensorType, attrs: dict[str, Any]) -> str:
    ((name, t),) = operands
    dims = sorted(d % t.ndim for d in attrs["dims"]) if t.ndim else []
    return w.emit(f"stablehlo.reverse {name}, dims = {dims} : {result}")


def _gathered(
    w: Writer, x: tuple[str, TensorType], places: tuple[str, TensorType], result: TensorType, numbers: str,
    sizes: list[int],
) -> str:  # fmt: skip
    (name, t), (at, index) = x, places
    attrs = (
        f"dimension_numbers = #stablehlo.gather<{numbers}>, indices_are_sorted = false, "
        f"slice_sizes = array<i64: {', '.join(map(str, sizes))}>"
    )
    return w.emit(f'"stablehlo.gather"({name}, {at}) <{{{attrs}}}> : ({t}, {index}) -> {result}')


def _take(w: Writer, operands: Operands, result: TensorType, attrs: dict[str, Any]) -> str:
    x, (at, index) = operands
    dim, rank = attrs["dim"], index.ndim
    kept = [d if d < dim else d + rank for d in range(x[1].ndim - 1)]
    sizes = [1 if i == dim else n for i, n in enumerate(x[1].shape)]
    numbers = (
        f"offset_dims = {kept}, collapsed_slice_dims = [{dim}], start_index_map = [{dim}], index_vector_dim = {rank}"
    )
    return _gathered(w, x, (at, index), result, numbers, sizes)


def _gather(w: Writer, operands: Operands, result: TensorType, attrs: dict[str, Any]) -> str:
    """Every element by its full place: the index along `dim`, its own position along the others."""
    x, (at, index) = operands
    if not x[1].ndim or not index.ndim:
        return w.emit(f"stablehlo.reshape {x[0]} : ({x[1]}) -> {result}")
    one = tensor((*index.shape, 1), index.dtype)
    columns = [
        w.helper(f"stablehlo.reshape {at} : ({index}) -> {one}")
        if d == attrs["dim"]
        else w.helper(f"stablehlo.iota dim = {d} : {one}")
        for d in range(index.ndim)
    ]
    rank = index.ndim
    places = tensor((*index.shape, rank), index.dtype)
    joined = columns[0]
    if rank > 1:
        types = ", ".join([str(one)] * rank)
        joined = w.helper(f"stablehlo.concatenate {', '.join(columns)}, dim = {rank} : ({types}) -> {places}")
    dims = list(range(rank))
    numbers = f"collapsed_slice_dims = {dims}, start_index_map = {dims}, index_vector_dim = {rank}"
    return _gathered(w, x, (joined, places), result, numbers, [1] * rank)


STRUCTURE: dict[str, Build] = {
    "constant": _full,
    "full": _full,
    "dense": lambda w, operands, result, attrs: w.emit(f"stablehlo.constant {format_dense(attrs['value'])}"),
    "iota": lambda w, operands, result, attrs: w.emit(f"stablehlo.iota dim = {attrs['dim']} : {result}"),
    "broadcast": _broadcast,
    "reshape": lambda w, operands, result, attrs: _unary("reshape", w, operands, result),
    "permute": lambda w, operands, result, attrs: _unary(
        "transpose", w, operands, result, f", dims = {list(attrs['dims'])}"
    ),
    "slice": _slice,
    "unslice": _unslice,
    "flip": _flip,
    "contract": _contract,
    "take": _take,
    "gather": _gather,
}
