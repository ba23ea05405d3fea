"""Benchmarks that are run from the checkout, gradc installed or not.

    python -m benchmarks gpu                   # on a machine with an NVIDIA GPU: checks, then times, within 9 minutes
    python -m benchmarks gpu --minutes 4 --only checks,"layer norm"
    python -m benchmarks warm                  # CPU time of builds in fresh processes that find all binaries
"""

from __future__ import annotations

import argparse
import sys

from . import checkout


def main(argv: list[str] | None = None) -> int:
    checkout.use()
    from . import gpu, warm

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in (("gpu", gpu), ("warm", warm)):
        as_written = argparse.RawDescriptionHelpFormatter
        command.arguments(commands.add_parser(name, help=command.HELP, description=command.__doc__,
                                              formatter_class=as_written))  # fmt: skip
        commands.choices[name].set_defaults(run=command.run)
    args = parser.parse_args(argv)
    return int(args.run(args))


if __name__ == "__main__":
    sys.exit(main())
