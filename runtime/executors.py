"""The executors of planned programs: launches over numbered buffers, by tiled kernels, interpreted text or a GPU.

Buffer 0 is the arena; the others are arguments, constants and results. Results of a run are new arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gradc.codegen.triton import triton_source
from gradc.ir.errors import ExecutorError
from gradc.ir.graph import Graph, Module, Node
from gradc.ir.interpret import run_module, run_node
from gradc.ir.plan import ALIGN
from gradc.ir.types import TensorType

from .launch import KernelText, Launch, Pointer

Array: TypeAlias = np.ndarray[Any, Any]
Runner: TypeAlias = Callable[[Sequence[Array]], list[Array]]


def kernel_text(kernel: Graph) -> KernelText:
    """The Triton text of a kernel, with what a compiler is told about it."""
    k = triton_source(kernel)
    return KernelText(
        k.text, k.name, k.signature, k.constexprs, k.divisible, k.num_warps, k.num_stages, k.enable_fp_fusion
    )


class Step(NamedTuple):
    """One launch and the numbers and byte offsets of its buffers, those it reads first."""

    node: Node
    kernel: Graph
    pointers: tuple[Pointer, ...]

    def shared(self) -> list[bool]:
        """For each buffer whether it shares memory with another one, and one of the two is written. What the caller
        gives is written only where it is donated, and all other buffers are memory of their own."""
        kinds = [self.kernel.types[v] for v in self.kernel.inputs]
        spans = [(p.buffer, p.offset, p.offset + t.nbytes) for p, t in zip(self.pointers, kinds, strict=True)]  # type: ignore[union-attr]
        out = [False] * len(spans)
        for w in range(len(self.node.operands), len(spans)):
            for k, (buffer, start, end) in enumerate(spans):
                if k != w and buffer == spans[w][0] and start < spans[w][2] and spans[w][1] < end:
                    out[k] = out[w] = True
        return out


class Plan:
    """A planned module laid out over buffers."""

    def __init__(self, module: Module) -> None:
        if module.state != "planned":
            raise ExecutorError(f"an executor of kernels runs a module at state planned, got {module.state}")
        main = self.main = module.main
        self.arena_bytes = int(main.attrs.get("arena_bytes", 0))
        self.types: list[TensorType | None] = [None]
        self.constants: dict[int, Array] = {}
        self.steps: list[Step] = []
        self.donated: set[int] = set()
        """Buffers of arguments that results take over."""
        at: dict[int, Pointer] = {v: self._buffer(main, v) for v in main.inputs}
        self.inputs = [at[v].buffer for v in main.inputs]
        for node in main.nodes:
            if node.op.name != "tile.launch":
                if node.operands:
                    raise ExecutorError(f"{node.op.name} stands beside the launches of {main.name} and cannot be run")
                for r, value in zip(node.results, run_node(main, node, []), strict=True):
                    at[r] = self._buffer(main, r)
                    self.constants[at[r].buffer] = np.ascontiguousarray(value)
                continue
            offsets = node.attrs.get("slots") or (-1,) * len(node.results)
            donors = node.attrs.get("in_place") or (-1,) * len(node.results)
            for r, offset, donor in zip(node.results, offsets, donors, strict=True):
                if offset < 0 <= donor:
                    at[r] = at[node.operands[donor]]
                    self.donated.add(at[r].buffer)
                else:
                    at[r] = Pointer(0, offset) if offset >= 0 else self._buffer(main, r)
            pointers = tuple(at[v] for v in (*node.operands, *node.results))
            self.steps.append(Step(node, module.graphs[node.attrs["kernel"]], pointers))
        self.outputs = [at[v].buffer for v in main.outputs]
        given = {0, *self.inputs, *self.constants}
        self.made = [(i, t) for i, t in enumerate(self.types) if t is not None and i not in given]

    def _buffer(self, main: Graph, v: int) -> Pointer:
        t = main.types[v]
        assert isinstance(t, TensorType)
        self.types.append(t)
        return Pointer(len(self.types) - 1)

    def buffers(self, arrays: Sequence[Array]) -> list[Array]:
        """The buffers of one run: the arena and the results are new memory, but for what donated arguments give."""
        out: list[Any] = [None] * len(self.types)
        for i, a in zip(self.inputs, arrays, strict=True):
            t = self.types[i]
            assert t is not None
            out[i] = a if a.flags.c_contiguous and a.shape == t.shape else np.ascontiguousarray(a).reshape(t.shape)
        for i in self.donated:
            out[i] = out[i] if out[i].flags.writeable else out[i].copy()
        for i, a in self.constants.items():
            out[i] = a
        out[0] = aligned(self.arena_bytes)
        for i, t in self.made:
            out[i] = np.ndarray(t.shape, t.dtype.numpy, aligned(t.nbytes))
        return out

    def results(self, buffers: Sequence[Array]) -> list[Array]:
        return [buffers[i] for i in self.outputs]


def aligned(nbytes: int) -> Array:
    """New bytes at an address that is a multiple of ALIGN."""
    raw = np.empty(nbytes + ALIGN, np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGN
    return raw[start : start + nbytes]


def reference(module: Module) -> Runner:
    """Op by op, NumPy."""
    return lambda arrays: run_module(module, list(arrays))


def tiled(module: Module) -> Runner:
    """The kernels as NumPy code, in the order of the GPU's programs."""
    from .tiled import Memory, TiledKernel, tiled_kernel

    plan = Plan(module)
    kernels: dict[str, TiledKernel] = {}
    for step in plan.steps:
        if step.kernel.name not in kernels:
            kernels[step.kernel.name] = tiled_kernel(step.kernel)
    steps = [(kernels[step.kernel.name], step.pointers, step.shared()) for step in plan.steps]

    def run(arrays: Sequence[Array]) -> list[Array]:
        buffers = plan.buffers(arrays)
        for kernel, pointers, shared in steps:
            views = [
                _view(buffers[p.buffer], p.offset, t.numel, t.dtype.numpy)
                for p, t in zip(pointers, kernel.buffers, strict=True)
            ]
            kernel.launch(Memory(views, shared))
        return plan.results(buffers)

    return run


def _view(buffer: Array, offset: int, numel: int, dtype: Any) -> Array:
    """`numel` elements of a buffer from a byte offset on."""
    flat = buffer.reshape(-1)
    if flat.dtype == dtype and not offset:
        return flat
    return flat.view(np.uint8)[offset : offset + numel * np.dtype(dtype).itemsize].view(dtype)


def _launches(plan: Plan) -> list[Launch]:
    texts: dict[str, KernelText] = {}
    out = []
    for step in plan.steps:
        if step.kernel.name not in texts:
            texts[step.kernel.name] = kernel_text(step.kernel)
        grid = triton_source(step.kernel).grid
        out.append(Launch(texts[step.kernel.name], grid, step.pointers))
    return out


def triton_interpreter(module: Module) -> Runner:
    """The emitted text under Triton's interpreter, in a warm child process."""
    from .worker import shared_worker

    plan = Plan(module)
    launches = _launches(plan)

    def run(arrays: Sequence[Array]) -> list[Array]:
        buffers = plan.buffers(arrays)
        shared_worker().run([b.view() if b.flags.writeable else b for b in buffers], launches)
        return plan.results(buffers)

    return run


class OnDevice:
    """A planned module with compiled kernels and memory on the first GPU."""

    def __init__(self, module: Module) -> None:
        from .cache import Cache
        from .compile import compile_kernels
        from .cuda import device
        from .cuda_launch import CudaProgram, DeviceBuffers

        gpu = device()
        plan = self.plan = Plan(module)
        launches = _launches(plan)
        binaries = compile_kernels([x.kernel for x in launches], gpu.target, store=Cache())
        program = CudaProgram(gpu, launches, binaries)
        self.held = DeviceBuffers(program, [plan.arena_bytes, *(t.nbytes for t in plan.types[1:] if t is not None)])
        self.held.fill(plan.constants)
        kept = {*plan.inputs, *plan.constants} - plan.donated
        self._made = {i for i in plan.outputs if i not in kept}

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """One run; arrays travel there and back."""
        buffers = self.plan.buffers(arrays)
        self.held.run({i: buffers[i] for i in self.plan.inputs}, {i: buffers[i] for i in self._made})
        return self.plan.results(buffers)


EXECUTORS: dict[str, Callable[[Module], Runner]] = {
    "reference": reference,
    "tiled": tiled,
    "triton-interpreter": triton_interpreter,
    "cuda": OnDevice,
}


def check_executor(name: str) -> str:
    """The name itself; raises ExecutorError for one that does not exist."""
    if name not in EXECUTORS:
        raise ExecutorError(f"unknown executor {name!r}", hint=f"one of {', '.join(EXECUTORS)}")
    return name
