"""Small hand-written kernels that the tests of the runtime share."""

from __future__ import annotations

from gradc.runtime.launch import KernelText

HEAD = "import triton\nimport triton.language as tl\n\n\n"

SCALE = (
    HEAD
    + '''@triton.jit
def scale(x, y, n, alpha, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    v = tl.load(x + i, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + i, v * alpha, mask=inside)
'''
)

ROW_SUM = (
    HEAD
    + '''@triton.jit
def row_sum(x, y, COLS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    v = tl.load(x + row * COLS + i, mask=i < COLS, other=0.0).to(tl.float32)
    tl.store(y + row, tl.sum(v, axis=0))
'''
)


def scale(block: int = 1024, dtype: str = "fp32", aligned: bool = True, n: str = "i32") -> KernelText:
    return KernelText(
        SCALE,
        "scale",
        {"x": f"*{dtype}", "y": f"*{dtype}", "n": n, "alpha": "fp32", "BLOCK": "constexpr"},
        {"BLOCK": block},
        frozenset({"x", "y", "n"} if aligned else ()),
    )


def row_sum(cols: int, block: int, dtype: str = "fp32") -> KernelText:
    signature = {"x": f"*{dtype}", "y": "*fp32", "COLS": "constexpr", "BLOCK": "constexpr"}
    return KernelText(ROW_SUM, "row_sum", signature, {"COLS": cols, "BLOCK": block}, frozenset({"x", "y"}))
