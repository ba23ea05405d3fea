"""The `triton-interpreter` executor's engine: a warm child process that runs emitted text on NumPy buffers.

A process can interpret or compile, not both, and a wrong kernel can write anywhere: hence the child. Buffers travel
through one file in memory that both have mapped.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from gradc.ir.errors import ExecutorError

from .guarded import GUARD_BYTE, Array, as_bytes, check_guards, group_overlapping, layout
from .launch import Argument, KernelText, Launch, Pointer, Scalar


class Worker:
    """`run(buffers, launches)` executes launches in order on one-dimensional or contiguous arrays, in place."""

    def __init__(self, timeout: float = 600.0) -> None:
        self.timeout = timeout
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._file: Any = None
        self._map: mmap.mmap | None = None
        self._complaints: _Tail | None = None
        self._end: weakref.finalize[Any, Any] | None = None

    def run(self, buffers: Sequence[Array], launches: Sequence[Launch]) -> None:
        """Raises ExecutorError, leaving the arrays as they were, when a kernel fails, dies or writes outside."""
        for array in buffers:
            if not array.flags.c_contiguous:
                raise ExecutorError(f"a buffer of the interpreter is contiguous, got strides {array.strides}")
        places, size = layout(buffers)
        jobs = [_job(launch, places, buffers) for launch in launches]
        with self._lock:
            shared = self._shared(size)
            shared[:size] = GUARD_BYTE
            for array, at in zip(buffers, places, strict=True):
                shared[at : at + array.nbytes] = as_bytes(array)
            self._ask({"size": len(shared), "jobs": jobs}, launches)
            check_guards(shared, buffers, places, size, [launch.kernel.name for launch in launches])
            for array, at in zip(buffers, places, strict=True):
                if array.flags.writeable:
                    as_bytes(array)[:] = shared[at : at + array.nbytes]

    def launch(self, kernel: KernelText, grid: tuple[int, ...], *arguments: Array | Scalar) -> None:
        """One launch on arrays; arrays that overlap in memory do so for the kernel."""
        arrays = [a for a in arguments if isinstance(a, np.ndarray)]
        buffers, pointers = group_overlapping(arrays)
        found = iter(pointers)
        plain: list[Argument] = [next(found) if isinstance(a, np.ndarray) else a for a in arguments]
        self.run(buffers, [Launch(kernel, grid, plain)])

    def close(self) -> None:
        """End the child; the next run starts another."""
        with self._lock:
            self._stop()

    def _shared(self, size: int) -> Array:
        """The shared memory with room for `size` bytes, and a child that is alive."""
        if self._owner != os.getpid():
            self._owner, self._process, self._file, self._map = os.getpid(), None, None, None
        if self._process is None or self._process.poll() is not None:
            self._start()
        if self._map is None or len(self._map) < size:
            room = max(1 << 20, 1 << (size - 1).bit_length())
            os.ftruncate(self._file.fileno(), room)
            self._map = mmap.mmap(self._file.fileno(), room)
        return np.frombuffer(self._map, np.uint8)

    def _start(self) -> None:
        self._stop()
        self._file = tempfile.TemporaryFile(dir=_memory_folder())  # noqa: SIM115 - lives as long as the child
        command = [sys.executable, "-P", str(Path(__file__).with_name("worker_child.py")), str(self._file.fileno())]
        environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONWARNINGS": "ignore"}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                pass_fds=(self._file.fileno(),),
            )
        except (OSError, ValueError) as error:
            raise ExecutorError(f"the triton interpreter cannot be started: {error}") from error
        self._end = weakref.finalize(self, _kill, self._process, self._file, os.getpid())
        self._complaints = _Tail(self._process)
        self._receive()

    def _stop(self) -> None:
        if self._end is not None:
            self._end()
        self._end, self._process, self._map, self._file = None, None, None, None

    def _ask(self, request: dict[str, Any], launches: Sequence[Launch]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            self._died()
        error = self._receive()["error"]
        if error is not None:
            at = error["launch"]
            where = f"launch {at}, kernel {launches[at].kernel.name!r}" if at >= 0 else "before the first launch"
            raise ExecutorError(f"the triton interpreter failed in {where}: {error['text']}")

    def _receive(self) -> dict[str, Any]:
        """One reply. A child that ends, is silent for too long or was left waiting by an interrupt is replaced at the
        next run: a late reply must not answer another request."""
        try:
            return self._read_reply()
        except BaseException:
            self._stop()
            raise

    def _read_reply(self) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        until = time.monotonic() + self.timeout
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise ExecutorError(f"the triton interpreter gave no answer within {self.timeout:g} s and was ended")
            part = os.read(process.stdout.fileno(), 65536)
            if not part:
                self._died()
            line += part
        return cast(dict[str, Any], json.loads(line))

    def _died(self) -> None:
        assert self._process is not None
        code = self._process.wait()
        text = self._complaints.text() if self._complaints is not None else ""
        self._stop()
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        raise ExecutorError(f"the triton interpreter's process died ({how})" + (f": {text}" if text else ""))


class _Tail:
    """Reads a child's stderr, so that it never blocks, and keeps the last lines for an error message."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.lines: list[str] = []
        self.thread = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self.thread.start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            self.lines = [*self.lines[-19:], line.decode(errors="replace").rstrip()]

    def text(self) -> str:
        self.thread.join(1.0)
        return "\n".join(self.lines)


def _kill(process: subprocess.Popen[bytes], file: Any, owner: int) -> None:
    """Ends the child, unless this is a fork of the process that started it."""
    if os.getpid() != owner:
        return
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr, file):
        if stream is not None:
            stream.close()


def _memory_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _job(launch: Launch, places: Sequence[int], buffers: Sequence[Array]) -> dict[str, Any]:
    kernel = launch.kernel
    names = [name for name, kind in kernel.signature.items() if kind != "constexpr"]
    if len(names) != len(launch.arguments):
        raise ExecutorError(f"kernel {kernel.name!r} takes {len(names)} arguments, got {len(launch.arguments)}")
    arguments: list[tuple[str, str, Any]] = []
    for name, value in zip(names, launch.arguments, strict=True):
        kind = kernel.signature[name]
        if isinstance(value, Pointer) != kind.startswith("*"):
            raise ExecutorError(f"kernel {kernel.name!r}: argument {name!r} is declared {kind}, got {value!r}")
        if not isinstance(value, Pointer):
            arguments.append((name, kind, float(value) if kind.startswith("fp") else int(value)))
            continue
        if not 0 <= value.offset <= buffers[value.buffer].nbytes:
            raise ExecutorError(f"kernel {kernel.name!r}: argument {name!r} points outside buffer {value.buffer}")
        arguments.append((name, kind, places[value.buffer] + value.offset))
    return {
        "text": kernel.text,
        "name": kernel.name,
        "parameters": list(kernel.signature),
        "constexprs": dict(kernel.constexprs),
        "grid": list(launch.grid),
        "arguments": arguments,
    }


@cache
def shared_worker() -> Worker:
    """The one that executors share: it stays warm for the life of the process."""
    return Worker()
