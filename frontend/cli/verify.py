"""Parse IR files and check the laws of the IR. Prints one line per file; the exit code is 1 if any is wrong."""

from __future__ import annotations

import argparse
import sys

from gradc.ir.errors import GradcError, ParseError

from . import text

HELP = "check IR files"
EXAMPLE = "gradc verify OUT/*.mlir"


def arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("files", nargs="+", metavar="FILE.mlir", help='an IR file, or "-" for stdin')


def run(args: argparse.Namespace) -> int:
    wrong = 0
    for file in args.files:
        try:
            module = text.read(file)
        except (GradcError, OSError, UnicodeDecodeError) as e:
            print(e if isinstance(e, ParseError) else f"{file}: {e}", file=sys.stderr)
            wrong = 1
            continue
        nodes = sum(len(g.nodes) for g in module.graphs.values())
        print(f"{file}: {module.state}, {len(module.graphs)} functions, {nodes} operations, correct")
    return wrong
