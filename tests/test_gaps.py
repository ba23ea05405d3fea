"""Corners of torch's surface, each against torch: zero divisors, limits of dtypes, saved names, square systems."""

import numpy as np
import pytest

import gradc as gc
from gradc.ir.errors import GradRuntimeError, UnsupportedError

torch = pytest.importorskip("torch", reason="torch is the reference")

ZERO = [
    lambda x, y: x // y,
    lambda x, y: x % y,
    lambda x, y: x.fmod(y),
    lambda x, y: x.div(y, rounding_mode="trunc"),
    lambda x, y: x.div(y, rounding_mode="floor"),
]


@pytest.mark.parametrize("f", ZERO)
def test_integers_divided_by_zero_raise(f):
    for lib in (torch, gc):
        for y in (0, lib.tensor([1, 0])):
            with pytest.raises(RuntimeError, match=r"^ZeroDivisionError$"):
                f(lib.tensor([4, 5]), y)
        assert f(lib.zeros(0, dtype=lib.int64), 0).shape == (0,)
        assert not lib.isfinite(f(lib.tensor([4.0]), 0)).any()


@pytest.mark.parametrize("executor", ["reference", "tiled", "triton-interpreter"])
@pytest.mark.parametrize("f", ZERO)
def test_compiled_integers_divided_by_zero_raise_too(f, executor):
    run = gc.compile(f, executor=executor)
    x, y = np.array([4, -5, 7]), np.array([3, 2, -2])
    assert run(x, y).tolist() == f(torch.tensor(x), torch.tensor(y)).tolist()
    with pytest.raises(GradRuntimeError, match="ZeroDivisionError"):
        run(x, np.array([3, 0, 2]))


def test_a_divisor_that_is_known_needs_no_check():
    prog = gc.build(lambda x: (x // 3 + x % 4) * 1.5, gc.spec("i64[100]"))
    assert len(prog.kernels) == 1
    assert len(prog.modules[0].main.outputs) == 1


@pytest.mark.parametrize("bad", [3, None, "x", [3], ()])
def test_gradcheck_without_tensors(bad):
    for lib in (torch, gc):
        with pytest.raises(ValueError, match="gradcheck expects at least one input tensor to require gradient"):
            lib.autograd.gradcheck(lambda *x: x, bad)


def test_what_nodes_saved():
    shown = []
    for lib in (torch, gc):
        x = lib.tensor([1.0, 2.0, 3.0], requires_grad=True)
        y = lib.tensor([0.5, 0.25, 0.0])
        f = lib.nn.functional
        nodes = [f.mse_loss(x, y, reduction=r).grad_fn for r in ("none", "mean", "sum")]
        nodes += [f.huber_loss(x, y).grad_fn, f.binary_cross_entropy_with_logits(x, y).grad_fn]
        nodes += [f.nll_loss(x.reshape(1, 3), lib.tensor([1])).grad_fn, x.prod(0).grad_fn]
        names = ("reduction", "ignore_index", "dim")
        numbers = [[getattr(node, f"_saved_{n}", None) for n in names] for node in nodes]
        shown.append((numbers, str(x.prod().grad_fn._saved_result), str(x.cumprod(0).grad_fn._saved_result)))
    assert shown[0] == shown[1]


def test_comparison_with_arrays():
    x, a = gc.tensor([1.0, 2.0]), np.array([1.0, 3.0], np.float32)
    assert str(x == a) == str(a == x) == str(torch.tensor([1.0, 2.0]) == a) == "tensor([ True, False])"
    assert (x != a).tolist() == [False, True]


def test_limits_of_dtypes_and_layout():
    for name in ("float16", "bfloat16", "float32", "float64"):
        assert repr(gc.finfo(getattr(gc, name))) == repr(torch.finfo(getattr(torch, name)))
        for fact in ("eps", "max", "min", "tiny", "smallest_normal", "bits", "resolution", "dtype"):
            assert getattr(gc.finfo(getattr(gc, name)), fact) == getattr(torch.finfo(getattr(torch, name)), fact)
    for name in ("int8", "uint8", "int16", "int32", "int64"):
        mine, theirs = gc.iinfo(getattr(gc, name)), torch.iinfo(getattr(torch, name))
        assert repr(mine) == repr(theirs)
        assert (mine.max, mine.min, mine.bits) == (theirs.max, theirs.min, theirs.bits)
    for lib in (torch, gc):
        with pytest.raises(TypeError, match=r"torch\.finfo\(\) requires a floating point input type"):
            lib.finfo(lib.int32)
        with pytest.raises(TypeError, match=r"torch\.iinfo\(\) requires an integer input type"):
            lib.iinfo(lib.float32)
    assert gc.ones(2).layout is gc.strided
    assert repr(gc.strided) == repr(torch.strided)


@pytest.mark.parametrize("indexing", ["ij", "xy"])
def test_grids(indexing):
    shown = []
    for lib in (torch, gc):
        grids = lib.meshgrid(lib.arange(3), lib.arange(2), lib.tensor(7), indexing=indexing)
        shown.append(str(grids))
        with pytest.raises(RuntimeError, match="same dtype"):
            lib.meshgrid(lib.arange(3), lib.ones(2), indexing=indexing)
    assert shown[0] == shown[1]


def test_the_second_derivative_of_huber_at_its_knee():
    for lib in (torch, gc):
        x = lib.tensor([-1.0, 0.5, 1.0, 2.0], requires_grad=True)
        loss = lib.nn.functional.huber_loss(x, lib.zeros(4), reduction="sum")
        (g,) = lib.autograd.grad(loss, x, create_graph=True)
        assert g.tolist() == [-1, 0.5, 1, 1]
        assert lib.autograd.grad(g.sum(), x)[0].tolist() == [0, 1, 0, 0]


def points(*parts):
    return np.concatenate([np.asarray(p, np.float64) for p in parts])


WIDE = points(np.linspace(-12.3, 30, 997), [1e-8, 1e-3, 1, 2, 1e5, 1e20, 1e300, -1e-5, 0, -1.5, np.inf, np.nan])
UNIT = points(np.linspace(-0.99999, 0.99999, 997), [1 - 1e-15, 1e-10, 0, 1, -1, 1.5, np.nan])
SPECIAL = {
    "lgamma": (lambda lib, x: lib.lgamma(x), points(WIDE, [-np.inf, -1, -2])),
    "digamma": (lambda lib, x: lib.digamma(x), points(WIDE, [-1, -3])),
    "trigamma": (lambda lib, x: lib.polygamma(1, x), WIDE[WIDE > -12]),
    "tetragamma": (lambda lib, x: lib.polygamma(2, x), WIDE[(WIDE > 1e-3) & (WIDE < 1e200)]),
    "erfinv": (lambda lib, x: lib.erfinv(x), UNIT),
}


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_functions_over_their_whole_range(name, dtype):
    f, x = SPECIAL[name]
    with np.errstate(over="ignore"):
        x = x.astype(dtype)
    want = f(torch, torch.tensor(x.astype(np.float64))).numpy()
    # near the poles and zeros of a reflected argument its own rounding is what is seen
    tolerance = 3e-9 if dtype == "float64" else 2e-6
    for executor in ("reference", "tiled"):
        got = gc.compile(lambda t: f(gc, t), executor=executor)(x)
        assert got.dtype == x.dtype
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(got, want.astype(dtype), rtol=tolerance, atol=tolerance)


MATRICES = np.random.default_rng(3).standard_normal((2, 3, 3)) + 2 * np.eye(3)


@pytest.mark.parametrize("name", ["det", "inv", "logabsdet", "solve", "logdet", "inverse"])
def test_square_systems_and_their_derivatives(name):
    results, names = [], []
    for lib in (torch, gc):
        a = lib.tensor(MATRICES.tolist(), dtype=lib.float64, requires_grad=True)
        f = {
            "det": lib.linalg.det,
            "inv": lib.linalg.inv,
            "logabsdet": lambda a: lib.linalg.slogdet(a).logabsdet,  # noqa: B023
            "solve": lambda a: lib.linalg.solve(a, a[:, :, :2].exp()),  # noqa: B023
            "logdet": lib.logdet,
            "inverse": lambda a: a.inverse(),
        }[name]
        y = f(a)
        (g,) = lib.autograd.grad(y.exp().sum(), a, create_graph=True)
        (h,) = lib.autograd.grad(g.square().sum(), a)
        results.append([np.asarray(t.tolist()) for t in (y, g, h)])
        names.append(y.grad_fn.name())
    assert name in ("solve", "logdet") or names[0] == names[1]
    for want, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


def test_square_systems_that_are_refused():
    for f in (lambda lib, a: lib.linalg.inv(a), lambda lib, a: lib.linalg.det(a)):
        for bad in ([[1.0, 2.0]], [1.0, 2.0]):
            with pytest.raises(RuntimeError) as want:
                f(torch, torch.tensor(bad))
            with pytest.raises(GradRuntimeError) as got:
                f(gc, gc.tensor(bad))
            assert str(want.value).split("\n")[0] == got.value.bare
    batch = [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]]
    for singular in ([[0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 4.0]], batch):
        with pytest.raises(RuntimeError) as want:
            torch.linalg.inv(torch.tensor(singular))
        with pytest.raises(GradRuntimeError) as got:
            gc.linalg.inv(gc.tensor(singular))
        assert str(want.value).split("\n")[0] == got.value.bare
    with pytest.raises(UnsupportedError, match=r"linalg\.det has no kernel and runs eagerly only"):
        gc.compile(gc.linalg.det)(gc.eye(3))
