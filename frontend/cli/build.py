"""Compile a function and write everything there is to see: the IR of every stage, Triton source, the target's binaries,
the memory plan, and a report. The folder is written as a whole or not at all."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..measures import compile_for
from ..program import Program
from . import atomic, source
from .progress import bar

HELP = "write IR, kernels, memory plan and report of a function"
EXAMPLE = "gradc build examples/logistic.py:loss --target cuda:90 -o OUT"
__doc__ = f"{__doc__}\n\n{source.SPECS}"


def arguments(sub: argparse.ArgumentParser) -> None:
    source.arguments(sub)
    sub.add_argument("-o", "--output", required=True, metavar="OUT", help="the folder to write")


def run(args: argparse.Namespace) -> int:
    program = source.program(args)
    with atomic.folder(args.output) as out:
        write(program, out)
    print(f"{args.output}: {program.name} for {program.target.name}, {len(program.kernels)} launches, "
          f"{program.bytes_moved:,} bytes moved, {program.bytes_min:,} least")
    return 0


def write(program: Program, out: Path) -> None:
    """Everything about a program, into a folder."""
    for i, (stage, text) in enumerate(program.stages.items()):
        (out / f"{i}_{stage}.mlir").write_text(text)
    kernels = out / "kernels"
    kernels.mkdir()
    distinct = {k.name: k for k in program.kernels}
    if program.target.compiles:
        compile_for(program, bar)
    for kernel in distinct.values():
        (kernels / f"{kernel.name}.py").write_text(kernel.source)
        if program.target.compiles:
            binary = kernel.binary()
            for suffix, content in (("ptx", binary.ptx), ("amdgcn", binary.amdgcn)):
                if content is not None:
                    (kernels / f"{kernel.name}.{suffix}").write_text(content)
            for suffix, data in (("cubin", binary.cubin), ("hsaco", binary.hsaco)):
                if data is not None:
                    (kernels / f"{kernel.name}.{suffix}").write_bytes(data)
    (out / "memory.json").write_text(json.dumps(program.memory.to_json(), indent=2) + "\n")
    report = program.report()
    (out / "report.txt").write_text(str(report))
    (out / atomic.MARK).write_text(json.dumps(report.to_json(), indent=2) + "\n")
