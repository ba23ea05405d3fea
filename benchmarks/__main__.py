"""Benchmarks that are run from the checkout, gradc installed or not.

    python -m benchmarks gpu                   # on a machine with an NVIDIA GPU: checks, then times, within 9 minutes
    python -m benchmarks gpu --minutes 4 --only checks,"layer norm"
"""

from __future__ import annotations

import argparse
import sys

from . import checkout


def main(argv: list[str] | None = None) -> int:
    checkout.use()
    from . import gpu

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    gpu.arguments(commands.add_parser("gpu", help=gpu.HELP, description=gpu.__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter))
    args = parser.parse_args(argv)
    return gpu.run(args)


if __name__ == "__main__":
    sys.exit(main())
