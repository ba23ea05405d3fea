"""The command `gradc`. Exit codes: 0 all is well, 1 the input is wrong, 2 the command line is wrong."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence

from gradc.ir.errors import GradcError

from . import build, diff, explain, matrix, opt, report, run, stablehlo, verify, view

COMMANDS = (build, run, report, matrix, explain, opt, verify, diff, view, stablehlo)


class _Parser(argparse.ArgumentParser):
    """Usage errors exit with 2, as argparse does; the text names the command that would help."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    top = _Parser(prog="gradc", description="Compile gradient graphs and look into them.")
    top.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        sub = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(sub)
        sub.set_defaults(run=module.run)
        sub.add_argument("--traceback", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    try:
        args = parser().parse_args(argv)
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else 2
    try:
        code: int = args.run(args)
        return code
    except BrokenPipeError:
        return 0
    except (GradcError, OSError, UnicodeDecodeError) as e:
        if args.traceback:
            traceback.print_exc()
        print(f"gradc {args.command}: error: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    except Exception as e:  # noqa: BLE001
        # A fault of gradc's own: still one line, and the place on request.
        if args.traceback:
            traceback.print_exc()
        fault = f"internal error: {type(e).__name__}: {e} (--traceback shows where)"
        print(f"gradc {args.command}: {fault}", file=sys.stderr)
        return 1
