"""The device of eager tensors."""

from __future__ import annotations

from typing import Any

from gradc.ir.errors import GradRuntimeError, UnsupportedError

KNOWN = (
    "cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, xla, lazy, vulkan, mps, meta, hpu, mtia, "
    "privateuseone"
)


class device:  # noqa: N801 - torch's name
    """Where a tensor lives. Eager tensors live in the memory of the host; kernels for GPUs come from `gradc.build`."""

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any, index: int | None = None) -> None:
        if isinstance(type, device):
            self.type, self.index = type.type, type.index
            return
        name, _, number = str(type).partition(":")
        if name not in KNOWN.split(", "):
            raise GradRuntimeError(f"Expected one of {KNOWN} device type at start of device string: {name}")
        self.type, self.index = name, int(number) if number else index

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + ("" if self.index is None else f", index={self.index}") + ")"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


CPU = device("cpu")


def check_device(where: Any) -> None:
    """Refuse anything but the host."""
    if where is not None and device(where).type != "cpu":
        raise UnsupportedError(
            f"device {str(where)!r}: eager tensors live on the CPU; build the function for a GPU with gradc.build"
        )
