"""Facts about compiled kernels, read from their text and binaries: registers, spilled bytes, widths of global accesses.

No GPU and no import of triton is needed: `cuobjdump` and `nvdisasm` lie inside its wheel.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from gradc.ir.errors import ExecutorError

from .facts import Facts
from .instructions import amdgcn_instructions, ptx_instructions

_PTX = re.compile(r"\b(ld|st|atom|red)\.(?:\w+(?:::\w+)*\.)*?global(?:\.\w+(?:::\w+)*)*?(?:\.v([248]))?\.[a-z]+(\d+)\b")
_PTX_COPY = re.compile(r"\bcp\.async\.c[ag]\.shared\.global\b[^;]*?,\s*(0x[0-9a-fA-F]+|\d+)\s*[,;]")
_SASS = re.compile(r"\b(LDG|STG|LDGSTS|ATOMG|REDG?)\b((?:\.\w+)*)")
_AMD = re.compile(r"^\s*(?:global|buffer|flat)_(load|store|atomic)_(\w+)", re.MULTILINE)
_AMD_WIDTHS = tuple(
    (re.compile(pattern), width)
    for pattern, width in (
        ("dwordx4|b128", 128),
        ("dwordx3|b96", 96),
        ("dwordx2|b64|x2|[uif]64", 64),
        ("byte|[uib]8", 8),
        ("short|[uib]16", 16),
    )
)
_SASS_WIDTHS = {"256": 256, "128": 128, "64": 64, "U16": 16, "S16": 16, "U8": 8, "S8": 8}


def ptx_accesses(text: str) -> tuple[dict[int, int], dict[int, int]]:
    """Widths of the loads and stores of global memory in PTX text; atomics count as stores."""
    loads: Counter[int] = Counter()
    stores: Counter[int] = Counter()
    for kind, vector, bits in _PTX.findall(text):
        (loads if kind == "ld" else stores)[int(vector or 1) * int(bits)] += 1
    for size in _PTX_COPY.findall(text):
        loads[int(size, 0) * 8] += 1
    return dict(sorted(loads.items())), dict(sorted(stores.items()))


def sass_accesses(text: str) -> tuple[dict[int, int], dict[int, int]]:
    """The same from SASS, which is what the chip runs."""
    loads: Counter[int] = Counter()
    stores: Counter[int] = Counter()
    for kind, suffix in _SASS.findall(text):
        parts = suffix.split(".")
        width = next((w for part, w in _SASS_WIDTHS.items() if part in parts), 32)
        (loads if kind in ("LDG", "LDGSTS") else stores)[width] += 1
    return dict(sorted(loads.items())), dict(sorted(stores.items()))


def amdgcn_accesses(text: str) -> tuple[dict[int, int], dict[int, int]]:
    """The same from AMD's assembly, in the spelling of gfx9 (dwordx4) and of gfx11 (b128)."""
    loads: Counter[int] = Counter()
    stores: Counter[int] = Counter()
    for kind, rest in _AMD.findall(text):
        width = next((w for pattern, w in _AMD_WIDTHS if pattern.search(rest)), 32)
        (loads if kind == "load" else stores)[width] += 1
    return dict(sorted(loads.items())), dict(sorted(stores.items()))


@cache
def tool(name: str) -> Path:
    """A program of NVIDIA's inside the triton wheel."""
    spec = find_spec("triton")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place) / "backends" / "nvidia" / "bin" / name
        if path.exists():
            return path
    raise ExecutorError(f"{name} was not found: it is part of the triton package, which is not installed here")


def _output(name: str, *flags: str, cubin: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        run = subprocess.run([tool(name), *flags, file.name], capture_output=True, text=True, check=False)
    if run.returncode:
        raise ExecutorError(f"{name} cannot read the binary: {run.stderr.strip() or run.stdout.strip()}")
    return run.stdout


def sass(cubin: bytes) -> str:
    """The disassembly of a cubin; takes up to a second."""
    return _output("nvdisasm", "-c", cubin=cubin)


def cuda_facts(ptx: str, cubin: bytes) -> Facts:
    usage = _output("cuobjdump", "--dump-resource-usage", cubin=cubin)
    registers, stack = re.search(r"\bREG:(\d+)", usage), re.search(r"\bSTACK:(\d+)", usage)
    if registers is None or stack is None:
        raise ExecutorError(f"cuobjdump names no registers: {usage.strip()!r}")
    loads, stores = ptx_accesses(ptx)
    return Facts(int(registers[1]), int(stack[1]), loads, stores, ptx_instructions(ptx))


def hip_facts(amdgcn: str) -> Facts:
    registers = re.search(r"\.vgpr_count:\s+(\d+)", amdgcn)
    stack = re.search(r"\.private_segment_fixed_size:\s+(\d+)", amdgcn)
    if registers is None or stack is None:
        raise ExecutorError("the amdgcn text names no registers: its metadata lacks .vgpr_count")
    loads, stores = amdgcn_accesses(amdgcn)
    return Facts(int(registers[1]), int(stack[1]), loads, stores, amdgcn_instructions(amdgcn))
