"""How a kernel is launched, as plain data, and the closed forms for what a launch chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gradc.ir.dim import next_pow2, product

from .walk import Walk

MAX_WARPS = 16


class KernelSource(NamedTuple):
    """A printed Triton kernel: a whole module's text, and all that compiling and launching it takes.

    `signature` maps the arguments, in the order of the kernel's inputs, to Triton's spelling of their types;
    `divisible` names those whose address is known to be a multiple of 16. FMA contraction is on: it is what
    hand-written kernels use, and the error bounds of the formulas allow for it.
    """

    text: str
    name: str
    signature: Mapping[str, str]
    grid: tuple[int, int, int]
    constexprs: Mapping[str, int] = {}
    divisible: frozenset[str] = frozenset()
    num_warps: int = 4
    num_stages: int = 2
    enable_fp_fusion: bool = True

    @property
    def attrs(self) -> dict[tuple[int, ...], list[list[object]]]:
        """The divisibility hints as Triton's compiler takes them, keyed by argument index."""
        return {(i,): [["tt.divisibility", 16]] for i, a in enumerate(self.signature) if a in self.divisible}

    @property
    def options(self) -> dict[str, object]:
        return {
            "num_warps": self.num_warps,
            "num_stages": self.num_stages,
            "enable_fp_fusion": self.enable_fp_fusion,
        }


def tile_elements(walk: Walk) -> int:
    """Lanes of the largest value that a program holds at once."""
    spaces = {walk.space(r) for i in walk.live for r in walk.kernel.nodes[i].results}
    return max([product(walk.groups[walk.position[c]].tile for c in space) for space in spaces], default=1)


def num_warps(walk: Walk) -> int:
    """Eight elements per lane up to 1024, sixteen up to 8192, then as many as 16 warps hold: the counts that compiled
    without spills and with 16-byte accesses for maps, rows and their gradients. Matrix products take 32 per lane."""
    n = tile_elements(walk)
    dots = sum(walk.kernel.nodes[i].op.name == "tile.dot" for i in walk.live)
    if dots:
        return 8 if dots * n >= 64 * 96 else 4
    per_lane = 8 if n <= 1024 else 16
    return max(1, min(next_pow2(n // (32 * per_lane)), MAX_WARPS))


def num_stages(walk: Walk) -> int:
    """Loads in flight across loop steps: deeper for matrix products, double buffering for other loops."""
    if not walk.looped:
        return 1
    return 3 if any(walk.kernel.nodes[i].op.name == "tile.dot" for i in walk.live) else 2
