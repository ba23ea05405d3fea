"""How many programs of a kernel one multiprocessor holds at once, by its registers, shared memory and warps.

The table is CUDA's and AMD's; a warp is a wave there, a multiprocessor a compute unit.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradc.ir.errors import TargetError

from .binary import Binary
from .target import Target, target


@dataclass(frozen=True)
class Limits:
    """Of one multiprocessor: `sides` are its schedulers, each with so many warps and registers of a lane;
    `register_unit` and `shared_unit` are what is handed out at least; `reserved` bytes of shared memory go with each
    program."""

    sides: int
    warps_per_side: int
    registers_per_side: int
    register_unit: int
    registers_per_lane: int
    programs: int
    shared: int
    shared_unit: int
    reserved: int

    @property
    def warps(self) -> int:
        return self.sides * self.warps_per_side


KIB = 1024

# CUDA: the occupancy calculator of the toolkit (cuda_occupancy.h of 13.0) with the device attributes that the CUDA C++
# Programming Guide lists under "Technical Specifications per Compute Capability". AMD: LLVM's AMDGPUBaseInfo
# (getTotalNumVGPRs, getVGPRAllocGranule, getMaxWavesPerEU, getMaxWorkGroupsPerCU) and the CDNA3, CDNA4 and RDNA3 ISA
# guides for local memory; gfx1100 as a compute unit, half of a work group processor.
LIMITS: dict[str, Limits] = {
    "cuda:80": Limits(4, 16, 512, 8, 255, 32, 164 * KIB, 128, KIB),
    "cuda:90": Limits(4, 16, 512, 8, 255, 32, 228 * KIB, 128, KIB),
    "cuda:100": Limits(4, 16, 512, 8, 255, 32, 228 * KIB, 128, KIB),
    "cuda:120": Limits(4, 12, 512, 8, 255, 24, 100 * KIB, 128, KIB),
    "hip:gfx942": Limits(4, 8, 512, 8, 512, 16, 64 * KIB, 512, 0),
    "hip:gfx950": Limits(4, 8, 512, 8, 512, 16, 160 * KIB, 1280, 0),
    "hip:gfx1100": Limits(2, 16, 1536, 24, 256, 16, 64 * KIB, 1024, 0),
}


@dataclass(frozen=True)
class Occupancy:
    """`programs` of a kernel that one multiprocessor holds, `warps` in them, of `most`; `bound` says what allows no
    more: "warps", "programs", "registers" or "shared"."""

    programs: int
    warps: int
    most: int
    bound: str

    @property
    def share(self) -> float:
        return self.warps / self.most

    def __str__(self) -> str:
        return f"{self.warps} of {self.most} warps ({self.bound})"


def limits(to: str | Target) -> Limits:
    """The row of a target; raises TargetError for "cpu"."""
    machine = target(to)
    if machine.name not in LIMITS:
        raise TargetError(f"target {machine.name!r} has no multiprocessors", hint=f"one of {', '.join(LIMITS)}")
    return LIMITS[machine.name]


def occupancy(binary: Binary) -> Occupancy:
    """Of a compiled kernel on its target."""
    return occupancy_of(binary.target, int(binary.metadata["num_warps"]), binary.registers, binary.shared_bytes)


def occupancy_of(to: str | Target, warps: int, registers: int, shared: int) -> Occupancy:
    """For programs of `warps` warps, `registers` per lane and `shared` bytes. No program at all is possible, too: then
    the kernel cannot be launched."""
    at_most = limits(to)
    each = _up(max(registers, 1), at_most.register_unit)
    fits = registers <= at_most.registers_per_lane and each * -(-warps // at_most.sides) <= at_most.registers_per_side
    asked = _up(shared + at_most.reserved, at_most.shared_unit)
    bounds = {
        "warps": at_most.warps // warps,
        # A wave that is a group of its own takes none of AMD's barriers, and is not counted.
        "programs": at_most.warps if warps == 1 and not at_most.reserved else at_most.programs,
        "registers": at_most.sides * (at_most.registers_per_side // each) // warps if fits else 0,
        "shared": at_most.shared // asked if asked else at_most.warps,
    }
    bound = min(bounds, key=lambda name: bounds[name])
    return Occupancy(bounds[bound], bounds[bound] * warps, at_most.warps, bound)


def _up(n: int, unit: int) -> int:
    return -(-n // unit) * unit
