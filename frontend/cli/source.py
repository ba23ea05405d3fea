"""From `FILE.py:FUNCTION` on a command line to a built program.

The types of the arguments come from, in this order: `--arg` options, the attribute `specs` of the function, and the
entry of the function in the file's table `gradc_args`. A spec is written "f32[569,30]"; a `!` after it asks for the
gradient of that argument: "f32[30]!".
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from gradc.ir.errors import GradcError, GradValueError

from ..builder import build
from ..interop import is_array
from ..program import Program
from ..specs import Spec, spec

SPECS = """The types of the arguments come from --arg options ("f32[569,30]"; "f32[30]!" asks for the gradient),
else from the function's attribute `specs`, else from the file's table `gradc_args = {"FUNCTION": [spec, ...]}`.
"""


def arguments(sub: argparse.ArgumentParser) -> None:
    """What every command that builds takes."""
    sub.add_argument("function", metavar="FILE.py:FUNCTION", help="the function to compile")
    options(sub)


def options(sub: argparse.ArgumentParser) -> None:
    """How a function is built."""
    sub.add_argument(
        "--arg", action="append", default=[], metavar="SPEC", help='one argument\'s type, as "f32[30]" or "f32[30]!"'
    )
    sub.add_argument("--target", default="cpu", help="cuda:80, cuda:90, cuda:100, hip:gfx942, cpu, ... (default cpu)")
    sub.add_argument("--name", help="the program's name (default: the function's)")
    sub.add_argument("--split", action="store_true", help="a forward and a backward program instead of a joint one")
    sub.add_argument("--cotangent", metavar="SPEC", help="the incoming gradient's type, where the value is no scalar")


def program(args: argparse.Namespace) -> Program:
    """Build what the command line names."""
    file, _, name = args.function.rpartition(":")
    if not file or not name:
        raise GradValueError(f"expected FILE.py:FUNCTION, got {args.function!r}")
    module = load(file)
    fn = getattr(module, name, None)
    if fn is None:
        known = ", ".join(k for k, v in vars(module).items() if callable(v) and v.__module__ == module.__name__)
        raise GradValueError(f"{file} has no function {name!r}", hint=f"it has {known or 'none'}")
    if not callable(fn):
        raise GradValueError(f"{file}: {name!r} is a {type(fn).__name__}, not a function")
    specs = [argument(a) for a in args.arg] or given_specs(module, fn, name, file)
    cotangent = argument(args.cotangent) if args.cotangent else None
    try:
        return build(
            getattr(fn, "__wrapped__", fn),
            *specs,
            target=args.target,
            name=args.name,
            split=args.split,
            cotangent=cotangent,
        )
    except GradcError:
        raise
    except (Exception, SystemExit) as e:
        where = [f for f in traceback.extract_tb(e.__traceback__) if Path(f.filename) == Path(file).absolute()]
        loc = f"{file}:{where[-1].lineno}" if where else None
        raise GradValueError(f"{args.function} failed while it was traced: {type(e).__name__}: {e}", loc=loc) from e


def argument(text: str) -> Spec:
    """One `--arg`."""
    return spec(text.removesuffix("!"), requires_grad=text.endswith("!"))


def given_specs(module: ModuleType, fn: Any, name: str, file: str) -> list[Any]:
    """The specs that the file gives."""
    table = getattr(module, "gradc_args", {})
    specs = getattr(fn, "specs", None)
    if specs is None:
        specs = table.get(name) if isinstance(table, dict) else None
    if specs is None:
        raise GradValueError(f"{file}:{name}: the types of its arguments are not known", hint=SPECS.strip())
    if not isinstance(specs, list | tuple):
        raise GradValueError(f"{file}:{name}: its specs must be a list, got {specs!r}")
    return [argument(s) if isinstance(s, str) else spec(s) if is_array(s) else s for s in specs]


def load(file: str) -> ModuleType:
    """Import a file under its own name, with its folder on the path as `python FILE` has it."""
    path = Path(file).absolute()
    if not path.is_file():
        raise GradValueError(f"no such file: {file}")
    name = path.stem if path.stem.isidentifier() else "program"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise GradValueError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(found)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except GradcError:
        raise
    except SystemExit as e:
        raise GradValueError(f"{file} exits when it is imported (code {e.code})") from None
    except Exception as e:
        raise GradValueError(f"{file} cannot be imported: {type(e).__name__}: {e}") from e
    finally:
        sys.path.remove(folder)
        if before is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = before
    return module
