"""Shape ops against torch: values, derivatives, node names and sentences."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from torchlike import Table, Traced, check

from gradc.ir.build import GraphBuilder, NumpyBuilder, Var
from gradc.ir.errors import GradcError
from gradc.ir.graph import Graph
from gradc.ir.op import VIEW
from gradc.ir.ops import REGISTRY
from gradc.ir.ops.spell import viewable
from gradc.ir.types import dtype, tensor


def arr(*shape: int, dtype: Any = np.float64, seed: int = 0) -> Any:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) * 3).astype(dtype)


F = "nn.functional"
CASES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "reshape": (lambda T, x: x.reshape(2, -1), (4, 6)),
    "reshape function": (lambda T, x: T.reshape(x, (6, 4)), (4, 6)),
    "reshape of a transpose": (lambda T, x: x.t().reshape(-1), (4, 6)),
    "view": (lambda T, x: x.view(3, 8), (4, 6)),
    "view of a slice": (lambda T, x: x[:, None].view(4, 6), (4, 6)),
    "flatten": (lambda T, x: x.flatten(1), (2, 3, 4)),
    "flatten scalar": (lambda T, x: x.flatten(), ()),
    "flatten inner": (lambda T, x: T.flatten(x, 0, -2), (2, 3, 4)),
    "unflatten": (lambda T, x: x.unflatten(-1, (-1, 2)), (4, 6)),
    "ravel": (lambda T, x: x.ravel() * x.ravel(), (4, 6)),
    "squeeze": (lambda T, x: x.squeeze(), (1, 3, 1)),
    "squeeze one": (lambda T, x: x.squeeze(-1), (1, 3, 1)),
    "squeeze some": (lambda T, x: x.squeeze((0, 1)), (1, 3, 1)),
    "squeeze scalar": (lambda T, x: x.squeeze(0), ()),
    "unsqueeze": (lambda T, x: x.unsqueeze(-1), (2, 3)),
    "transpose": (lambda T, x: x.transpose(0, -1), (2, 3, 4)),
    "transpose scalar": (lambda T, x: x.transpose(0, -1), ()),
    "swapaxes": (lambda T, x: T.swapaxes(x, 0, 1), (2, 3)),
    "t": (lambda T, x: x.t(), (2, 3)),
    "T": (lambda T, x: x.T, (2, 3)),
    "mT": (lambda T, x: x.mT, (2, 3, 4)),
    "permute": (lambda T, x: x.permute(2, 0, -2), (2, 3, 4)),
    "permute tuple": (lambda T, x: T.permute(x, (2, 0, 1)), (2, 3, 4)),
    "movedim": (lambda T, x: x.movedim((0, 1), (-1, 0)), (2, 3, 4)),
    "expand": (lambda T, x: x.expand(2, -1, 4), (3, 1)),
    "expand scalar": (lambda T, x: x.expand(2, 2), ()),
    "broadcast_to": (lambda T, x: T.broadcast_to(x, (2, 3)), (3,)),
    "select": (lambda T, x: x.select(-1, -2), (2, 3)),
    "narrow": (lambda T, x: x.narrow(1, -2, 2), (2, 3)),
    "unbind": (lambda T, x: x.unbind(1), (2, 3)),
    "split": (lambda T, x: x.split(2, 1), (2, 5)),
    "split sizes": (lambda T, x: T.split(x, [1, 0, 4], -1), (2, 5)),
    "chunk": (lambda T, x: x.chunk(3, 1), (2, 5)),
    "chunk empty": (lambda T, x: x.chunk(3), (0, 5)),
    "diagonal": (lambda T, x: x.diagonal(), (3, 4)),
    "diagonal offset": (lambda T, x: x.diagonal(-1, 2, 0), (3, 2, 4)),
    "diagonal outside": (lambda T, x: x.diagonal(9), (3, 4)),
    "diag of a vector": (lambda T, x: x.diag(1), (3,)),
    "diag of a matrix": (lambda T, x: T.diag(x, -1), (3, 4)),
    "diag_embed": (lambda T, x: T.diag_embed(x, -1, 0, 2), (2, 3)),
    "tril": (lambda T, x: x.tril(-1), (2, 3, 4)),
    "triu": (lambda T, x: T.triu(x, 1), (3, 4)),
    "flip": (lambda T, x: x.flip(0, -1), (2, 3)),
    "flip nothing": (lambda T, x: x.flip(()), (2, 3)),
    "fliplr": (lambda T, x: x.fliplr() * x.flipud(), (2, 3)),
    "roll": (lambda T, x: x.roll(2), (2, 3)),
    "roll dims": (lambda T, x: T.roll(x, (1, -4), (0, -1)), (2, 3)),
    "repeat": (lambda T, x: x.repeat(2, 1, 3), (2, 3)),
    "repeat none": (lambda T, x: x.repeat(0, 2), (2, 3)),
    "tile": (lambda T, x: x.tile(2), (2, 3)),
    "repeat_interleave": (lambda T, x: x.repeat_interleave(2), (2, 3)),
    "repeat_interleave dim": (lambda T, x: T.repeat_interleave(x, 3, dim=-1), (2, 3)),
    "cat": (lambda T, x: T.cat([x, x * x, x], -1), (2, 3)),
    "cat with an empty vector": (lambda T, x: T.cat([x, x.flatten().narrow(0, 0, 0)]), (2, 3)),
    "stack": (lambda T, x: T.stack([x, x * x], -1), (2, 3)),
    "stack scalars": (lambda T, x: T.stack([x, x * x]), ()),
    "hstack": (lambda T, x: T.hstack([x, x * x]), (2, 3)),
    "hstack vectors": (lambda T, x: T.hstack((x, x)), (3,)),
    "vstack": (lambda T, x: T.vstack([x, x * x]), (3,)),
    "pad": (lambda T, x: T.nn.functional.pad(x, (1, -2, 0, 3)), (2, 3)),
    "pad value": (lambda T, x: T.nn.functional.pad(x, (2, 1), value=1.5), (2, 3)),
    "chain": (lambda T, x: T.cat([x.t()[1:].flip(0), (x * x).t()[:2]], 1).reshape(-1)[::3].roll(1), (4, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives_are_torchs(name: str) -> None:
    f, shape = CASES[name]
    graph = check(f, [arr(*shape)])
    assert graph.nodes or name == "flatten scalar"


MULTIPLY = {"cat", "stack", "hstack", "vstack", "ravel", "fliplr", "chain"}
MATRICES = [n for n, (_, s) in CASES.items() if len(s) == 2]


@pytest.mark.parametrize(
    ("name", "kind"),
    [(n, k) for k in (np.float32, np.float16, ml_dtypes.bfloat16, np.int64) for n in MATRICES]
    + [(n, np.bool_) for n in MATRICES if n not in MULTIPLY],
)
def test_every_dtype_passes_through(name: str, kind: Any) -> None:
    f, shape = CASES[name]
    check(f, [arr(*shape, dtype=kind)], order=1 if np.dtype(kind).kind in "fV" else 0)


def test_joins_promote() -> None:
    for a, b in (
        (np.float32, np.float64),
        (np.float16, ml_dtypes.bfloat16),
        (np.int64, np.float32),
        (np.bool_, np.int32),
    ):
        check(lambda T, x, y: T.cat([x, y]), [arr(2, dtype=a), arr(3, dtype=b)], order=1)
        check(lambda T, x, y: T.stack([x, y]), [arr(2, dtype=a), arr(2, dtype=b)], order=1)


def test_joins_keep_every_bit() -> None:
    odd = np.array([-0.0, np.inf, np.nan, -np.inf], np.float32)
    b = NumpyBuilder()
    for cut in range(5):
        parts = [Var(b, odd[:cut]), Var(b, odd[cut:]), Var(b, odd)]
        out = REGISTRY["grad.cat"].decompose(b, *parts, dim=0)  # type: ignore[misc]
        assert out.v.tobytes() == np.concatenate([odd, odd]).tobytes()


NAMES = [n for n in CASES if n not in {"flatten scalar", "flip nothing", "chain", "ravel", "fliplr", "view of a slice"}]


@pytest.mark.parametrize("name", NAMES)
def test_grad_fn_is_torchs(name: str) -> None:
    f, shape = CASES[name]
    want = f(torch, torch.zeros(shape, requires_grad=True))
    b = GraphBuilder(Graph("f"))
    got = f(Table, Traced(Var(b, b.graph.add_input(tensor(shape, dtype("f32"))))))
    if isinstance(want, list | tuple):
        want, got = want[0], got[0]
    assert got.grad_fn == want.grad_fn.name()


ERRORS = {
    "view": (lambda T, x: x.view(5, 5), (4, 6)),
    "view two": (lambda T, x: x.view(-1, -1), (4, 6)),
    "view -2": (lambda T, x: x.view(-2, 2), (4, 6)),
    "view -1": (lambda T, x: x.view(5, -1), (4, 6)),
    "view empty": (lambda T, x: x.view(0, -1), (0, 3)),
    "view strides": (lambda T, x: x.t().view(24), (4, 6)),
    "reshape": (lambda T, x: x.reshape(7), (4, 6)),
    "permute": (lambda T, x: x.permute(0), (4, 6)),
    "permute twice": (lambda T, x: x.permute(0, 0), (4, 6)),
    "permute range": (lambda T, x: x.permute(0, 5), (4, 6)),
    "transpose": (lambda T, x: x.transpose(0, 5), (4, 6)),
    "t": (lambda T, x: x.t(), (2, 3, 4)),
    "mT": (lambda T, x: x.mT, (3,)),
    "expand": (lambda T, x: x.expand(3, 6), (4, 6)),
    "expand -1": (lambda T, x: x.expand(-1, 2, 4, 6), (4, 6)),
    "squeeze": (lambda T, x: x.squeeze(5), (4, 6)),
    "unsqueeze": (lambda T, x: x.unsqueeze(5), (4, 6)),
    "select": (lambda T, x: x.select(0, 5), (4, 6)),
    "select scalar": (lambda T, x: x.select(0, 0), ()),
    "narrow": (lambda T, x: x.narrow(0, 3, 3), (4, 6)),
    "narrow start": (lambda T, x: x.narrow(0, 5, 0), (4, 6)),
    "narrow length": (lambda T, x: x.narrow(0, 0, -1), (4, 6)),
    "diag": (lambda T, x: x.diag(), (2, 3, 4)),
    "diagonal": (lambda T, x: x.diagonal(), (3,)),
    "diagonal twice": (lambda T, x: x.diagonal(0, 1, 1), (3, 3)),
    "tril": (lambda T, x: x.tril(), (3,)),
    "flip": (lambda T, x: x.flip(0, 0), (3, 3)),
    "roll": (lambda T, x: x.roll((1, 2), 0), (3, 3)),
    "roll none": (lambda T, x: x.roll((1, 2)), (3, 3)),
    "repeat": (lambda T, x: x.repeat(2), (3, 3)),
    "repeat negative": (lambda T, x: x.repeat(-1, 1), (4, 6)),
    "repeat_interleave": (lambda T, x: x.repeat_interleave(-1), (3,)),
    "cat scalars": (lambda T, x: T.cat([x, x]), ()),
    "cat ranks": (lambda T, x: T.cat([x, x[0]]), (4, 6)),
    "cat sizes": (lambda T, x: T.cat([x, x[:, :3]]), (4, 6)),
    "cat number": (lambda T, x: T.cat([x, 1]), (4, 6)),
    "cat tensor": (lambda T, x: T.cat(x), (4, 6)),
    "stack": (lambda T, x: T.stack([x, x[:, :3]]), (4, 6)),
    "split": (lambda T, x: x.split(0), (4, 6)),
    "split sizes": (lambda T, x: x.split([1, 2]), (4, 6)),
    "split negative": (lambda T, x: x.split(-1), (4, 6)),
    "chunk": (lambda T, x: x.chunk(0), (4, 6)),
    "unbind": (lambda T, x: x.unbind(), ()),
    "unflatten": (lambda T, x: x.unflatten(0, (3, 2)), (4, 6)),
    "flatten": (lambda T, x: x.flatten(1, 0), (4, 6)),
    "pad odd": (lambda T, x: T.nn.functional.pad(x, (1,)), (4, 6)),
    "pad long": (lambda T, x: T.nn.functional.pad(x, (1, 1, 1, 1, 1, 1)), (4, 6)),
    "movedim": (lambda T, x: x.movedim((0, 1), (0, 0)), (4, 6)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_torchs(name: str) -> None:
    f, shape = ERRORS[name]
    b = GraphBuilder(Graph("f"))
    with pytest.raises((RuntimeError, IndexError, ValueError, TypeError)) as want:
        f(torch, torch.zeros(shape))
    with pytest.raises(GradcError) as got:
        f(Table, Traced(Var(b, b.graph.add_input(tensor(shape, dtype("f32"))))))
    assert isinstance(got.value, want.type.__mro__[-4] if want.type is NotImplementedError else want.type)
    assert got.value.bare == str(want.value).split("\n")[0]


def test_views_share_memory() -> None:
    """Every record of kind view shows its operand's memory, and can be written through where torch can."""
    for op in REGISTRY.values():
        if op.kind != VIEW or "copies" in op.traits or op.sample is None:
            continue
        for (x,), attrs, *_ in op.sample(np.random.default_rng(0)):
            y = NumpyBuilder().run(op, (x,), attrs)
            if y.size:
                assert np.may_share_memory(x, y), op.name
            if op.short != "broadcast" and y.size <= x.size:  # overlapping windows show elements more than once
                assert y.flags.writeable, op.name


def test_viewable_agrees_with_torch() -> None:
    rng = np.random.default_rng(7)
    for _ in range(300):
        x = torch.zeros(tuple(rng.integers(1, 4, rng.integers(1, 5))))
        x = x.permute(*rng.permutation(x.ndim).tolist())[(slice(None, None, int(rng.integers(1, 3))),)]
        sizes = [int(d) for d in x.shape]
        want = [sizes[0] * sizes[1], *sizes[2:]] if len(sizes) > 1 else sizes
        rng.shuffle(want)
        try:
            x.view(want)
            ok = True
        except RuntimeError:
            ok = False
        assert viewable(sizes, x.stride(), want) == ok, (sizes, x.stride(), want)
