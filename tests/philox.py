"""Philox 4x32-10 in Python's integers, one block at a time: written from the paper, shares nothing with gradc."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def block(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    a, b, c, d = counter
    k, m = key
    for _ in range(10):
        left, right = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (right >> 32) ^ b ^ k, right % 2**32, (left >> 32) ^ d ^ m, left % 2**32
        k, m = (k + 0x9E3779B9) % 2**32, (m + 0xBB67AE85) % 2**32
    return a, b, c, d


def word(seed: int, offset: int, index: int, stream: int = 0) -> int:
    counter, key = (index // 4 + offset) % 2**64, seed % 2**64
    return block((counter % 2**32, counter >> 32, stream, 0), (key % 2**32, key >> 32))[index % 4]


def words(seed: Any, offset: Any, index: Any, stream: int = 0) -> Array:
    flat = [word(int(seed), int(offset), int(i), stream) for i in np.ravel(index)]
    return np.array(flat, np.uint32).reshape(np.shape(index))


def uniform(seed: Any, offset: Any, shape: tuple[int, ...], double: bool = False) -> Array:
    index = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    first = words(seed, offset, index)
    if not double:
        return ((first >> 8) / 2**24).astype(np.float32)
    second = words(seed, offset, index, 1)
    return np.asarray(((first >> 5).astype(np.uint64) * 2**26 + (second >> 6)) / 2.0**53)
