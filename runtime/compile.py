"""Triton text to binaries, for any target and with no GPU.

`compile_kernels` works in parallel threads and keeps what it made in the cache, together with the facts read from it,
so that a warm start needs neither triton nor its tools.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import linecache
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from gradc.ir.errors import ExecutorError

from . import inspect
from .binary import Binary
from .cache import Cache, environment_key
from .launch import KernelText
from .target import Target, target

_METADATA = (
    "name",
    "shared",
    "num_warps",
    "num_ctas",
    "num_stages",
    "warp_size",
    "global_scratch_size",
    "global_scratch_align",
    "profile_scratch_size",
    "launch_cooperative_grid",
    "launch_pdl",
    "enable_fp_fusion",
)
_TEXT = {"cuda": "ptx", "hip": "amdgcn"}
_BINARY = {"cuda": "cubin", "hip": "hsaco"}


def cache_key(kernel: KernelText, to: Target) -> str:
    """Everything the binary depends on, as a hash."""
    parts = [
        kernel.text,
        kernel.name,
        list(kernel.signature.items()),
        sorted(kernel.constexprs.items()),
        sorted(kernel.divisible),
        [kernel.num_warps, kernel.num_stages, kernel.enable_fp_fusion],
        to.name,
        environment_key(),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


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


def _triton() -> Any:
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


def _compile(kernel: KernelText, to: Target) -> Binary:
    triton = _triton()
    from triton.compiler import ASTSource

    try:
        function = load(kernel.text, kernel.name)
        names = tuple(kernel.signature)
        source = ASTSource(
            fn=function,
            signature=dict(kernel.signature),
            constexprs=dict(kernel.constexprs),
            attrs={(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if name in kernel.divisible},
        )
        options = {
            "num_warps": kernel.num_warps,
            "num_stages": kernel.num_stages,
            "enable_fp_fusion": kernel.enable_fp_fusion,
        }
        made = triton.compile(source, target=to.for_triton(), options=options)
    except ExecutorError:
        raise
    except Exception as error:
        text = f"triton cannot compile kernel {kernel.name!r} for {to}: {type(error).__name__}: {error}"
        raise ExecutorError(text) from error
    text, code = made.asm[_TEXT[to.backend]], made.asm[_BINARY[to.backend]]
    facts = inspect.cuda_facts(text, code) if to.backend == "cuda" else inspect.hip_facts(text)
    metadata = {name: getattr(made.metadata, name) for name in _METADATA if hasattr(made.metadata, name)}
    return Binary(to.name, text, code, facts, metadata, kernel.parameters)


def compile_kernels(
    kernels: Iterable[KernelText],
    to: str | Target,
    *,
    store: Cache | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Binary]:
    """Binaries in the order of the kernels. Each distinct kernel is compiled once, or taken from the cache;
    `progress(done, all)` is called from this thread after each."""
    wanted = list(kernels)
    machine = target(to)
    if not machine.compiles:
        machine.for_triton()
    keys = [cache_key(kernel, machine) for kernel in wanted]
    made: dict[str, Binary] = {}
    todo: dict[str, KernelText] = {}
    for key, kernel in zip(keys, wanted, strict=True):
        if key in made or key in todo:
            continue
        parts = store.get(key) if store is not None else None
        if parts is None:
            todo[key] = kernel
        else:
            made[key] = Binary.from_parts(parts)
    found = len(made)
    for done, (key, binary) in enumerate(_compile_all(todo, machine, threads), start=found + 1):
        made[key] = binary
        if store is not None:
            store.put(key, binary.to_parts())
        if progress is not None:
            progress(done, found + len(todo))
    return [made[key] for key in keys]


def _compile_all(todo: dict[str, KernelText], to: Target, threads: int | None) -> Iterable[tuple[str, Binary]]:
    """Threads are enough: triton releases the interpreter lock in LLVM and waits for ptxas."""
    workers = min(len(todo), threads or os.cpu_count() or 1)
    if workers <= 1:
        for key, kernel in todo.items():
            yield key, _compile(kernel, to)
        return
    _triton()
    with ThreadPoolExecutor(workers) as pool:
        running = [(key, pool.submit(_compile, kernel, to)) for key, kernel in todo.items()]
        try:
            for key, future in running:
                yield key, future.result()
        finally:
            for _, future in running:
                future.cancel()


def compile_kernel(kernel: KernelText, to: str | Target, *, store: Cache | None = None) -> Binary:
    return compile_kernels([kernel], to, store=store)[0]

