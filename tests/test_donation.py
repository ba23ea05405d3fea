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


SIZES = (1, 3, 127, 128, 129, 1000, 5001)


def step(params, grads, means, squares, rate):
    """torch.optim.AdamW's first step, on a copy in the parameters' dtype where the state is float32."""
    out = []
    for p, g, m, v in zip(params, grads, means, squares, strict=True):
        g = g.float()
        m = m.lerp(g, 0.1)
        v = v * 0.999 + g * g * 0.001
        new = p.float() * (1 - 0.01 * rate) - rate * (m / 0.1) / ((v / 0.001).sqrt() + 1e-8)
        out.append((new.to(p.dtype), m, v))
    return out


def state(seed, sizes, dtype):
    rng = np.random.default_rng(seed)
    params, grads = ([rng.standard_normal(n).astype(np.float32) for n in sizes] for _ in range(2))
    if dtype == "bfloat16":
        params, grads = ([gc.tensor(a).bfloat16() for a in each] for each in (params, grads))
    zeros = [[np.zeros(n, np.float32) for n in sizes] for _ in range(2)]
    return [params, grads, *zeros, np.float32(1e-2)]


def floats(a):
    return np.asarray(gc.as_tensor(a).float().tolist(), np.float32)


@pytest.mark.parametrize("executor", ["reference", "tiled", "triton-interpreter"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_step_over_tensors_of_many_sizes_is_torchs(dtype, executor):
    torch = pytest.importorskip("torch", reason="the oracle")
    prog = gc.build(step, *state(0, SIZES, dtype), donate=(0, 2, 3), target="cuda:90", name="step")
    verify(prog.modules[0])
    assert len(prog.kernels) == 1
    got, _ = prog(*state(1, SIZES, dtype), executor=executor)
    given = state(1, SIZES, dtype)
    for k, (new, m, v) in enumerate(got):
        p, g = (torch.tensor(floats(given[n][k])) for n in (0, 1))
        p = torch.nn.Parameter(p)
        p.grad = g
        optimiser = torch.optim.AdamW([p], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
        optimiser.step()
        kept = optimiser.state[p]
        tolerance = 2**-7 if dtype == "bfloat16" else 1e-5
        np.testing.assert_allclose(floats(new), p.detach().numpy(), rtol=tolerance, atol=1e-6)
        np.testing.assert_allclose(np.asarray(m), kept["exp_avg"].numpy(), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(np.asarray(v), kept["exp_avg_sq"].numpy(), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_step_over_many_tensors_is_one_launch_of_the_least_bytes(dtype):
    sizes = [(*SIZES, 4096, 768, 70000)[i % 10] for i in range(40)]
    prog = gc.build(step, *state(0, sizes, dtype), donate=(0, 2, 3), target="cuda:90", name="step")
    verify(prog.modules[0])
    (kernel,) = prog.kernels
    assert kernel.kind == "BATCH"
    assert prog.bytes_moved <= 1.02 * prog.bytes_min
    assert prog.memory.arena_bytes == 0
    ten = gc.build(step, *state(0, sizes[:10], dtype), donate=(0, 2, 3), target="cuda:90", name="step").kernels[0]
    assert kernel.source.count("def ") == ten.source.count("def "), "tensors of one size share a function"


@pytest.mark.parametrize("target", ["cuda:80", "cuda:90", "cuda:100", "hip:gfx942"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_whole_vectors_of_each_tensor_are_moved_at_once(dtype, target):
    pytest.importorskip("triton", reason="the compiler")
    prog = gc.build(step, *state(0, (1024, 2000, 70000), dtype), donate=(0, 2, 3), target=target, name="step")
    binary = prog.kernels[0].binary(target)
    assert binary.spills == 0
    wide, narrow = binary.access_bits.get(128, 0), sum(n for bits, n in binary.access_bits.items() if bits < 64)
    assert wide >= 3 * 7
    assert narrow <= 3, "the rate, once in each part"


def test_what_one_part_reads_another_does_not_overwrite():
    prog = gc.build(lambda x, y: (x * 2, y + x[:100]), gc.spec("f32[200]"), gc.spec("f32[100]"), donate=(0, 1))
    verify(prog.modules[0])
    x, y = np.arange(200, dtype=np.float32), np.ones(100, np.float32)
    for executor in ("tiled", "reference"):
        (a, b), _ = prog(x.copy(), y.copy(), executor=executor)
        assert (a == 2 * x).all()
        assert (b == 1 + x[:100]).all()
    if len(prog.kernels) == 1:
        assert set(prog.donated.values()) == {"y"}


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
