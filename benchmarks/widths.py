"""Widths of global memory accesses at row lengths that are no multiple of 16 bytes.

    python benchmarks/widths.py                                                       # all cases, lengths, targets
    python benchmarks/widths.py --length 5001 --dtype bf16 --target cuda:90 --case softmax layer_norm

For each kernel of common functions: registers, spilled bytes, and how many loads and stores of each width its binary
holds. No GPU is needed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import gradc as gc

F = gc.nn.functional

Builder = Callable[[str, int, int], Any]


def _rows(dtype: str, m: int, n: int) -> Any:
    return gc.spec(f"{dtype}[{m},{n}]", requires_grad=True)


def _vector(dtype: str, n: int) -> Any:
    return gc.spec(f"{dtype}[{n}]", requires_grad=True)


def softmax(dtype: str, m: int, n: int) -> Any:
    return gc.build(
        lambda x: F.softmax(x, -1), _rows(dtype, m, n), cotangent=gc.spec(f"{dtype}[{m},{n}]"), name="softmax"
    )


def softmax_forward(dtype: str, m: int, n: int) -> Any:
    return gc.build(lambda x: F.softmax(x, -1), gc.spec(f"{dtype}[{m},{n}]"), name="softmax_forward")


def layer_norm(dtype: str, m: int, n: int) -> Any:
    def f(x: Any, w: Any, b: Any) -> Any:
        return (F.layer_norm(x, (n,), w, b) ** 2).mean()

    return gc.build(f, _rows(dtype, m, n), _vector(dtype, n), _vector(dtype, n), name="layer_norm")


def layer_norm_forward(dtype: str, m: int, n: int) -> Any:
    vector = gc.spec(f"{dtype}[{n}]")
    return gc.build(
        lambda x, w, b: F.layer_norm(x, (n,), w, b),
        gc.spec(f"{dtype}[{m},{n}]"),
        vector,
        vector,
        name="layer_norm_forward",
    )


def rms_norm(dtype: str, m: int, n: int) -> Any:
    def f(x: Any, w: Any) -> Any:
        return (F.rms_norm(x, (n,), w) ** 2).mean()

    return gc.build(f, _rows(dtype, m, n), _vector(dtype, n), name="rms_norm")


def cross_entropy(dtype: str, m: int, n: int) -> Any:
    return gc.build(F.cross_entropy, _rows(dtype, m, n), gc.spec(f"i64[{m}]"), name="cross_entropy")


def silu(dtype: str, m: int, n: int) -> Any:
    """A plain map; the number of rows is made odd, so that the number of elements is too."""
    m += 1 - m % 2
    return gc.build(F.silu, _rows(dtype, m, n), cotangent=gc.spec(f"{dtype}[{m},{n}]"), name="silu")


def bias_gelu(dtype: str, m: int, n: int) -> Any:
    """A map with a row vector."""
    rows = gc.spec(f"{dtype}[{m},{n}]")
    return gc.build(lambda x, b, y: F.gelu(x + b) + y, rows, gc.spec(f"{dtype}[{n}]"), rows, name="bias_gelu")


def bias_gelu_joint(dtype: str, m: int, n: int) -> Any:
    """A map with a row vector and the sum over rows that is its gradient."""
    rows = _rows(dtype, m, n)
    return gc.build(
        lambda x, b, y: F.gelu(x + b) + y,
        rows,
        _vector(dtype, n),
        rows,
        cotangent=gc.spec(f"{dtype}[{m},{n}]"),
        name="bias_gelu_joint",
    )


CASES: Mapping[str, Builder] = {
    f.__name__: f
    for f in (
        softmax,
        softmax_forward,
        layer_norm,
        layer_norm_forward,
        rms_norm,
        cross_entropy,
        silu,
        bias_gelu,
        bias_gelu_joint,
    )
}


def _counts(table: Mapping[int, int]) -> str:
    return " ".join(f"{n}x{bits}" for bits, n in sorted(table.items(), reverse=True)) or "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--length", type=int, nargs="*", default=[5001, 50257])
    parser.add_argument("--dtype", nargs="*", default=["bf16", "f32"], choices=("bf16", "f16", "f32"))
    parser.add_argument("--target", nargs="*", default=["cuda:80", "cuda:90", "cuda:100", "hip:gfx942"])
    parser.add_argument("--case", nargs="*", default=list(CASES), choices=list(CASES))
    args = parser.parse_args()
    head = f"{'kernel':26} {'target':11} {'dtype':5} {'length':>6}  {'regs':>4} {'spills':>6}"
    print(f"{head}  loads; stores (count x bits)")
    for n in args.length:
        for dtype in args.dtype:
            for case in args.case:
                prog = CASES[case](dtype, args.rows, n)
                for target in args.target:
                    for k in prog.kernels:
                        b = k.binary(target)
                        print(
                            f"{k.name:26} {target:11} {dtype:5} {n:6}  {b.registers:4} {b.spills:6}"
                            f"  {_counts(b.facts.loads)}; {_counts(b.facts.stores)}",
                            flush=True,
                        )


if __name__ == "__main__":
    main()
