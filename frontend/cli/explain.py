"""Say why: what each launch computes, why two operations were not fused, what cut a gradient off, and what is saved."""

from __future__ import annotations

import argparse
import json

from gradc.passes.remarks import KINDS

from ..explanation import Explanation
from . import source

HELP = "say what was fused, what was not, what was cut, and why"
EXAMPLE = "gradc explain examples/logistic.py:loss --kind not-fused"
__doc__ = f"{__doc__}\n\n{source.SPECS}"


def arguments(sub: argparse.ArgumentParser) -> None:
    source.arguments(sub)
    sub.add_argument("--kind", choices=KINDS, action="append", help="only remarks of this kind (may be given again)")
    sub.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    explanation = Explanation(source.program(args), tuple(args.kind or ()))
    if args.json:
        print(json.dumps(explanation.to_json(), indent=2))
    else:
        print(explanation, end="")
    return 0
