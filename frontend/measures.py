"""What a launch costs on a target, from its binary: registers, widths, occupancy, instructions, an estimate of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradc.ir.dim import product
from gradc.ir.errors import ExecutorError
from gradc.ir.graph import Graph
from gradc.ir.tile import groups, parts
from gradc.runtime.binary import Binary
from gradc.runtime.cache import Cache
from gradc.runtime.chips import Estimate, Work, chips_for, estimate
from gradc.runtime.compile import Job, checked, compile_jobs
from gradc.runtime.occupancy import Occupancy, occupancy
from gradc.runtime.target import Target

if TYPE_CHECKING:
    from .kernels import Kernel
    from .program import Program


def work(kernel: Kernel) -> Work:
    """What one launch does, whatever the target."""
    steps = max(product(g.loop for g in groups(k)) for k in _bodies(kernel))
    widths = [t.dtype.itemsize for k in _bodies(kernel) for t in k.types if t.dtype.is_float]
    return Work(kernel.bytes_moved, kernel.flops, product(kernel.grid), steps, max([4, *widths]))


def elements(kernel: Kernel) -> int:
    """Points of the iteration space: of a map its elements, of a matrix product all its multiplications."""
    return sum(product(g.extent for g in groups(k)) for k in _bodies(kernel))


def _bodies(kernel: Kernel) -> list[Graph]:
    """The kernel itself, or its parts."""
    return [p.regions[0] for p in parts(kernel.graph)] or [kernel.graph]


@dataclass(frozen=True)
class Measures:
    """One launch on one target."""

    kernel: Kernel
    binary: Binary

    @property
    def occupancy(self) -> Occupancy:
        return occupancy(self.binary)

    @property
    def instructions_per_element(self) -> float:
        """Instructions of all lanes over `elements`, padding lanes included; a loop counts as often as it runs."""
        each = self.binary.facts.instructions.executed(work(self.kernel).steps)
        lanes = int(self.binary.metadata["num_warps"]) * int(self.binary.metadata["warp_size"])
        return each * lanes * product(self.kernel.grid) / max(elements(self.kernel), 1)

    @property
    def estimates(self) -> list[Estimate]:
        """Of each chip whose figures are known: seconds by its datasheet."""
        return [estimate(chip, work(self.kernel), self.binary) for chip in chips_for(self.binary.target)]

    def to_json(self) -> dict[str, Any]:
        binary, held = self.binary, self.occupancy
        return {
            "registers": binary.registers,
            "spills": binary.spills,
            "shared_bytes": binary.shared_bytes,
            "access_bits": {str(bits): n for bits, n in binary.access_bits.items()},
            "occupancy": {"warps": held.warps, "of": held.most, "share": held.share, "bound": held.bound},
            "instructions_per_element": self.instructions_per_element,
            "estimated_seconds": {e.chip: {**e.parts, "total": e.seconds, "bound": e.bound} for e in self.estimates},
        }


def compile_all(
    kernels: Sequence[Kernel],
    targets: Sequence[Target],
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[tuple[int, str], Binary | ExecutorError]:
    """Compile every launch for every target, in parallel; kernels keep their binaries. The result is by the number of
    the launch and the target's name."""
    pairs = [(i, kernel, to) for i, kernel in enumerate(kernels) for to in targets]
    jobs = [Job(kernel.text, to) for _, kernel, to in pairs]
    out: dict[tuple[int, str], Binary | ExecutorError] = {}
    results = compile_jobs(jobs, store=Cache(), threads=threads, progress=progress)
    for (i, kernel, to), result in zip(pairs, results, strict=True):
        out[i, to.name] = result
        if isinstance(result, Binary):
            kernel.binaries[to.name] = result
    return out


def compile_for(
    program: Program, progress: Callable[[int, int], None] | None = None, target: Target | None = None
) -> list[Measures]:
    """Every launch of a program, compiled for its target or another; raises what does not compile."""
    results = compile_all(program.kernels, [target or program.target], progress=progress)
    binaries = checked(results.values())
    return [Measures(kernel, binary) for kernel, binary in zip(program.kernels, binaries, strict=True)]
