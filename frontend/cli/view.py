"""Write one self-contained HTML page that shows a program from trace to memory plan: the graph after every pass with
what the pass changed, kernels with their source, the arena over the launches, and the remarks. The program is a
function, an IR file, or a folder that `gradc build` wrote."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from gradc.ir.errors import GradValueError
from gradc.ir.graph import Module
from gradc.runtime.target import Target
from gradc.runtime.target import target as find_target

from . import atomic, source, text

HELP = "write an HTML page of a function's program"
EXAMPLE = "gradc view examples/logistic.py:loss --target cuda:90 -o loss.html"
__doc__ = f"{__doc__}\n\n{source.SPECS}"


def arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("function", metavar="WHAT", help="FILE.py:FUNCTION, FILE.mlir or the folder of a build")
    source.options(sub)
    sub.set_defaults(target=None)
    sub.add_argument("-o", "--output", metavar="FILE.html", help="the page to write (default: NAME.html)")


def run(args: argparse.Namespace) -> int:
    from ..view import page

    module, target, folders = subject(args)
    out = args.output or f"{Path(module.entry).name}.html"
    atomic.write(out, page(module, target, split=args.split, folders=folders))
    print(f"{out}: {module.entry} for {target.name}")
    return 0


def subject(args: argparse.Namespace) -> tuple[Module, Target, list[Path]]:
    """The module to show, its target, and the folders whose Python files may be quoted."""
    given = args.function
    here = Path.cwd()
    if Path(given).is_dir():
        first = Path(given) / "0_traced.mlir"
        if not first.is_file():
            raise GradValueError(f"{given} is not a folder that `gradc build` wrote", hint="it has no 0_traced.mlir")
        return text.read(str(first)), find_target(args.target or _built_for(Path(given))), [here]
    args.target = args.target or "cpu"
    if given == "-" or given.endswith(".mlir"):
        return text.read(given), find_target(args.target), [here]
    program = source.program(args)
    return program.stages.modules["traced"], program.target, [here, Path(given.rpartition(":")[0]).absolute().parent]


def _built_for(folder: Path) -> str:
    """The target that the build in a folder names."""
    try:
        name = json.loads((folder / "report.json").read_text(encoding="utf-8"))["target"]
    except (OSError, ValueError, KeyError, TypeError):
        return "cpu"
    return name if isinstance(name, str) else "cpu"
