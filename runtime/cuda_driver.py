"""CUDA's driver API through ctypes: the library, its error codes, and nothing else.

Handles and sizes are passed as ctypes objects everywhere, so that no prototype has to be declared.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any

from gradc.ir.errors import ExecutorError


class Driver:
    """`driver.call("cuInit", c_uint(0))` calls and raises ExecutorError with CUDA's own words unless it succeeds."""

    def __init__(self, library: Any) -> None:
        self.library = library

    def call(self, name: str, *arguments: Any) -> None:
        code = getattr(self.library, name)(*arguments)
        if code:
            raise ExecutorError(f"{name} failed: {self.describe(code)}")

    def attempt(self, name: str, *arguments: Any) -> None:
        """For releasing things, also while the process ends and the driver is gone: failures do not matter."""
        getattr(self.library, name)(*arguments)

    def describe(self, code: int) -> str:
        words = []
        for function in ("cuGetErrorName", "cuGetErrorString"):
            text = ctypes.c_char_p()
            if getattr(self.library, function)(ctypes.c_int(code), ctypes.byref(text)) == 0 and text.value:
                words.append(text.value.decode(errors="replace"))
        return ": ".join(words) or f"error {code}"

    def integer(self, name: str, *arguments: Any) -> int:
        """The int that the function writes through its first parameter."""
        out = ctypes.c_int()
        self.call(name, ctypes.byref(out), *arguments)
        return out.value

    def handle(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """The handle that the function writes through its first parameter."""
        out = ctypes.c_void_p()
        self.call(name, ctypes.byref(out), *arguments)
        return out

    def handle_last(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """The same for a function that writes it through its last parameter."""
        out = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(out))
        return out


@cache
def _open() -> tuple[Driver | None, str]:
    """The machine's driver, initialised, or None and why there is none."""
    name = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
    try:
        driver = Driver(ctypes.CDLL(name))
    except OSError:
        return None, f"NVIDIA's driver library {name} was not found"
    try:
        driver.call("cuInit", ctypes.c_uint(0))
        count = driver.integer("cuDeviceGetCount")
    except ExecutorError as error:
        return None, error.bare
    return (driver, "") if count else (None, "the driver finds no CUDA device")


def why_unavailable() -> str | None:
    """None when a CUDA device can be used, else the reason in words."""
    driver, reason = _open()
    return None if driver is not None else reason


def system_driver() -> Driver:
    driver, reason = _open()
    if driver is None:
        raise ExecutorError(
            f"the cuda executor cannot run here: {reason}",
            hint="executors that need no GPU: reference, tiled, triton-interpreter",
        )
    return driver
