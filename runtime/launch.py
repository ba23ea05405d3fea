"""What the executors of emitted text are given: kernels as text, and launches that point into a list of buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Scalar = bool | int | float
Constant = bool | int | float | str | None


class KernelText(NamedTuple):
    """A Triton kernel as source text, with all that Triton is told about its arguments.

    `signature` maps every argument, in order, to Triton's spelling of its type ("*fp32", "i32", "constexpr");
    `constexprs` holds the values of the constexpr ones, `divisible` the names of those known to be multiples of 16.
    """

    text: str
    name: str
    signature: Mapping[str, str]
    constexprs: Mapping[str, Constant] = {}
    divisible: frozenset[str] = frozenset()
    num_warps: int = 4
    num_stages: int = 2
    enable_fp_fusion: bool = True

    @property
    def parameters(self) -> tuple[str, ...]:
        """Types of the arguments that are passed at run time, in order: what the compiled kernel takes."""
        return tuple(kind for kind in self.signature.values() if kind != "constexpr")


class Pointer(NamedTuple):
    """An argument that points `offset` bytes into buffer number `buffer` of the run."""

    buffer: int
    offset: int = 0


Argument = Pointer | Scalar


class Launch(NamedTuple):
    """One launch: a kernel, its grid (one to three numbers) and its run-time arguments in order."""

    kernel: KernelText
    grid: tuple[int, ...]
    arguments: Sequence[Argument]
