"""The machines that kernels are compiled for, by name: "cuda:90", "hip:gfx942", "cpu"."""

from __future__ import annotations

from typing import Any, NamedTuple

from gradc.ir.errors import TargetError


class Target(NamedTuple):
    """A backend and an architecture; `warp_size` is the number of lanes that run in step."""

    name: str
    backend: str
    arch: int | str
    warp_size: int

    @property
    def compiles(self) -> bool:
        """Whether Triton makes binaries for it; "cpu" runs through the other executors."""
        return self.backend != "cpu"

    @property
    def short(self) -> str:
        """The vendor's own spelling: sm90, gfx942, cpu."""
        return f"sm{self.arch}" if self.backend == "cuda" else str(self.arch)

    def for_triton(self) -> Any:
        """The triton.backends.compiler.GPUTarget."""
        if not self.compiles:
            raise TargetError(f"target {self.name!r} has no Triton compiler", hint=f"one of {', '.join(GPU_TARGETS)}")
        from triton.backends.compiler import GPUTarget

        return GPUTarget(self.backend, self.arch, self.warp_size)

    def __str__(self) -> str:
        return self.name


TARGETS: tuple[Target, ...] = (
    *(Target(f"cuda:{arch}", "cuda", arch, 32) for arch in (80, 90, 100, 120)),
    *(Target(f"hip:{arch}", "hip", arch, 64) for arch in ("gfx942", "gfx950")),
    Target("hip:gfx1100", "hip", "gfx1100", 32),
    Target("cpu", "cpu", "cpu", 1),
)
GPU_TARGETS = tuple(t.name for t in TARGETS if t.compiles)


def target(name: str | Target) -> Target:
    """The target of this name ("cuda:90", or the vendor's "sm90"); raises TargetError, naming those that exist."""
    if isinstance(name, Target):
        return name
    for known in TARGETS:
        if name in (known.name, known.short):
            return known
    known_names = ", ".join(t.name for t in TARGETS)
    raise TargetError(f"unknown target {name!r}", hint=f"one of {known_names}")
