"""`prog.export(path)`: a program as one Python file that needs triton and torch only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradc.codegen.names import Names, identifier
from gradc.codegen.triton import triton_source
from gradc.ir.errors import UnsupportedError
from gradc.ir.graph import Dense, Graph, Module
from gradc.ir.types import TensorType

from .kernels import buffer_names, input_names

if TYPE_CHECKING:
    from .program import Program

HEAD = '''"""{name}: {launches} for {target}. Written by gradc; needs triton and torch.

    {call}
"""

import torch
import triton
import triton.language as tl
'''
CHECK = '''

def _given(name, tensor, shape, dtype):
    if not isinstance(tensor, torch.Tensor) or tuple(tensor.shape) != shape or tensor.dtype != dtype:
        got = f"{tuple(tensor.shape)} {tensor.dtype}" if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be a tensor of {shape} {dtype}, got {got}")
    return tensor.detach().contiguous()
'''


def export(program: Program, path: str) -> None:
    """Write the file, whole or not at all."""
    from .cli import atomic

    atomic.write(str(Path(path)), text(program))


def text(program: Program) -> str:
    """The file's text. Captured tensors are arguments after the function's own; what the function writes to is
    returned after its value."""
    name = identifier(program.name, "program")
    joint = program.joint.main
    inputs = [identifier(n, "x") for n in input_names(joint)]
    names = Names({name, "torch", "triton", "tl"})
    inputs = [names.fresh(n) for n in inputs]
    parts = []
    seen: set[str] = set()
    for module in program.modules:
        for graph in module.graphs.values():
            if graph.kind == "kernel" and graph.name not in seen:
                seen.add(graph.name)
                parts.append(_body(triton_source(graph).text, seen))
    if program.split:
        forward, backward = program.modules
        parts += [_function("forward", forward, inputs), _function("backward", backward, inputs)]
        parts.append(_split_node(name, program, inputs))
        given = ", ".join(_given(program, inputs))
        call = f"{_left_side(program, 'value')} = {name}({given})    # value.backward() works"
    else:
        parts.append(_function("value_and_grad", program.modules[0], inputs))
        scalar = program.joint.attrs.get("cotangents") == "ones"
        parts += [_joint_node(name, program, inputs)] if scalar else []
        call = f"{_left_side(program, 'value, *gradients')} = value_and_grad({', '.join(inputs)})"
    head = HEAD.format(name=name, launches=f"{len(program.kernels)} launches", target=program.target.name, call=call)
    return head + "".join(f"\n\n{p.strip()}\n" for p in [CHECK, *parts])


def _body(source: str, seen: set[str]) -> str:
    """A kernel's text without its imports, and without helpers that stand there already."""
    blocks = source.split("\n\n@triton.jit\n")
    kept = []
    for block in blocks[1:]:
        if block not in seen:
            seen.add(block)
            kept.append("@triton.jit\n" + block.strip() + "\n")
    return "\n\n".join(kept)


def _function(name: str, module: Module, arguments: list[str]) -> str:
    """The launches as a Python function from tensors to tensors."""
    main = module.main
    names = Names({name, "torch", "triton", "tl", "arena", "device", *_kernel_names(module)})
    spelt = {v: names.fresh(identifier(n, "v")) for v, n in buffer_names(main, arguments).items()}
    lines = [f"def {name}({', '.join(spelt[v] for v in main.inputs)}):"]
    for v in main.inputs:
        t: Any = main.types[v]
        lines.append(f'    {spelt[v]} = _given("{spelt[v]}", {spelt[v]}, {t.shape}, torch.{t.dtype.torch_name})')
    device = f"{spelt[main.inputs[0]]}.device" if main.inputs else '"cuda"'
    lines.append(f"    device = {device}")
    size = int(main.attrs.get("arena_bytes", 0))
    if size:
        lines.append(f"    arena = torch.empty({size}, dtype=torch.uint8, device=device)")
    for node in main.nodes:
        if node.op.name != "tile.launch":
            made = node.results[0]
            lines.append(f"    {spelt[made]} = {_constant(node.attrs['value'], main.types[made])}")
            continue
        offsets = node.attrs.get("slots") or (-1,) * len(node.results)
        donors = node.attrs.get("in_place") or (-1,) * len(node.results)
        for r, offset, donor in zip(node.results, offsets, donors, strict=True):
            over = offset < 0 <= donor
            lines.append(f"    {spelt[r]} = {spelt[node.operands[donor]] if over else _memory(main, r, offset)}")
        k = triton_source(module.graphs[node.attrs["kernel"]])
        buffers = ", ".join(spelt[v] for v in (*node.operands, *node.results))
        options = f"num_warps={k.num_warps}, num_stages={k.num_stages}, enable_fp_fusion={k.enable_fp_fusion}"
        lines.append(f"    {k.name}[{k.grid}]({buffers}, {options})")
    # Flags of checks that depend on values are for gradc's own executors, which wait for the end of a run.
    pairs = zip(main.outputs, main.output_attrs, strict=True)
    outputs = [spelt[v] for v, a in pairs if a.get("role") != "check"]
    lines.append(f"    return {', '.join(outputs)}{',' if len(outputs) == 1 else ''}")
    return "\n".join(lines) + "\n"


def _kernel_names(module: Module) -> list[str]:
    return [g.name for g in module.graphs.values() if g.kind == "kernel"]


def _memory(main: Graph, v: int, offset: int) -> str:
    t = main.types[v]
    assert isinstance(t, TensorType)
    if offset >= 0:
        return f"arena[{offset}:{offset + t.nbytes}].view(torch.{t.dtype.torch_name})"
    return f"torch.empty({t.shape}, dtype=torch.{t.dtype.torch_name}, device=device)"


def _constant(value: Any, t: Any) -> str:
    if not isinstance(value, Dense):
        raise UnsupportedError("export: a constant beside the launches that is no tensor of bytes")
    data = f'bytearray.fromhex("{value.data.hex()}")'
    return f"torch.frombuffer({data}, dtype=torch.{t.dtype.torch_name}).reshape({t.shape}).to(device)"


def _wanted(program: Program) -> dict[int, int]:
    """Input number -> position among the gradients."""
    grads = [a["of"] for a in program.joint.main.output_attrs if a.get("role") == "grad"]
    return {of: i for i, of in enumerate(grads)}


def _given(program: Program, inputs: list[str]) -> list[str]:
    """The arguments and the captured tensors, without cotangents."""
    return inputs[: len(program.signature.tensors) + len(program.signature.captured)]


def _written(program: Program) -> list[str]:
    """The names of the inputs that the function writes to."""
    names = input_names(program.joint.main)
    return [identifier(names[a["of"]], "x") for a in program.joint.main.output_attrs if a.get("role") == "write"]


def _left_side(program: Program, text: str) -> str:
    """Where the results of a call go: the new contents of what is written to come after the value."""
    value, *rest = text.split(", ")
    return ", ".join([value, *(f"new_{n}" for n in _written(program)), *rest])


def _values(program: Program) -> int:
    return sum(a.get("role") == "value" for a in program.joint.main.output_attrs)


def _joint_node(name: str, program: Program, inputs: list[str]) -> str:
    arguments = ", ".join(inputs)
    order = _wanted(program)
    grads = ", ".join(f"gradients[{order[i]}] * ct" if i in order else "None" for i in range(len(inputs)))
    left, new, others = _new(program)
    return f"""class _Node(torch.autograd.Function):
    @staticmethod
    def forward(ctx, {arguments}):
        {left}, *gradients = value_and_grad({arguments})
        ctx.save_for_backward(*gradients){new}
        return {left}

    @staticmethod
    def backward(ctx, ct{others}):
        if torch.is_grad_enabled():
            raise RuntimeError("{name} has no second derivative: its gradient cannot be taken with create_graph=True")
        gradients = ctx.saved_tensors
        return ({grads},)


def {name}({arguments}):
    return _Node.apply({arguments})
"""


def _new(program: Program) -> tuple[str, str, str]:
    """The names of the value and of what is written to, what marks the latter, and a parameter for their cotangents."""
    new = ", ".join(f"new_{n}" for n in _written(program))
    if not new:
        return "value", "", ""
    return f"value, {new}", f"\n        ctx.mark_non_differentiable({new})", ", *unused"


def _split_node(name: str, program: Program, inputs: list[str]) -> str:
    inputs = _given(program, inputs)
    arguments = ", ".join(inputs)
    n, written = _values(program), len(_written(program))
    new = f"\n        ctx.mark_non_differentiable(*results[{n}:{n + written}])" if written else ""
    order = _wanted(program)
    handed = "".join(f"{inputs[i]}, " for i in program.modules[1].main.attrs["handed"])
    grads = ", ".join(f"gradients[{order[i]}]" if i in order else "None" for i in range(len(inputs)))
    return f"""class _Node(torch.autograd.Function):
    @staticmethod
    def forward(ctx, {arguments}):
        results = forward({arguments})
        ctx.save_for_backward({handed}*results[{n + written}:]){new}
        return {"results[0]" if n + written == 1 else f"results[:{n + written}]"}

    @staticmethod
    def backward(ctx, *cts):
        if torch.is_grad_enabled():
            raise RuntimeError("{name} has no second derivative: its gradient cannot be taken with create_graph=True")
        gradients = backward(*cts[:{n}], *ctx.saved_tensors)
        return ({grads},)


def {name}({arguments}):
    return _Node.apply({arguments})
"""
