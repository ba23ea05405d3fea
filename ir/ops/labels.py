"""Products of two tensors by labelled dimensions: the common form behind matmul, linear, einsum and their adjoints.

    pair(b, x, "bik", y, "bkj", "bij")        # labels may be any hashable values; strings are sequences of them

A label in both operands and the output is a batch dimension, one in both operands only is contracted, one in a single
operand only is summed, and one in the output only is broadcast to its extent in `extents`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def reduce_to(b: Any, x: Any, have: Sequence[Any], keep: Any) -> tuple[Any, list[Any]]:
    """`x` summed over its dimensions whose labels are not in `keep`."""
    gone = tuple(i for i, label in enumerate(have) if label not in keep)
    if gone:
        x = total(b, x, gone)
    return x, [label for label in have if label in keep]


def total(b: Any, x: Any, dims: tuple[int, ...]) -> Any:
    out = b.sum(x, dims=dims, keepdim=False)
    return out if out.dtype is x.dtype else b.convert(out, dtype=x.dtype)


def arrange(b: Any, x: Any, have: Sequence[Any], want: Sequence[Any], extents: Mapping[Any, int] | None = None) -> Any:
    """`x` with its labelled dimensions in the order of `want`, those it has not put in by broadcasting."""
    held = [label for label in want if label in have]
    dims = tuple(list(have).index(label) for label in held)
    if dims != tuple(range(len(dims))):
        x = b.permute(x, dims=dims)
    if len(held) == len(want):
        return x
    assert extents is not None
    at = dict(zip(held, x.shape, strict=True))
    x = b.reshape(x, shape=tuple(at.get(label, 1) for label in want))
    return b.broadcast(x, shape=tuple(at.get(label, extents[label]) for label in want))


def pair(
    b: Any,
    x: Any,
    x_labels: Sequence[Any],
    y: Any,
    y_labels: Sequence[Any],
    out: Sequence[Any],
    extents: Mapping[Any, int] | None = None,
) -> Any:
    """The product of two labelled tensors, contracted to the labels `out`."""
    x, xs = reduce_to(b, x, x_labels, {*y_labels, *out})
    y, ys = reduce_to(b, y, y_labels, {*xs, *out})
    both = [label for label in xs if label in ys]
    batch = [label for label in both if label in out]
    inner = [label for label in both if label not in out]
    z = b.contract(
        x,
        y,
        lhs_batch=tuple(xs.index(label) for label in batch),
        rhs_batch=tuple(ys.index(label) for label in batch),
        lhs_contract=tuple(xs.index(label) for label in inner),
        rhs_contract=tuple(ys.index(label) for label in inner),
    )
    have = [*batch, *(v for v in xs if v not in both), *(v for v in ys if v not in both)]
    return arrange(b, z, have, out, extents)
