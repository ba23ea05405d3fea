"""How long a launch takes at least on a chip, by the datasheet: an estimate, never a measurement.

A launch is as slow as the slowest of three things, and costs `LAUNCH_SECONDS` on top:

* memory: bytes moved, over the chip's bandwidth (a working set that stays in a cache is faster);
* arithmetic: floating-point operations over the peak of the unit that does them, less where there are fewer programs
  than multiprocessors;
* issue: instructions of the warps on the busiest multiprocessor, one per scheduler and clock, those of the special
  function unit counted by its own rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradc.ir.errors import TargetError

from .binary import Binary
from .facts import Instructions
from .occupancy import limits
from .target import target

LAUNCH_SECONDS = 2.2e-6
"""One launch of a kernel that is compiled and loaded, as measured for pull request 1002 of meta-pytorch/tritonbench.
Within a CUDA graph it is less."""


@dataclass(frozen=True)
class Chip:
    """A product: `units` multiprocessors at `clock` Hz, `bandwidth` in bytes a second, peaks in operations a second:
    `vector` by bytes of the type, `matrix` by its name, dense. `special` are results of the special function unit per
    multiprocessor and clock, `lanes` those of ordinary arithmetic in 32 bits."""

    name: str
    target: str
    units: int
    clock: float
    bandwidth: float
    vector: Mapping[int, float]
    matrix: Mapping[str, float]
    lanes: int
    special: int


# The vendors' datasheets: NVIDIA A100 80GB SXM, H100 SXM, H200 SXM; AMD Instinct MI300X. Multiprocessors and boost
# clocks from the architecture whitepapers; lanes and special function units from the CUDA C++ Programming Guide's
# "Throughput of Native Arithmetic Instructions" and the CDNA3 ISA guide (a quarter of the vector rate).
_HOPPER = {"tf32": 494.7e12, "f16": 989.4e12, "bf16": 989.4e12, "f8": 1978.9e12, "f64": 66.9e12}
CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip(
            "A100", "cuda:80", 108, 1.41e9, 2039e9, {4: 19.5e12, 8: 9.7e12},
            {"tf32": 156e12, "f16": 312e12, "bf16": 312e12, "f64": 19.5e12}, 64, 16,
        ),
        Chip("H100", "cuda:90", 132, 1.98e9, 3350e9, {4: 66.9e12, 8: 33.5e12}, _HOPPER, 128, 16),
        Chip("H200", "cuda:90", 132, 1.98e9, 4800e9, {4: 66.9e12, 8: 33.5e12}, _HOPPER, 128, 16),
        Chip(
            "MI300X", "hip:gfx942", 304, 2.1e9, 5300e9, {4: 163.4e12, 8: 81.7e12},
            {"tf32": 653.7e12, "f16": 1307.4e12, "bf16": 1307.4e12, "f8": 2614.9e12, "f32": 163.4e12, "f64": 163.4e12},
            64, 16,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What one launch does: bytes moved, floating-point operations, programs, steps of its loops, bytes of its widest
    floating-point type (4 at least)."""

    bytes_moved: int
    flops: int
    programs: int
    steps: int
    width: int


@dataclass(frozen=True)
class Estimate:
    """Seconds of each part, launch included in `seconds` only; `bound` names the slowest."""

    chip: str
    memory: float
    arithmetic: float
    issue: float

    @property
    def parts(self) -> dict[str, float]:
        return {"memory": self.memory, "arithmetic": self.arithmetic, "issue": self.issue}

    @property
    def bound(self) -> str:
        """What takes longest; "launch" where that takes longer."""
        parts = {**self.parts, "launch": LAUNCH_SECONDS}
        return max(parts, key=lambda part: parts[part])

    @property
    def seconds(self) -> float:
        return max(self.parts.values()) + LAUNCH_SECONDS


def chips_for(name: str) -> list[Chip]:
    """The chips in the table that run a target's binaries."""
    return [chip for chip in CHIPS.values() if chip.target == target(name).name]


def estimate(chip: Chip | str, work: Work, binary: Binary) -> Estimate:
    """The time of one launch on a chip; raises TargetError for a chip that is not in the table or another target's."""
    if not isinstance(chip, Chip):
        if chip not in CHIPS:
            raise TargetError(f"no figures for a chip {chip!r}", hint=f"one of {', '.join(CHIPS)}")
        chip = CHIPS[chip]
    if chip.target != binary.target:
        raise TargetError(f"{chip.name} runs binaries for {chip.target}, not for {binary.target}")
    used = min(1.0, work.programs / chip.units)
    peak = chip.matrix.get(binary.facts.instructions.matrix) or chip.vector[work.width]
    warps = int(binary.metadata["num_warps"]) * -(-work.programs // chip.units)
    clocks = warps * _clocks(chip, work, binary.facts.instructions, target(binary.target).warp_size)
    arithmetic = work.flops / (peak * used) if used else 0.0
    return Estimate(chip.name, work.bytes_moved / chip.bandwidth, arithmetic, clocks / chip.clock)


def _clocks(chip: Chip, work: Work, instructions: Instructions, warp_size: int) -> float:
    """Of one warp, on a multiprocessor that has it alone: whichever of its units is busy longest."""
    issued = instructions.executed(work.steps) * max(1 / limits(chip.target).sides, warp_size / chip.lanes)
    return max(issued, instructions.executed_special(work.steps) * warp_size / chip.special)
