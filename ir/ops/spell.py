"""torch's many names for the structural primitives: reshape, permute, expand and flip. Arguments are checked here, with
torch's sentences, so that attributes are final: no -1, no negative dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradc.ir.dim import normalize_axis, product
from gradc.ir.errors import GradIndexError, GradRuntimeError, ShapeError
from gradc.ir.op import Torch


def sizes(args: Sequence[Any]) -> tuple[int, ...]:
    """`x.view(2, 3)` and `x.view((2, 3))` alike."""
    if len(args) == 1 and not hasattr(args[0], "__index__"):
        args = tuple(args[0])
    return tuple(int(a.__index__()) for a in args)


def resolve_shape(shape: Sequence[int], numel: int) -> tuple[int, ...]:
    """The shape with its one -1 replaced."""
    if all(d >= 0 for d in shape):
        return tuple(shape)
    for i, d in enumerate(shape):
        if d < -1:
            raise ShapeError(f"invalid shape dimension {d} at index {i} of shape {list(shape)}")
    if list(shape).count(-1) > 1:
        raise ShapeError("only one dimension can be inferred")
    known = product(d for d in shape if d != -1)
    if known == 0 and numel == 0:
        raise ShapeError(
            f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension size -1 "
            "can be any value and is ambiguous"
        )
    if known == 0 or numel % known:
        raise ShapeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
    return tuple(numel // known if d == -1 else d for d in shape)


def viewable(shape: Sequence[int], strides: Sequence[int], want: Sequence[int]) -> bool:
    """Whether memory with these element strides can be seen under the shape `want` without a copy."""
    if product(shape) == 0:
        return True
    runs: list[tuple[int, int]] = []
    for d, s in zip(shape, strides, strict=True):
        if d == 1:
            continue
        if runs and runs[-1][1] == d * s:
            runs[-1] = (runs[-1][0] * d, s)
        else:
            runs.append((d, s))
    left = [d for d in want if d != 1]
    for extent, _ in runs:
        n = 1
        while n < extent and left:
            n *= left.pop(0)
        if n != extent:
            return False
    return not left


def _numel(self: Any) -> int:
    return product(self.shape)


def _reshape(op: Any, self: Any, *shape: Any) -> Any:
    want = resolve_shape(sizes(shape), _numel(self))
    if _numel(self) == product(want) and not viewable(self.shape, self.stride(), want):
        return op(self.clone(), shape=want, grad_fn="UnsafeViewBackward0")
    return op(self, shape=want)


def _reshape_call(op: Any, self: Any, *dims: Any, shape: Any = None) -> Any:
    return _reshape(op, self, *(dims if shape is None else (shape,)))


def _view(op: Any, self: Any, *shape: Any, size: Any = None) -> Any:
    want = resolve_shape(sizes(shape if size is None else (size,)), _numel(self))
    if _numel(self) == product(want) and not viewable(self.shape, self.stride(), want):
        raise ShapeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )
    return op(self, shape=want)


def _flatten(op: Any, self: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    if self.ndim == 0:
        return _reshape(op, self, 1)
    first, last = normalize_axis(start_dim, self.ndim), normalize_axis(end_dim, self.ndim)
    if first > last:
        raise GradRuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if first == last:
        return self
    shape = tuple(self.shape)
    return _reshape(op, self, (*shape[:first], product(shape[first : last + 1]), *shape[last + 1 :]))


def _unflatten(op: Any, self: Any, dim: int, sizes: Sequence[int]) -> Any:
    d = normalize_axis(dim, self.ndim)
    shape = tuple(self.shape)
    known = product(s for s in sizes if s != -1)
    inner = tuple(shape[d] // known if s == -1 and known else s for s in sizes)
    if product(inner) != shape[d]:
        raise GradRuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {d} ({shape[d]}) in the "
            "input tensor"
        )
    return op(self, shape=(*shape[:d], *inner, *shape[d + 1 :]))


def _repeat_interleave(op: Any, self: Any, repeats: int, dim: int | None = None) -> Any:
    if repeats < 0:
        raise GradRuntimeError("Repeats must be non-negative")
    x = self.reshape(-1) if dim is None else self
    d = normalize_axis(dim or 0, x.ndim)
    shape = tuple(x.shape)
    spread = x.unsqueeze(d + 1).expand((*shape[: d + 1], repeats, *shape[d + 1 :])).clone()
    return op(spread, shape=(*shape[:d], shape[d] * repeats, *shape[d + 1 :]))


RESHAPE_SPELLINGS = (
    Torch(_reshape_call, ("reshape",), ("reshape",)),
    Torch(_view, (), ("view",)),
    Torch(lambda op, self, other: _view(op, self, tuple(other.shape)), (), ("view_as",)),
    Torch(lambda op, self, other: _reshape(op, self, tuple(other.shape)), (), ("reshape_as",)),
    Torch(lambda op, self: _reshape(op, self, -1), ("ravel",), ("ravel",)),
    Torch(_flatten, ("flatten",), ("flatten",)),
    Torch(_unflatten, ("unflatten",), ("unflatten",)),
    Torch(_repeat_interleave, ("repeat_interleave",), ("repeat_interleave",)),
)


def _expand(op: Any, self: Any, *size: Any) -> Any:
    want = sizes(size)
    shape = tuple(self.shape)
    lead = len(want) - len(shape)
    for i, d in enumerate(want[: max(lead, 0)]):
        if d < 0:
            raise ShapeError(
                f"The expanded size of the tensor ({d}) isn't allowed in a leading, non-existing dimension {i}"
            )
    full = tuple(shape[i - lead] if d == -1 and i >= lead else d for i, d in enumerate(want))
    return op(self, shape=full)


EXPAND_SPELLINGS = (
    Torch(_expand, (), ("expand",)),
    Torch(lambda op, self, other: _expand(op, self, tuple(other.shape)), (), ("expand_as",)),
    Torch(lambda op, input, size: _expand(op, input, size), ("broadcast_to",), ("broadcast_to",)),
)


def permutation(dims: Sequence[int], rank: int) -> tuple[int, ...]:
    if len(dims) != rank:
        raise GradRuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {rank} is not equal to len(dims) = {len(dims)}"
        )
    out = tuple(normalize_axis(d, rank) for d in dims)
    if len(set(out)) != rank:
        raise GradRuntimeError("permute(): duplicate dims are not allowed.")
    return out


def _movedim(op: Any, self: Any, source: Any, destination: Any) -> Any:
    src = (source,) if isinstance(source, int) else tuple(source)
    dst = (destination,) if isinstance(destination, int) else tuple(destination)
    if len(src) != len(dst):
        raise GradRuntimeError(
            f"movedim: Invalid source or destination dims: source ({list(src)} dims) should contain the same number of "
            f"dims as destination ({list(dst)} dims)"
        )
    rank = self.ndim
    s, t = [normalize_axis(d, rank) for d in src], [normalize_axis(d, rank) for d in dst]
    for name, given, dims in (("source", src, s), ("destination", dst, t)):
        if len(set(dims)) != len(dims):
            raise GradRuntimeError(f"movedim: repeated dim in `{name}` ({list(given)})")
    rest = iter(d for d in range(rank) if d not in s)
    at = dict(zip(t, s, strict=True))
    return op(self, dims=tuple(at[i] if i in at else next(rest) for i in range(rank)))


PERMUTE_SPELLINGS = (
    Torch(lambda op, self, *dims: op(self, dims=permutation(sizes(dims), self.ndim)), ("permute",), ("permute",)),
    Torch(lambda op, self: op(self, dims=tuple(reversed(range(self.ndim)))), (), (), (), ("T",)),
    Torch(_movedim, ("movedim", "moveaxis"), ("movedim", "moveaxis")),
)


def _flip(op: Any, self: Any, *dims: Any) -> Any:
    return op(self, dims=tuple(normalize_axis(d, self.ndim) for d in sizes(dims)))


def _flip_one(name: str, dim: int) -> Any:
    def call(op: Any, self: Any) -> Any:
        if self.ndim <= dim:
            raise GradIndexError(f"Input must be >= {dim + 1}-d.")
        return op(self, dims=(dim,))

    return Torch(call, (name,), (name,))


FLIP_SPELLINGS = (Torch(_flip, ("flip",), ("flip",)), _flip_one("fliplr", 1), _flip_one("flipud", 0))
