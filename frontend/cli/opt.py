"""Run passes on IR text, as mlir-opt does: read a module, run a pipeline, print the result.

A file that starts with `// gradc-reproducer: OPTIONS` runs with those options, unless a pipeline is given."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from gradc.ir.errors import GradcError, GradRuntimeError
from gradc.ir.graph import Module
from gradc.ir.laws import verify
from gradc.passes.pipeline import PIPELINE, Pass, parse_pipeline, run_pipeline
from gradc.passes.reproducer import options_of, reproducer, rest_of

from . import atomic, text
from .timing import Timing

HELP = "run passes on IR text"
EXAMPLE = 'gradc opt OUT/0_traced.mlir --pass-pipeline="inline,adjoint,decompose,simplify,cse,dce" --timing'
_ROWS = ", ".join(p.name + ("{" + " ".join(f"{o}=..." for o in p.options) + "}" if p.options else "") for p in PIPELINE)
__doc__ = f"{__doc__}\n\nPasses: {_ROWS}."


def boolean(value: str) -> bool:
    """The value of `--locations=false`."""
    known = {"true": True, "1": True, "false": False, "0": False}
    if value not in known:
        raise argparse.ArgumentTypeError(f"expected true or false, got {value!r}")
    return known[value]


def switch(sub: argparse.ArgumentParser, name: str, help_: str) -> None:
    """An option that is on by default: --NAME=false and --no-NAME turn it off."""
    to = name.replace("-", "_")
    sub.add_argument(f"--{name}", nargs="?", type=boolean, const=True, default=True, metavar="BOOL", help=help_)
    sub.add_argument(f"--no-{name}", dest=to, action="store_false", help=argparse.SUPPRESS)


def arguments(sub: argparse.ArgumentParser) -> None:
    names = [p.name for p in PIPELINE]
    sub.add_argument("file", nargs="?", default="-", metavar="FILE.mlir", help="the module (default: stdin)")
    sub.add_argument("--pass-pipeline", metavar="PASSES", help='as "adjoint{cotangents=inputs},decompose,simplify"')
    switch(sub, "verify-each", "check the laws of the IR after each pass (default true)")
    for when in ("before", "after"):
        option = f"--print-ir-{when}"
        sub.add_argument(option, choices=names, action="append", default=[], metavar="PASS",
                         help=f"print the IR {when} this pass, to stderr")  # fmt: skip
        sub.add_argument(f"{option}-all", action="store_true", help=f"print the IR {when} every pass")
    sub.add_argument("--print-ir-after-change", action="store_true", help="only after passes that changed something")
    sub.add_argument("--print-ir-tree-dir", metavar="DIR", help="write the IR after every pass into DIR/NAME/")
    sub.add_argument("--timing", action="store_true", help="print seconds and nodes in and out per pass")
    sub.add_argument("--remarks", action="store_true", help="print the remarks of the passes, to stderr")
    sub.add_argument("--check-numerics", action="store_true",
                     help="compare what the interpreter computes before and after each pass")  # fmt: skip
    sub.add_argument("--reproducer", metavar="FILE", help="on failure write the IR before the pass and what to run")
    sub.add_argument("--generic", action="store_true", help="print MLIR's generic form")
    switch(sub, "locations", "print locations (default true)")
    sub.add_argument("-o", "--output", metavar="FILE.mlir", help="write the result here instead of stdout")


def run(args: argparse.Namespace) -> int:
    timing = Timing()
    with timing.part("Parser"):
        source = text.source(args.file)
        module = text.parsed(source, args.file)
    if args.pass_pipeline is None:
        args = _with(args, source)
    result = _Run(args, timing).all(module)
    with timing.part("Output"):
        out = result.to_text(generic=args.generic, locations=args.locations)
    if args.output:
        atomic.write(args.output, out)
    else:
        print(out, end="", flush=True)
    if args.timing:
        print(timing, end="", file=sys.stderr)
    return 0


def _with(args: argparse.Namespace, source: str) -> argparse.Namespace:
    """The command line's options, and those of a reproducer."""
    sub = argparse.ArgumentParser(prog="gradc opt", add_help=False, exit_on_error=False)
    arguments(sub)
    try:
        own, unknown = sub.parse_known_args(options_of(source))
    except (argparse.ArgumentError, SystemExit, ValueError) as e:
        raise GradRuntimeError(f"{args.file}: its reproducer line cannot be read: {e}") from None
    if unknown:
        raise GradRuntimeError(f"{args.file}: its reproducer line has the unknown option {unknown[0]!r}")
    defaults = {k: sub.get_default(k) for k in vars(own)}
    chosen = {k: v for k, v in vars(own).items() if k != "file" and v != defaults[k]}
    return argparse.Namespace(**{**vars(args), **chosen})


class _Run:
    """One pipeline over one module, with everything that is printed and written on the way."""

    def __init__(self, args: argparse.Namespace, timing: Timing) -> None:
        self.args, self.timing = args, timing
        self.pipeline: str = args.pass_pipeline or ""
        self.rows = parse_pipeline(self.pipeline)

    def all(self, module: Module) -> Module:
        checker = None
        if self.args.check_numerics:
            from gradc.passes.numerics import Checker

            checker = Checker()
        for i, row in enumerate(self.rows):
            self._print(row, "Before", module, row.name in self.args.print_ir_before or self.args.print_ir_before_all)
            out = self._one(i, row, module)
            self._after(i, row, module, out)
            if checker is not None:
                with self.timing.part("(numerics)"):
                    finding = checker.check(row, module, out)
                if finding is not None:
                    note = self._write(finding.reduced, row.name, str(finding), ["--check-numerics"], self._default())
                    raise GradRuntimeError(f"{finding}{note}")
            module = out
        return module

    def _one(self, i: int, row: Pass, module: Module) -> Module:
        """One pass, timed and verified; a failure names the pass and leaves a reproducer where asked."""
        try:
            start = time.perf_counter()
            result = run_pipeline(module, [row])
            self.timing.add_pass(row.name, time.perf_counter() - start, module, result.module)
            if self.args.verify_each:
                with self.timing.part("(verifier)"):
                    verify(result.module)
        except Exception as e:
            known = isinstance(e, GradcError)
            said = str(e).removeprefix(f"pass {row.name} ") if known else f"crashed with {type(e).__name__}: {e}"
            rest = rest_of(self.pipeline, i)
            note = self._write(module, rest, f"pass {row.name}: {said}", [], None)
            raise GradRuntimeError(f"pass {row.name}: {said}{note}") from e
        if self.args.remarks:
            for remark in result.remarks:
                print(remark, file=sys.stderr)
        return result.module

    def _after(self, i: int, row: Pass, before: Module, out: Module) -> None:
        args = self.args
        wanted = row.name in args.print_ir_after or args.print_ir_after_all
        if args.print_ir_after_change:
            wanted = wanted or str(before) != str(out)
        self._print(row, "After", out, wanted)
        if args.print_ir_tree_dir:
            path = Path(args.print_ir_tree_dir) / "".join(c if c.isalnum() else "_" for c in out.entry)
            dump = out.to_text(generic=args.generic, locations=args.locations)
            atomic.write(str(path / f"{i}_{row.name}.mlir"), dump)

    def _print(self, row: Pass, when: str, module: Module, wanted: bool) -> None:
        if wanted:
            print(f"// -----// IR Dump {when} {row.name} //----- //", file=sys.stderr)
            print(module.to_text(generic=self.args.generic, locations=self.args.locations), end="", file=sys.stderr)

    def _default(self) -> str:
        """Where a numeric mismatch is written if no file was named."""
        stem = "stdin" if self.args.file == "-" else Path(self.args.file).stem.removesuffix(".reproducer")
        return f"{stem}.reproducer.mlir"

    def _write(self, module: Module, pipeline: str, note: str, options: list[str], default: str | None) -> str:
        file = self.args.reproducer or default
        if file is None:
            return ""
        if not self.args.verify_each:
            options = [*options, "--no-verify-each"]
        atomic.write(file, reproducer(module, pipeline, options, note))
        return f"\n  reproducer: gradc opt {file}"
