"""One process of `python -m benchmarks warm`: prints its CPU milliseconds by step as JSON. It imports next to nothing
itself, for what it has imported the program no longer pays for."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

from . import checkout

STEPS = ("import gradc", "modules", "trace to plan", "Triton text", "facts")


def loop() -> int:
    """Work that never changes, so that figures of two machines, or of a busy and an idle one, can be compared."""
    total = 0
    for i in range(1_000_000):
        total += i * i & 7
    return total


def loss(x: Any, w: Any, y: Any) -> Any:
    """94 forward ops."""
    import gradc as gc

    h = x
    for i in range(10):
        h = (h * (1.0 + i) + w).tanh() * gc.sigmoid(h) - h * h * 0.1
    return ((h - y) ** 2).mean()


def main() -> None:
    at = [time.process_time()]
    checkout.use()
    import gradc as gc

    at.append(time.process_time())
    build = gc.build
    wide, row = gc.spec("f32[1024,256]", requires_grad=True), gc.spec("f32[256]", requires_grad=True)
    at.append(time.process_time())
    program = build(loss, wide, row, gc.spec("f32[1024,256]"), target="cuda:90", name="loss")
    at.append(time.process_time())
    texts = [k.text for k in program.kernels]
    at.append(time.process_time())
    spills = sum(k.binary().spills for k in program.kernels)
    at.append(time.process_time())
    loop()
    at.append(time.process_time())

    import json
    import sys

    taken = [(b - a) * 1e3 for a, b in pairwise(at)]
    print(json.dumps({
        **dict(zip((*STEPS, "fixed loop"), taken, strict=True)),
        "forward ops": len(program.stages.modules["traced"].main.nodes),
        "kernels": len(texts),
        "spills": spills,
        "modules imported": sum(m.partition(".")[0] == "gradc" for m in sys.modules),
        "triton imported": "triton" in sys.modules,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
