"""Row kernels at every length: launches, bytes moved over the least, registers and spilled bytes. No GPU is needed.

    python benchmarks/rows.py                                            # counts alone: a second
    python benchmarks/rows.py --compile                                  # with registers and spills: minutes
    python benchmarks/rows.py --compile --programs softmax --columns 32768 --dtypes bf16 --targets cuda:90 hip:gfx942

The least bytes of a program are those of its inputs and of its results, once each. "joint" is a value with its
gradients, "backward" the second half of a split program.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]

import gradc as gc  # noqa: E402
from gradc.least import bytes_min  # noqa: E402
from gradc.program import Program  # noqa: E402

F = gc.nn.functional
COLUMNS = (4096, 8192, 12288, 16384, 24576, 32768, 50257, 131072)
DTYPES = {"f32": "float32", "bf16": "bfloat16"}


def softmax(x: Any) -> Any:
    return gc.softmax(x, -1)


def layer_norm(x: Any, w: Any, b: Any) -> Any:
    return F.layer_norm(x, w.shape, w, b)


def rms_norm(x: Any, w: Any) -> Any:
    return F.rms_norm(x, w.shape, w)


def mean_square(norm: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: (norm(*args) ** 2).mean()


def _matrix(rows: int, columns: int, dtype: str, vectors: int, grad: bool) -> list[Any]:
    shapes = [(rows, columns)] + [(columns,)] * vectors
    return [gc.spec(s, dtype, requires_grad=grad) for s in shapes]


def _forward(f: Callable[..., Any], vectors: int) -> Callable[[int, int, str], Program]:
    return lambda m, n, d: gc.build(f, *_matrix(m, n, d, vectors, False), target="cuda:90", name="row")


def _joint(f: Callable[..., Any], vectors: int) -> Callable[[int, int, str], Program]:
    return lambda m, n, d: gc.build(mean_square(f), *_matrix(m, n, d, vectors, True), target="cuda:90", name="row")


def _backward(f: Callable[..., Any], vectors: int) -> Callable[[int, int, str], Program]:
    def build(m: int, n: int, d: str) -> Program:
        specs = _matrix(m, n, d, vectors, True)
        return gc.build(f, *specs, cotangent=gc.spec((m, n), d), split=True, target="cuda:90", name="row")

    return build


def _cross_entropy(m: int, n: int, d: str) -> Program:
    x, t = gc.spec((m, n), d, requires_grad=True), gc.spec((m,), "int64")
    return gc.build(F.cross_entropy, x, t, target="cuda:90", name="row")


PROGRAMS: dict[str, Callable[[int, int, str], Program]] = {
    "layer norm forward": _forward(layer_norm, 2),
    "rms norm forward": _forward(rms_norm, 1),
    "softmax forward": _forward(softmax, 0),
    "softmax joint": _joint(softmax, 0),
    "cross entropy joint": _cross_entropy,
    "softmax backward": _backward(softmax, 0),
    "layer norm backward": _backward(layer_norm, 2),
    "rms norm backward": _backward(rms_norm, 1),
    "layer norm joint": _joint(layer_norm, 2),
    "rms norm joint": _joint(rms_norm, 1),
}


def kernels(program: Program) -> list[Any]:
    """The launches that a row of the table is about."""
    return [k for k in program.kernels if k.phase != "forward" or not program.split]


def ratio(program: Program) -> float:
    """Bytes moved over the least, of the whole program or of its backward half."""
    launches = kernels(program)
    if not program.split:
        return sum(k.bytes_moved for k in launches) / program.bytes_min
    return sum(k.bytes_moved for k in launches) / bytes_min(program.halves[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", nargs="*", default=[""], help="those whose name contains one of these")
    parser.add_argument("--columns", nargs="*", type=int, default=list(COLUMNS))
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--dtypes", nargs="*", default=list(DTYPES), choices=list(DTYPES))
    parser.add_argument("--targets", nargs="*", default=["cuda:90"])
    parser.add_argument("--compile", action="store_true", help="compile each launch: registers and spilled bytes")
    args = parser.parse_args()
    print(f"{'program':22} {'columns':>7} {'dtype':>5} {'launches':>8} {'moved/least':>11}  kernels")
    for name, build in PROGRAMS.items():
        if not any(p in name for p in args.programs):
            continue
        for columns in args.columns:
            for dtype in args.dtypes:
                program = build(args.rows, columns, DTYPES[dtype])
                facts = []
                for k in kernels(program):
                    text = f"{k.kind}:{k.printed.num_warps}w"
                    for target in args.targets if args.compile else ():
                        b = k.binary(target)
                        text += f" {b.registers}r" + (f" SPILLS {b.spills}" if b.spills else "")
                    facts.append(text)
                row = f"{name:22} {columns:7} {dtype:>5} {len(facts):8} {ratio(program):11.3f}"
                print(f"{row}  {', '.join(facts)}", flush=True)


if __name__ == "__main__":
    main()
