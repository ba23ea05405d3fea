"""What is known of a compiled kernel, as plain data: a warm start reads it from the cache and imports no more."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple


class Instructions(NamedTuple):
    """Counts in the text: `straight` stands outside loops, `looped` inside; `special_straight` and `special_looped` are
    the transcendental ones among them. `matrix` is the operands' type of matrix products: "tf32", "f16", "bf16", "f32",
    "f64", or "" without any."""

    straight: int
    looped: int
    special_straight: int
    special_looped: int
    matrix: str

    def executed(self, steps: int) -> int:
        """Instructions of one lane when loops run `steps` times."""
        return self.straight + self.looped * steps

    def executed_special(self, steps: int) -> int:
        return self.special_straight + self.special_looped * steps


class Facts(NamedTuple):
    """`registers` per lane, `spills` in bytes of stack per lane; `loads` and `stores` map the width in bits of one
    lane's access to global memory to the number of such instructions; `instructions` counts all of them."""

    registers: int
    spills: int
    loads: dict[int, int]
    stores: dict[int, int]
    instructions: Instructions

    @property
    def access_bits(self) -> dict[int, int]:
        return dict(sorted((Counter(self.loads) + Counter(self.stores)).items()))
