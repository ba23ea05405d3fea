"""Records against torch: a taping builder over NumPy arrays, and one check of values and two orders of gradients."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradc.ir.build import NumpyBuilder, Var
from gradc.ir.op import REGISTRY, Op
from gradc.ir.pullback import pullback
from gradc.ir.types import dtype, tensor


class Tape(NumpyBuilder):
    """Executes and remembers; with `primitive`, composite ops run by their decomposition instead of their own meaning,
    and are differentiated by their own rules all the same."""

    def __init__(self, primitive: bool = False) -> None:
        super().__init__()
        self.primitive = primitive
        self.entries: list[tuple[Op, tuple[Any, ...], dict[str, Any], tuple[Any, ...]]] = []
        self.seen: dict[int, Any] = {}

    def run(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        if self.primitive and op.decompose is not None:
            b = Tape(True)
            out = op.decompose(b, *[Var(b, o) for o in operands], **attrs)
            raw = tuple(o.v for o in out) if isinstance(out, tuple) else out.v
        else:
            raw = super().run(op, operands, attrs)
        results = raw if isinstance(raw, tuple) else (raw,)
        self.seen.update((id(o), o) for o in operands)
        results = tuple(r.view() if id(r) in self.seen else r for r in results)
        self.seen.update((id(r), r) for r in results)
        self.entries.append((op, operands, attrs, results))
        return results if isinstance(raw, tuple) else results[0]

    def grad(self, outputs: Sequence[Var], cts: Sequence[Var], inputs: Sequence[Var]) -> list[Var | None]:
        """The cotangents of the inputs, themselves on the tape."""
        active = {id(x.v) for x in inputs}
        entries = list(self.entries)
        for _, operands, _, results in entries:
            if any(id(o) in active for o in operands):
                active.update(id(r) for r in results if r.dtype.kind not in "iub")
        found: dict[int, Any] = {}
        for out, ct in zip(outputs, cts, strict=True):
            found[id(out.v)] = ct if id(out.v) not in found else found[id(out.v)] + ct
        for op, operands, attrs, results in reversed(entries):
            incoming = [found.get(id(r)) for r in results]
            if all(c is None for c in incoming):
                continue
            types = [tensor(o.shape, dtype(o.dtype)) for o in operands]
            for i, o in enumerate(operands):
                if id(o) not in active:
                    continue
                ct = pullback(
                    self,
                    op,
                    i,
                    incoming,
                    [Var(self, x) for x in operands],
                    types,
                    [Var(self, r) for r in results],
                    attrs,
                )
                if ct is not None:
                    found[id(o)] = ct if id(o) not in found else found[id(o)] + ct
        return [found.get(id(x.v)) for x in inputs]


def run(name: str, arrays: Sequence[Any], attrs: dict[str, Any], primitive: bool = False) -> tuple[Any, ...]:
    """The results of `grad.<name>` by its NumPy meaning, or by its decomposition."""
    b = Tape(primitive)
    out = b.apply(REGISTRY[f"grad.{name}"], [Var(b, np.asarray(a)) for a in arrays], attrs)
    return tuple(o.v for o in (out if isinstance(out, tuple) else (out,)))


def same(got: Any, want: Any, tolerance: float, what: str) -> None:
    want = want.detach().numpy(force=True)
    assert tuple(got.shape) == want.shape, f"{what}: shape {got.shape}, torch {want.shape}"
    assert got.dtype == want.dtype, f"{what}: dtype {got.dtype}, torch {want.dtype}"
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, err_msg=what)


def against_torch(
    name: str,
    arrays: Sequence[Any],
    attrs: dict[str, Any],
    function: Callable[..., Any],
    active: Sequence[int] = (0,),
    second: bool = True,
    tolerance: float = 1e-9,
) -> None:
    """Values by meaning and decomposition, gradients by the rules on both, and second order, against torch's."""
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(7)
    theirs = [torch.tensor(np.asarray(a), requires_grad=i in active) for i, a in enumerate(arrays)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = function(*theirs)
    want = tuple(want) if isinstance(want, (tuple, list)) else (want,)
    for primitive in (False, True):
        way = "decomposed" if primitive else "meaning"
        for i, (g, w) in enumerate(zip(run(name, arrays, attrs, primitive), want, strict=False)):
            same(g, w, tolerance, f"{name} {attrs} result {i} by {way}")
        if not active:
            continue
        b = Tape(primitive)
        ours = [Var(b, np.array(a)) for a in arrays]
        out = b.apply(REGISTRY[f"grad.{name}"], ours, attrs)
        out = out if isinstance(out, tuple) else (out,)
        differentiable = [i for i, w in enumerate(want) if w.requires_grad]
        weights = [rng.standard_normal(want[i].shape).astype(want[i].detach().numpy().dtype) for i in differentiable]
        cts = [Var(b, np.asarray(w)) for w in weights]
        t_cts = [torch.tensor(np.asarray(w), requires_grad=True) for w in weights]
        got = b.grad([out[i] for i in differentiable], cts, [ours[i] for i in active])
        t_in = [theirs[i] for i in active]
        expected = torch.autograd.grad(
            [want[i] for i in differentiable], t_in, t_cts, create_graph=second, allow_unused=True, retain_graph=True
        )
        for i, g, w in zip(active, got, expected, strict=True):
            if w is None or g is None:
                assert w is None or float(w.abs().sum()) == 0, f"{name} {attrs}: no gradient for operand {i}"
                continue
            same(g.v, w, tolerance * 10, f"{name} {attrs} gradient of operand {i} by {way}")
        if second:
            _second_order(
                b, name, attrs, rng, got, expected, cts, t_cts, [ours[i] for i in active], t_in, tolerance * 100
            )


def _second_order(
    b: Tape,
    name: str,
    attrs: Any,
    rng: Any,
    got: Any,
    expected: Any,
    cts: Any,
    t_cts: Any,
    ours: Any,
    t_in: Any,
    tol: float,
) -> None:
    import torch

    pairs = [(g, w) for g, w in zip(got, expected, strict=True) if g is not None and w is not None and w.requires_grad]
    if not pairs:
        return
    weights = [rng.standard_normal(tuple(w.shape)) for _, w in pairs]
    theirs = torch.autograd.grad(
        [w for _, w in pairs], [*t_in, *t_cts], [torch.tensor(w) for w in weights], allow_unused=True, retain_graph=True
    )
    mine = b.grad([g for g, _ in pairs], [Var(b, np.asarray(w)) for w in weights], [*ours, *cts])
    for i, (g, w) in enumerate(zip(mine, theirs, strict=True)):
        if w is None or g is None:
            rest = g.v if g is not None else np.zeros(()) if w is None else w.detach().numpy(force=True)
            assert np.abs(rest).sum() == 0, f"{name} {attrs}: second order {i} is missing on one side"
            continue
        same(g.v, w, tol, f"{name} {attrs} second order {i}")


def sentence(text: str) -> str:
    """torch's sentence as a pattern for pytest.raises."""
    return re.escape(text)
