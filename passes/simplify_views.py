"""Rules of `simplify` for views, for values that are one scalar spread out, and for sums over them."""

from __future__ import annotations

from gradc.ir.build import Var
from gradc.ir.dim import product
from gradc.ir.graph import Node
from gradc.ir.types import TensorType

from .simplify_context import Context


def same_shape(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> int | None:
    """A view that changes nothing."""
    return operands[0] if c.type(operands[0]) == out else None


def through_view(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | int | None:
    """reshape(reshape(x)), broadcast(broadcast(x)): the outer one suffices; so it does after a reshape of a scalar."""
    inner = c.defined_by(operands[0], node.op.name)
    if inner is None:
        inner = c.defined_by(operands[0], "grad.reshape")
        if inner is None or c.type(inner.operands[0]).shape:
            return None
    if c.type(inner.operands[0]) == out:
        return inner.operands[0]
    return c.b.apply(node.op, (Var(c.b, inner.operands[0]),), dict(node.attrs))  # type: ignore[no-any-return]


def uniform(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | None:
    """Any view of a scalar spread out is the scalar spread out to the view's shape."""
    inner = c.defined_by(operands[0], "grad.broadcast")
    if inner is None or c.type(inner.operands[0]).numel != 1:
        return None
    scalar = Var(c.b, inner.operands[0])
    if scalar.shape:
        scalar = c.b.reshape(scalar, shape=())
    return c.b.broadcast(scalar, shape=out.shape) if out.shape else scalar


def permutes(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | int | None:
    """The identity permutation, and two permutations in one."""
    dims = node.attrs["dims"]
    if dims == tuple(range(len(dims))):
        return operands[0]
    inner = c.defined_by(operands[0], "grad.permute")
    if inner is None:
        return None
    first = inner.attrs["dims"]
    both = tuple(first[d] for d in dims)
    x = Var(c.b, inner.operands[0])
    merged: Var = x if both == tuple(range(len(both))) else c.b.permute(x, dims=both)
    return merged


def full(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var:
    """One value everywhere is a scalar spread out, which elementwise ops read as the scalar."""
    scalar = c.b.scalar(node.attrs["value"], out.dtype)
    return c.b.broadcast(scalar, shape=out.shape) if out.shape else scalar


def sums(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | int | None:
    """Sums over no axis or axes of extent 1, and sums of what a broadcast repeated."""
    (x,) = operands
    t = c.type(x)
    dims, keep = node.attrs["dims"], node.attrs.get("keepdim", False)
    if t.dtype is out.dtype and all(t.shape[d] == 1 for d in dims):
        return x if t == out else c.b.reshape(Var(c.b, x), shape=out.shape)
    inner = c.defined_by(x, "grad.broadcast")
    if inner is None or not t.dtype.is_float or t.numel == 0:
        return None
    source = c.type(inner.operands[0])
    lead = t.ndim - source.ndim
    repeated = [d for d in dims if d < lead or (source.shape[d - lead] == 1 and t.shape[d] != 1)]
    if not repeated:
        return None
    count = product(t.shape[d] for d in repeated)
    aligned = (
        c.b.reshape(Var(c.b, inner.operands[0]), shape=(1,) * lead + source.shape)
        if lead
        else Var(c.b, inner.operands[0])
    )
    rest = tuple(d for d in dims if d not in repeated)
    partial = c.b.sum(aligned, dims=rest, keepdim=True) if rest else aligned
    scaled = partial * float(count)
    small = tuple(1 if d in dims else (scaled.shape[d]) for d in range(t.ndim))
    scaled = scaled if scaled.shape == small else c.b.reshape(scaled, shape=small)
    shape = small if keep else tuple(n for d, n in enumerate(small) if d not in dims)
    scaled = c.b.reshape(scaled, shape=shape) if scaled.shape != shape else scaled
    spread: Var = c.b.broadcast(scaled, shape=out.shape) if scaled.shape != out.shape else scaled
    return spread
