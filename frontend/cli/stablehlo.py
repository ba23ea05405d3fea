"""Write a program, value and gradients, as StableHLO text. The program is a function or an IR file."""

from __future__ import annotations

import argparse

from gradc.codegen.stablehlo import STATES, stablehlo_text
from gradc.ir.errors import GradValueError
from gradc.passes.pipeline import PIPELINE, run_pipeline

from . import atomic, source, text

HELP = "write a function's program as StableHLO"
EXAMPLE = "gradc stablehlo examples/logistic.py:loss -o loss.mlir"
__doc__ = f"{__doc__}\n\n{source.SPECS}"


def arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("function", metavar="WHAT", help="FILE.py:FUNCTION, or FILE.mlir before its kernels are made")
    source.options(sub)
    sub.add_argument("-o", "--output", metavar="FILE", help="write the text here instead of stdout")


def run(args: argparse.Namespace) -> int:
    is_text = args.function == "-" or args.function.endswith(".mlir")
    module = text.read(args.function) if is_text else source.program(args).joint
    rows = [r for r in PIPELINE if r.name in ("inline", "adjoint", "decompose")]
    if module.state not in STATES:
        start = next((i for i, r in enumerate(rows) if module.state in r.needs), None)
        if start is None:
            raise GradValueError(f"{args.function} is at state {module.state!r}: its operations are in kernels already")
        module = run_pipeline(module, rows[start:]).module
    out = stablehlo_text(module)
    if args.output:
        atomic.write(args.output, out)
    else:
        print(out, end="")
    return 0
