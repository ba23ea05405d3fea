"""The random bits everything random is made of: Philox 4x32-10 (Salmon et al., 2011), keyed by a seed.

Element `i` of a tensor is word `i % 4` of the block whose counter is `i // 4 + offset`; the counter's third word is the
stream. A tensor of n elements uses up `blocks(n)` counters, whatever its distribution; Triton's `rand4x(seed, counter)`
gives the same words. So a mask need not be kept: the same seed and offset give it again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import ceil_div, product
from gradc.ir.errors import DTypeError, ShapeError
from gradc.ir.op import ELEMENTWISE, RANDOM, Op, define
from gradc.ir.types import TensorType, broadcast_types, i64, tensor, u32

MULTIPLY = (0xD2511F53, 0xCD9E8D57)
BUMP = (0x9E3779B9, 0xBB67AE85)
WORD = 0xFFFFFFFF
ROUNDS = 10


def blocks(n: int) -> int:
    """How far a draw of `n` elements moves the offset."""
    return ceil_div(n, 4)


def _word_type(seed: TensorType, offset: TensorType, index: TensorType, *, stream: int = 0) -> TensorType:
    for name, t in (("seed", seed), ("offset", offset), ("index", index)):
        if t.dtype is not i64:
            raise DTypeError(f"philox: expected {name} of dtype int64, got {t}")
    return tensor(broadcast_types(seed, offset, index), u32)


def _block_numpy(seed: Any, counter: Any, stream: int) -> list[Any]:
    """The four words of the blocks with these counters (all int64)."""
    seed, counter = seed.astype(np.uint64), counter.astype(np.uint64)
    low, half = np.uint64(WORD), np.uint64(32)
    c = [counter & low, counter >> half, np.full_like(counter, stream), np.zeros_like(counter)]
    k0, k1 = seed & low, seed >> half
    for _ in range(ROUNDS):
        first, second = c[0] * np.uint64(MULTIPLY[0]), c[2] * np.uint64(MULTIPLY[1])
        c = [(second >> half) ^ c[1] ^ k0, second & low, (first >> half) ^ c[3] ^ k1, first & low]
        k0, k1 = (k0 + np.uint64(BUMP[0])) & low, (k1 + np.uint64(BUMP[1])) & low
    return c


def _word_numpy(seed: Any, offset: Any, index: Any, stream: int = 0) -> Any:
    c = _block_numpy(seed, (index >> 2) + offset, stream)
    lane = index & 3
    return np.select([lane == 0, lane == 1, lane == 2], c[:3], c[3]).astype(np.uint32)


def _split(b: Any, x: Any) -> tuple[Any, Any]:
    """The low and the high word of an i64."""
    low = b.convert(x & b.scalar(WORD, i64), dtype=u32)
    return low, b.convert((x >> b.scalar(32, i64)) & b.scalar(WORD, i64), dtype=u32)


def _word_formula(b: Any, seed: Any, offset: Any, index: Any, stream: int = 0) -> Any:
    def const(value: int) -> Any:
        return b.scalar(value & WORD, u32)

    c0, c1 = _split(b, (index >> b.scalar(2, i64)) + offset)
    c2, c3 = const(stream), const(0)
    k0, k1 = _split(b, seed)
    m0, m1 = const(MULTIPLY[0]), const(MULTIPLY[1])
    for i in range(ROUNDS):
        c0, c1, c2, c3 = (
            b.umulhi(m1, c2) ^ c1 ^ (k0 + const(i * BUMP[0])),
            m1 * c2,
            b.umulhi(m0, c0) ^ c3 ^ (k1 + const(i * BUMP[1])),
            m0 * c0,
        )
    lane = index & b.scalar(3, i64)
    upper = b.select(lane.eq(b.scalar(2, i64)), c2, c3)
    return b.select(lane.eq(b.scalar(0, i64)), c0, b.select(lane.eq(b.scalar(1, i64)), c1, upper))


def scalars(rng: Any) -> tuple[Any, Any]:
    return np.asarray(rng.integers(-(2**63), 2**63 - 1)), np.asarray(rng.integers(0, 2**40))


PHILOX_WORD = define(
    Op(
        name="grad.philox_word",
        kind=ELEMENTWISE,
        operands=("seed", "offset", "index"),
        results=("result",),
        attrs={"stream": "int?"},
        infer=_word_type,
        numpy=_word_numpy,
        formula=_word_formula,
        flops=0,
        sample=lambda rng: [
            ((*scalars(rng), np.arange(37)), {}),
            ((*scalars(rng), np.arange(24).reshape(4, 6)), {"stream": 1}),
            ((*scalars(rng), np.asarray(rng.integers(0, 2**62))), {}),
        ],
        doc="The word with this index in the sequence of a seed, from block `offset` on.",
    )
)


def philox_type(seed: TensorType, offset: TensorType, *, shape: tuple[int, ...], stream: int = 0) -> TensorType:
    if seed.shape or offset.shape:
        raise ShapeError(f"philox: expected seed and offset without dimensions, got {seed} and {offset}")
    _word_type(seed, offset, tensor((), i64))
    return tensor(shape, u32)


def _philox_parts(b: Any, seed: Any, offset: Any, shape: tuple[int, ...], stream: int = 0) -> Any:
    index = b.reshape(b.iota(shape=(product(shape),), dim=0, dtype=i64), shape=shape)
    return b.philox_word(seed, offset, index, stream=stream)


def _philox_numpy(seed: Any, offset: Any, shape: tuple[int, ...], stream: int = 0) -> Any:
    n = product(shape)
    words = np.stack(_block_numpy(seed, np.arange(blocks(n)) + offset, stream), axis=-1)
    return words.astype(np.uint32).reshape(-1)[:n].reshape(shape)


PHILOX = define(
    Op(
        name="grad.philox",
        kind=RANDOM,
        operands=("seed", "offset"),
        results=("result",),
        attrs={"shape": "ints", "stream": "int?"},
        infer=philox_type,
        numpy=_philox_numpy,
        decompose=_philox_parts,
        flops=0,
        sample=lambda rng: [(scalars(rng), {"shape": (3, 5)}), (scalars(rng), {"shape": (), "stream": 1})],
        doc="Random bits of a shape.",
    )
)
