"""What compiled programs move, counted: launches, and bytes against the least any program for the same job must move.

    python benchmarks/bytes.py                      # all rows
    python benchmarks/bytes.py block norm           # rows whose name contains one of these
    python benchmarks/bytes.py --json out.json

Nothing runs: `bytes_moved` counts per launch and per phase of it every buffer's distinct bytes once, partial sums and
residuals included; `bytes_min` the arguments, the value and the gradients once. "peer" is what Inductor of torch 2.13
would launch for the same joint graph on a GPU (its own byte model, without its partitioner; attention written as a
plain softmax), library calls included.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]

import gradc as gc  # noqa: E402

BIG = (((16384, 4096), "bf16"), ((8192, 4096), "f32"))
"""Shapes at which one row of partial sums per multiprocessor stays below 5 % of the least."""


@dataclass(frozen=True)
class Case:
    """`run(t, ...)` takes the namespace (`gradc` or `torch`) and the arguments, `args` their shapes and dtypes, those
    in `wrt` differentiated. `limit` is the most it may move, as a multiple of the least; `peer` what Inductor moves
    and launches."""

    name: str
    run: Callable[..., Any]
    args: tuple[tuple[tuple[int, ...], str], ...]
    wrt: tuple[int, ...]
    limit: float | None = None
    launches: int | None = None
    peer: tuple[float, int] | None = None
    vjp: bool = False
    """Whether the result is no scalar: the gradients are for a given cotangent of the result's type, which is that of
    the first argument."""

    def build(self, target: str = "cuda:90") -> gc.Program:
        """The program; by default for an H100, whose 132 multiprocessors are the number of partial rows."""
        specs = [gc.spec(shape, NAMES[d], requires_grad=i in self.wrt) for i, (shape, d) in enumerate(self.args)]
        more: dict[str, Any] = {}
        if self.vjp:
            shape, d = self.args[0]
            more["cotangent"] = gc.spec(shape, NAMES[d])

        def entry(*values: Any) -> Any:
            return self.run(gc, *values)

        return gc.build(entry, *specs, target=target, name="case", **more)


NAMES = {"f32": "float32", "bf16": "bfloat16", "i64": "int64"}


def gelu_tanh(t: Any, x: Any, bias: Any, residual: Any) -> Any:
    return t.nn.functional.gelu(x + bias, approximate="tanh") + residual


def gelu_erf(t: Any, x: Any, bias: Any, residual: Any) -> Any:
    return t.nn.functional.gelu(x + bias) + residual


def swiglu(t: Any, x: Any, gate: Any) -> Any:
    return t.nn.functional.silu(gate) * x


def dropout_residual(t: Any, x: Any, residual: Any) -> Any:
    return t.nn.functional.dropout(x, 0.1) + residual


def softmax(t: Any, x: Any) -> Any:
    return t.nn.functional.softmax(x, 1)


def cross_entropy(t: Any, x: Any, target: Any) -> Any:
    return t.nn.functional.cross_entropy(x, target)


def layer_norm(t: Any, x: Any, weight: Any, bias: Any) -> Any:
    return t.nn.functional.layer_norm(x, (x.shape[-1],), weight, bias)


def rms_norm(t: Any, x: Any, weight: Any) -> Any:
    return t.nn.functional.rms_norm(x, (x.shape[-1],), weight)


def layer_norm_error(t: Any, x: Any, weight: Any, bias: Any, target: Any) -> Any:
    return t.nn.functional.mse_loss(layer_norm(t, x, weight, bias), target)


def rms_swiglu(t: Any, x: Any, gate: Any, weight: Any) -> Any:
    return rms_norm(t, x, weight) * t.nn.functional.silu(gate)


def black_scholes(t: Any, spot: Any, strike: Any, rate: Any, sigma: Any, years: Any) -> Any:
    def normal(z: Any) -> Any:
        return 0.5 * (1 + t.erf(z * 0.7071067811865476))

    spread = sigma * t.sqrt(years)
    high = (t.log(spot / strike) + (rate + 0.5 * sigma * sigma) * years) / spread
    return spot * normal(high) - strike * t.exp(-rate * years) * normal(high - spread)


def batch_norm_error(t: Any, x: Any, weight: Any, bias: Any, target: Any) -> Any:
    f = t.nn.functional
    return f.mse_loss(f.batch_norm(x, None, None, weight, bias, training=True), target)


def linear_gelu(t: Any, x: Any, weight: Any, bias: Any) -> Any:
    return t.nn.functional.gelu(t.nn.functional.linear(x, weight, bias))


def mlp(t: Any, x: Any, w1: Any, b1: Any, w2: Any, b2: Any, target: Any) -> Any:
    f = t.nn.functional
    return f.cross_entropy(f.linear(f.relu(f.linear(x, w1, b1)), w2, b2), target)


def block(heads: int) -> Callable[..., Any]:
    """A pre-norm transformer block with attention in the plain formula."""

    def run(t: Any, x: Any, *p: Any) -> Any:
        f = t.nn.functional
        ln1w, ln1b, qkvw, qkvb, outw, outb, ln2w, ln2b, upw, upb, downw, downb = p
        n, steps, width = x.shape
        h = layer_norm(t, x, ln1w, ln1b)
        qkv = f.linear(h, qkvw, qkvb).reshape(n, steps, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        a = f.softmax(q @ k.transpose(-1, -2) * (width // heads) ** -0.5, -1) @ v
        x = x + f.linear(a.permute(0, 2, 1, 3).reshape(n, steps, width), outw, outb)
        h = layer_norm(t, x, ln2w, ln2b)
        return x + f.linear(f.gelu(f.linear(h, upw, upb)), downw, downb)

    return run


def block_args(n: int, steps: int, width: int) -> tuple[tuple[tuple[int, ...], str], ...]:
    d, e = width, 4 * width
    shapes = [(n, steps, d), (d,), (d,), (3 * d, d), (3 * d,), (d, d), (d,), (d,), (d,), (e, d), (e,), (d, e), (d,)]
    return tuple((s, "f32") for s in shapes)


def square_mean(run: Callable[..., Any]) -> Callable[..., Any]:
    return lambda t, *args: run(t, *args).square().mean()


def mean(run: Callable[..., Any]) -> Callable[..., Any]:
    return lambda t, *args: run(t, *args).mean()


def _big() -> list[Case]:
    """The value and gradients of a loss over rows, and gradients for a given cotangent."""
    out = []
    for (m, n), d in BIG:
        x, row, labels = ((m, n), d), ((n,), d), ((m,), "i64")
        at = f"{m}x{n} {d}"
        two, three = (0, 1), (0, 1, 2)
        out += [
            Case(f"swiglu {at}", square_mean(swiglu), (x, x), two, 1.02, 2),
            Case(f"dropout+residual {at}", square_mean(dropout_residual), (x, x), two, 1.02, 2),
            Case(f"softmax {at}", square_mean(softmax), (x,), (0,), 1.02, 2),
            Case(f"cross entropy {at}", cross_entropy, (x, labels), (0,), 1.02, 2),
            Case(f"gelu tanh+bias+residual {at}", square_mean(gelu_tanh), (x, row, x), three, 1.05, 2),
            Case(f"gelu+bias+residual {at}", square_mean(gelu_erf), (x, row, x), three, 1.05, 2),
            Case(f"layer norm {at}", square_mean(layer_norm), (x, row, row), three, 1.05, 2),
            Case(f"rms norm {at}", square_mean(rms_norm), (x, row), two, 1.05, 2),
            Case(f"gelu+bias+residual vjp {at}", gelu_erf, (x, row, x), three, 1.05, 2, vjp=True),
            Case(f"softmax vjp {at}", softmax, (x,), (0,), 1.02, 1, vjp=True),
            Case(f"layer norm vjp {at}", layer_norm, (x, row, row), three, 1.05, 2, vjp=True),
            Case(f"rms norm vjp {at}", rms_norm, (x, row), two, 1.05, 2, vjp=True),
        ]
    return out


def _peers() -> list[Case]:
    """The shapes at which Inductor's counts are known: `peer`."""
    x, row = ((4096, 1024), "f32"), ((1024,), "f32")
    square, side = ((2048, 2048), "f32"), ((2048,), "f32")
    options = ((1_000_000,), "f32")
    logits, labels = ((2048, 8192), "f32"), ((2048,), "i64")
    layers = (((128, 784), "f32"), ((256, 784), "f32"), ((256,), "f32"), ((10, 256), "f32"), ((10,), "f32"))
    return [
        Case("gelu 4096x1024", square_mean(gelu_erf), (x, row, x), (0, 1, 2), peer=(1.25, 4)),
        Case("cross entropy 2048x8192", cross_entropy, (logits, labels), (0,), peer=(1.50, 3)),
        Case("layer norm 4096x1024", layer_norm_error, (x, row, row, x), (0, 1, 2), peer=(2.01, 5)),
        Case("rms swiglu 2048x2048", square_mean(rms_swiglu), (square, square, side), (0, 1, 2), peer=(1.75, 4)),
        Case("black scholes 1000000", mean(black_scholes), (options,) * 5, (0, 2, 3, 4), peer=(1.78, 3)),
        Case("mlp 128x784", mlp, (*layers, ((128,), "i64")), (1, 2, 3, 4), peer=(1.87, 11)),
        Case("block 4x128x256", square_mean(block(4)), block_args(4, 128, 256), tuple(range(13)), 9.0, 25, (11.48, 42)),
    ]


def _others() -> list[Case]:
    out = []
    for d in ("f32", "bf16"):
        args = (((4096, 1024), d), ((4096, 1024), d), ((4096,), d))
        out.append(Case(f"linear+bias+gelu forward {d}", linear_gelu, args, (), 1.0, 1))
    for shape in ((128, 512), (32, 64, 28, 28)):
        column = ((shape[1],), "f32")
        name = f"batch norm {'x'.join(map(str, shape))}"
        x = (shape, "f32")
        out.append(Case(name, batch_norm_error, (x, column, column, x), (0, 1, 2), 1.05, 2))
    x, column = ((16384, 512), "f32"), ((512,), "f32")
    out.append(Case("batch norm 16384x512", batch_norm_error, (x, column, column, x), (0, 1, 2)))
    return out


CASES: tuple[Case, ...] = (*_big(), *_peers(), *_others())


def measure(case: Case) -> dict[str, Any]:
    """One row."""
    start = time.process_time()
    p = case.build()
    row: dict[str, Any] = {"name": case.name, "launches": len(p.kernels), "moved": p.bytes_moved, "least": p.bytes_min}
    row["ratio"] = p.bytes_moved / p.bytes_min
    row["limit"], row["peer"] = case.limit, case.peer
    row["seconds"] = time.process_time() - start
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as one table."""
    lines = [["program", "launches", "MB moved", "/ least", "limit", "peer / least", "peer launches"]]
    for r in rows:
        ratio, launches = (f"{r['peer'][0]:.2f}", str(r["peer"][1])) if r["peer"] else ("", "")
        limit = f"{r['limit']:.2f}" if r["limit"] else ""
        moved = f"{r['moved'] / 1e6:.2f}"
        lines.append([r["name"], str(r["launches"]), moved, f"{r['ratio']:.4f}", limit, ratio, launches])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="rows whose name contains one of these; all by default")
    parser.add_argument("--json", metavar="FILE", help="write the figures here too")
    args = parser.parse_args()
    cases = [c for c in CASES if not args.names or any(n in c.name for n in args.names)]
    if not cases:
        parser.error(f"no row's name contains {' or '.join(args.names)}")
    rows = [measure(c) for c in cases]
    print(table(rows))
    if args.json:
        Path(args.json).parent.mkdir(parents=True, exist_ok=True)
        Path(args.json).write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
