"""The triton package, made ready to compile, and text as triton functions. Imported when something is compiled only."""

from __future__ import annotations

import atexit
import hashlib
import linecache
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from gradc.ir.errors import ExecutorError

_LOADING = threading.Lock()


@contextmanager
def _source_in_linecache(text: str) -> Iterator[str]:
    """A file name under which `inspect.getsource` finds the text: triton reads a kernel's source that way."""
    name = f"gradc_{hashlib.sha256(text.encode()).hexdigest()[:16]}.py"
    with _LOADING:
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        try:
            yield name
        finally:
            linecache.cache.pop(name, None)


def load(text: str, name: str) -> Any:
    """The triton function of this name that the text defines."""
    namespace: dict[str, Any] = {"__name__": "gradc_kernels"}
    with _source_in_linecache(text) as file:
        exec(compile(text, file, "exec"), namespace)
    if name not in namespace:
        raise ExecutorError(f"the kernel text defines no {name!r}")
    return namespace[name]


def ready_triton() -> Any:
    """The triton module, ready to compile: it insists on a folder to write to."""
    try:
        import triton
    except ImportError as error:
        raise ExecutorError(f"compiling kernels needs the triton package: {error}") from error
    if triton.knobs.runtime.interpret:
        raise ExecutorError("triton cannot compile in a process with TRITON_INTERPRET=1", hint="unset TRITON_INTERPRET")
    if not _writable(Path(triton.knobs.cache.dir)):
        triton.knobs.cache.dir = _scratch_folder()
    return triton


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


@cache
def _scratch_folder() -> str:
    """A folder for this process alone, removed when it ends."""
    folder = tempfile.mkdtemp(prefix="gradc-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
