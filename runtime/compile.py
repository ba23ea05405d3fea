"""Triton text to binaries, for any target and with no GPU.

`compile_kernels` works in parallel threads and keeps what it made in the cache, together with the facts read from it,
so that a warm start needs neither triton nor its tools.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable

from gradc.ir.errors import ExecutorError

from .binary import Binary
from .cache import Cache, environment_key
from .launch import KernelText
from .target import Target, target

WARP = 32
"""Lanes of the warps that a kernel's text counts in: a target with wider ones gets as many lanes in fewer."""
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


def _compile(kernel: KernelText, to: Target) -> Binary:
    from . import inspect
    from .triton_package import load, ready_triton

    triton = ready_triton()
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
            "num_warps": max(1, kernel.num_warps * WARP // to.warp_size),
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


class Job:
    """One kernel for one target."""

    def __init__(self, kernel: KernelText, target: Target) -> None:
        self.kernel, self.target = kernel, target
        self.key = cache_key(kernel, target)


def compile_jobs(
    jobs: Iterable[Job],
    *,
    store: Cache | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Binary | ExecutorError]:
    """A binary for each job in their order, or the error where there is none. Each distinct job is compiled once, or
    taken from the cache; `progress(done, all)` is called from this thread after each."""
    wanted = list(jobs)
    for machine in {job.target: None for job in wanted if not job.target.compiles}:
        machine.for_triton()
    made: dict[str, Binary | ExecutorError] = {}
    todo: dict[str, Job] = {}
    for job in wanted:
        if job.key not in made and job.key not in todo:
            stored = _stored(job, store)
            if stored is None:
                todo[job.key] = job
            else:
                made[job.key] = stored
    found = len(made)
    for done, (job, result) in enumerate(_compile_all(list(todo.values()), threads), start=found + 1):
        made[job.key] = result
        if store is not None and isinstance(result, Binary):
            store.put(job.key, result.to_parts())
        if progress is not None:
            progress(done, found + len(todo))
    return [made[job.key] for job in wanted]


def compile_kernels(
    kernels: Iterable[KernelText],
    to: str | Target,
    *,
    store: Cache | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Binary]:
    """`compile_jobs` for one target; the first kernel that does not compile raises its error."""
    machine = target(to)
    jobs = [Job(kernel, machine) for kernel in kernels]
    return checked(compile_jobs(jobs, store=store, threads=threads, progress=progress))


def checked(results: Iterable[Binary | ExecutorError]) -> list[Binary]:
    """The binaries; raises the first error among them."""
    binaries = []
    for result in results:
        if isinstance(result, ExecutorError):
            raise result
        binaries.append(result)
    return binaries


def _stored(job: Job, store: Cache | None) -> Binary | None:
    """What the cache has for a job; None where that is no binary for it, whatever its checksum says."""
    parts = store.get(job.key) if store is not None else None
    if parts is None:
        return None
    try:
        binary = Binary.from_parts(parts)
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return binary if binary.target == job.target.name and binary.parameters == job.kernel.parameters else None


def _compile_all(jobs: list[Job], threads: int | None) -> Iterable[tuple[Job, Binary | ExecutorError]]:
    """Threads are enough: triton releases the interpreter lock in LLVM and waits for ptxas."""
    if not jobs:
        return
    from .triton_package import ready_triton

    ready_triton()
    workers = min(len(jobs), threads or os.cpu_count() or 1)
    if workers <= 1:
        yield from ((job, _attempt(job)) for job in jobs)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        running = [(job, pool.submit(_attempt, job)) for job in jobs]
        try:
            for job, future in running:
                yield job, future.result()
        finally:
            for _, future in running:
                future.cancel()


def _attempt(job: Job) -> Binary | ExecutorError:
    try:
        return _compile(job.kernel, job.target)
    except ExecutorError as error:
        return error


def compile_kernel(kernel: KernelText, to: str | Target, *, store: Cache | None = None) -> Binary:
    return compile_kernels([kernel], to, store=store)[0]
