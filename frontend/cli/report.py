"""Print the report of a function's program: launches with their bytes, memory plan, remarks."""

from __future__ import annotations

import argparse
import json

from ..measures import compile_for
from . import source
from .progress import bar

HELP = "print kernels, bytes, memory and remarks of a function"
EXAMPLE = "gradc report examples/logistic.py:loss --target cuda:90 --binaries"
__doc__ = f"{__doc__}\n\n{source.SPECS}"


def arguments(sub: argparse.ArgumentParser) -> None:
    source.arguments(sub)
    sub.add_argument("--json", action="store_true", help="as JSON")
    sub.add_argument("--binaries", action="store_true", help="compile for the target and show what came of it")


def run(args: argparse.Namespace) -> int:
    program = source.program(args)
    if args.binaries:
        compile_for(program, bar)
    report = program.report()
    print(json.dumps(report.to_json(), indent=2) if args.json else str(report), end="\n" if args.json else "")
    return 0
