"""Run a function's program on arrays from .npy or .npz files, or on random ones, and print or save value and
gradients."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np

from gradc.ir.errors import GradValueError
from gradc.ir.types import TensorType

from ..executors import EXECUTORS
from ..program import Program
from ..pytree import flatten, unflatten
from . import atomic, source

HELP = "run a function's program and print value and gradients"
EXAMPLE = "gradc run examples/logistic.py:loss --executor reference --seed 0"
__doc__ = f"{__doc__}\n\n{source.SPECS}"


def arguments(sub: argparse.ArgumentParser) -> None:
    source.arguments(sub)
    sub.add_argument("--executor", choices=EXECUTORS, help="which executor runs it")
    sub.add_argument("--input", action="append", default=[], metavar="FILE.npy", help="one argument's array, in order")
    sub.add_argument("--seed", type=seed_number, default=0, help="seed of random arrays for missing inputs")
    sub.add_argument("-o", "--output", metavar="FILE.npz", help="save value and gradients")


def seed_number(text: str) -> int:
    """A seed of NumPy's generator."""
    n = int(text)
    if n < 0:
        raise argparse.ArgumentTypeError(f"a seed must not be negative, got {n}")
    return n


def run(args: argparse.Namespace) -> int:
    if args.output:
        atomic.check_file(args.output)
    program = source.program(args)
    arrays, cotangents = inputs(program, args.input, args.seed)
    call_args, kwargs = unflatten(program.signature.structure, iter(arrays))
    if cotangents:
        kwargs = {**kwargs, "cotangent": cotangents[0] if len(cotangents) == 1 else tuple(cotangents)}
    value, grads = program(*call_args, executor=args.executor, **kwargs)
    found: dict[str, Any] = {}
    for i, v in enumerate(flatten(value)[0]):
        found["value" if i == 0 else f"value_{i}"] = v
    for a, g in zip(program.signature.arguments, flatten(grads)[0], strict=True):
        if g is not None:
            found[f"grad_{a.name}"] = g
    for name, array in found.items():
        text = np.array2string(np.asarray(array), threshold=20, edgeitems=3, prefix=" " * 2)
        print(f"{name}: {array.dtype}{list(array.shape)}\n  {text}")
    if args.output:
        content = io.BytesIO()
        np.savez(content, **found)
        atomic.write(args.output, content.getvalue())
    return 0


def inputs(program: Program, files: list[str], seed: int) -> tuple[list[Any], list[Any]]:
    """Arrays of the arguments and of the cotangents: from the files, then random; Python values as built in."""
    rng = np.random.default_rng(seed)
    given = iter(files)

    def array(t: TensorType) -> Any:
        file = next(given, None)
        return random_array(rng, t) if file is None else read(file)

    graph: Any = program.joint.main
    arguments = [a.default if a.type is None else array(a.type) for a in program.signature.arguments]
    roles = zip(graph.inputs, graph.input_attrs, strict=True)
    cotangents = [array(graph.types[v]) for v, attrs in roles if attrs.get("role") == "cotangent"]
    extra = list(given)
    if extra:
        raise GradValueError(f"{len(extra)} more --input than arguments: {', '.join(extra)}")
    return arguments, cotangents


def read(file: str) -> Any:
    if not Path(file).is_file():
        raise GradValueError(f"no such file: {file}")
    try:
        array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as e:
        raise GradValueError(f"{file} is not a .npy file: {e}") from None
    if isinstance(array, np.ndarray):
        return array
    if len(array.files) != 1:
        raise GradValueError(f"{file} holds {len(array.files)} arrays; give one file per argument")
    return array[array.files[0]]


def random_array(rng: np.random.Generator, t: TensorType) -> Any:
    """Numbers in [0, 1) for floats (a probability, a label, an image all like that), 0 and 1 for integers and bools."""
    if t.dtype.is_float:
        return np.asarray(rng.random(t.shape)).astype(t.dtype.numpy)
    return np.asarray(rng.integers(0, 2, t.shape)).astype(t.dtype.numpy)
