"""Compare two programs by what they compute and how: names of values, the order of independent operations and source
locations do not show.

OLD and NEW are two IR files at the same state, two folders that `gradc build` wrote, or two FILE.py:FUNCTION (with the
options below). Exit code 0: no difference; 1: there are differences, which are printed; 2: they cannot be compared."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gradc.ir.errors import GradcError, GradValueError
from gradc.ir.graph import Module
from gradc.passes.diff_ops import Change
from gradc.passes.semantic_diff import compare

from . import source, text

HELP = "compare two programs by meaning"
EXAMPLE = "gradc diff OLD/2_simplified.mlir NEW/2_simplified.mlir"


def arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("old", metavar="OLD", help="an IR file, a folder that gradc build wrote, or FILE.py:FUNCTION")
    sub.add_argument("new", metavar="NEW", help="the same sort of thing")
    sub.add_argument("--json", action="store_true", help="as JSON")
    source.options(sub)


def run(args: argparse.Namespace) -> int:
    try:
        pairs = stages(args)
        found = {state: compare(old, new) for state, (old, new) in pairs.items()}
    except (GradcError, OSError, UnicodeDecodeError) as e:
        if args.traceback:
            raise
        print(f"gradc diff: error: {e}", file=sys.stderr)
        return 2
    differ = any(found.values())
    if args.json:
        data = [{"state": state, "changes": [c.to_json() for c in changes]} for state, changes in found.items()]
        print(json.dumps({"equal": not differ, "stages": data}, indent=2))
    else:
        print("\n".join(lines(found)))
    return int(differ)


def lines(found: dict[str, list[Change]]) -> list[str]:
    """The text: a heading per state that differs, and the states that do not on one line. What an earlier state says in
    the same words is not said again."""
    if not any(found.values()):
        return ["the two modules compute the same" if len(found) == 1 else "the two programs compute the same"]
    out = []
    said: set[str] = set()
    same = [state for state, changes in found.items() if not changes]
    for state, changes in found.items():
        new = [c.text for c in changes if c.text not in said]
        said.update(new)
        if new:
            out += [f"{state}:", *(f"  {line}" for line in new)]
    return [*out, f"equal: {', '.join(same)}"] if same else out


def stages(args: argparse.Namespace) -> dict[str, tuple[Module, Module]]:
    """The modules to compare, by state."""
    old, new = modules(args, args.old), modules(args, args.new)
    common = [state for state in old if state in new and not (state == "scheduled" and "planned" in old)]
    if not common:
        raise GradValueError(f"{args.old} is at state {', '.join(old)}, {args.new} at {', '.join(new)}")
    return {state: (old[state], new[state]) for state in common}


def modules(args: argparse.Namespace, which: str) -> dict[str, Module]:
    """Every state of a program that an argument names."""
    path = Path(which)
    if path.is_dir():
        found = [text.read(str(f)) for f in sorted(path.glob("*.mlir"))]
        if not found:
            raise GradValueError(f"{which} holds no .mlir file", hint="name a folder that gradc build wrote")
        return {m.state: m for m in found}
    if ".py:" in which and not path.exists():
        return dict(source.program(argparse.Namespace(**{**vars(args), "function": which})).stages.modules)
    module = text.read(which)
    return {module.state: module}
