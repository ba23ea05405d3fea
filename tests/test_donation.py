"""Donated arguments: results take their memory, and a step of an optimiser moves the least bytes there are."""

import numpy as np
import pytest

import gradc as gc
from gradc.ir.errors import GradValueError, UnsupportedError
from gradc.ir.laws import verify

SHAPES = [(64, 32), (32,), (7, 13), (1000,)]


def adamw(params, grads, means, squares, rate):
    out = []
    for p, g, m, v in zip(params, grads, means, squares, strict=True):
        m = m.lerp(g, 0.1)
        v = v * 0.999 + g * g * 0.001
        out.append((p * (1 - 0.01 * rate) - rate * m / (v.sqrt() + 1e-8), m, v))
    return out


def arrays(seed):
    rng = np.random.default_rng(seed)
    made = [[rng.standard_normal(s).astype(np.float32) for s in SHAPES] for _ in range(3)]
    return [*made, [np.abs(a) for a in made[0]], np.float32(0.1)]


@pytest.mark.parametrize("executor", ["tiled", "triton-interpreter"])
def test_a_step_of_an_optimiser_runs_in_place(executor):
    prog = gc.build(adamw, *arrays(0), donate=(0, 2, 3), target="cuda:90")
    verify(prog.modules[0])
    assert len(prog.donated) == 3 * len(SHAPES)
    donated = {f"{n}_{i}" for n in ("params", "means", "squares") for i in range(len(SHAPES))}
    assert set(prog.donated.values()) == donated
    assert prog.bytes_moved <= 1.02 * prog.bytes_min
    given = arrays(1)
    want, _ = prog(*arrays(1), executor="reference")
    got, _ = prog(*given, executor=executor)
    places = {a.ctypes.data for n in (0, 2, 3) for a in given[n]}
    for triple, expected in zip(got, want, strict=True):
        for g, w in zip(triple, expected, strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-6)
            assert g.ctypes.data in places
    assert all((a == b).all() for a, b in zip(given[1], arrays(1)[1], strict=True))


def test_what_is_not_donated_is_left_alone():
    prog = gc.build(adamw, *arrays(0))
    assert prog.donated == {}
    given = arrays(1)
    prog(*given)
    for a, b in zip(given[:4], arrays(1)[:4], strict=True):
        for x, y in zip(a, b, strict=True):
            assert (x == y).all()


def test_memory_that_is_read_again_is_not_taken():
    def f(x, y):
        return (x * 2).cumsum(0), x.sum(0) + y

    prog = gc.build(lambda x: (x + 1, x.flip(0)), gc.spec("f32[64]"), donate=(0,))
    x = np.arange(64, dtype=np.float32)
    (a, b), _ = prog(x.copy())
    assert (a == x + 1).all()
    assert (b == x[::-1]).all()
    prog = gc.build(f, gc.spec("f32[600,64]"), gc.spec("f32[64]"), donate=(0, 1))
    x, y = np.ones((600, 64), np.float32), np.ones(64, np.float32)
    (a, b), _ = prog(x.copy(), y.copy())
    assert (a == np.cumsum(2 * x, 0)).all()
    assert (b == 601).all()


def test_donations_that_are_refused():
    spec = gc.spec("f32[8]", requires_grad=True)
    with pytest.raises(GradValueError, match="donate=2 is no number of one of the 2 arguments"):
        gc.build(lambda x, y: x + y, gc.spec("f32[8]"), gc.spec("f32[8]"), donate=(2,))
    with pytest.raises(GradValueError, match="donate= needs a joint program"):
        gc.build(lambda x: x.exp().sum(), spec, donate=(0,), split=True)
    prog = gc.build(lambda x, y: x + y, gc.spec("f32[8]"), gc.spec("f32[8]"), donate=(0,))
    x = np.ones(8, np.float32)
    with pytest.raises(UnsupportedError, match="shares memory with another tensor"):
        prog(x, x)
    frozen = np.ones(8, np.float32)
    frozen.flags.writeable = False
    value, _ = prog(frozen, x)
    assert (value == 2).all()
    assert (frozen == 1).all()
