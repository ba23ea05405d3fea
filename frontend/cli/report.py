"""Print the report of a function's program: launches with their bytes, memory plan, remarks."""

from __future__ import annotations

import argparse
import json

from . import source

HELP = "print kernels, bytes, memory and remarks of a function"
EXAMPLE = "gradc report examples/logistic.py:loss --target cuda:90 --binaries"
__doc__ = f"{__doc__}\n\n{source.SPECS}"


def arguments(sub: argparse.ArgumentParser) -> None:
    source.arguments(sub)
    sub.add_argument("--json", action="store_true", help="as JSON")
    sub.add_argument("--binaries", action="store_true", help="compile for the target and show registers and widths")


def run(args: argparse.Namespace) -> int:
    program = source.program(args)
    if args.binaries:
        for kernel in program.kernels:
            kernel.binary()
    report = program.report()
    print(json.dumps(report.to_json(), indent=2) if args.json else str(report), end="\n" if args.json else "")
    return 0
