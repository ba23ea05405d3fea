"""The compiler's public functions: compile, spec, the derivative transforms, and arrays of other libraries."""

from __future__ import annotations

import collections

import numpy as np
import pytest

import gradc as gc
from gradc.ir.errors import GradcError, GradRuntimeError, GradTypeError, GradValueError
from gradc.pytree import flatten, paths, unflatten

A = np.linspace(0.1, 1.2, 12, dtype=np.float32).reshape(4, 3)


def close(got, want, rtol=2e-5):
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=rtol, atol=1e-6)


# -- compile ----------------------------------------------------------------------------------------------------------


def test_a_signature_is_traced_once():
    f = gc.compile(lambda x, y: (x * y).sum())
    f(A, A.copy())
    f(A + 1, A)
    assert f.traces == 1
    f(A[:2], A[:2])
    f(A.astype(np.float64), A.astype(np.float64))
    assert f.traces == 3
    f(A.T.copy().T, A)
    assert f.traces == 4
    f(A[1:], A[:-1])
    aligned = f.traces
    f(A[1:], A[:-1])
    assert f.traces == aligned


def test_aliasing_grad_mode_and_requires_grad_are_part_of_the_signature():
    f = gc.compile(lambda x, y: x * y)
    x, y = gc.tensor(A), gc.tensor(A)
    f(x, y)
    f(x, x)
    f(gc.tensor(A, requires_grad=True), y)
    with gc.no_grad():
        assert not f(gc.tensor(A, requires_grad=True), y).requires_grad
    assert f.traces == 4


def test_python_values_are_part_of_the_signature():
    f = gc.compile(lambda x, n, flag=False: x * n if flag else x + n)
    assert f(A, 2)[0, 0] == A[0, 0] + 2
    assert f(A, 2, flag=True)[0, 0] == A[0, 0] * 2
    assert f(A, 3, flag=True)[0, 0] == A[0, 0] * 3
    assert f(A, 2.0)[0, 0] == A[0, 0] + 2
    assert f.traces == 4


def test_results_share_no_memory_with_arguments_or_each_other():
    f = gc.compile(lambda x: (x, x.reshape(-1), x * 1))
    a, b, c = f(A)
    assert not any(np.may_share_memory(p, q) for p, q in ((a, A), (b, A), (a, b), (a, c)))
    a[0, 0] = 99
    assert A[0, 0] != 99


def test_zero_size_and_zero_dimensional():
    f = gc.compile(lambda x: x.exp().sum())
    assert f(np.zeros((0, 3), np.float32)) == 0
    assert f(np.float32(0)) == 1
    assert f(np.float32(0)).shape == ()


def test_gradients_by_the_tape_equal_torchs():
    torch = pytest.importorskip("torch", reason="torch is the reference")

    def fn(x, y):
        h = (x * y).exp()
        return h.sum(), h * 2

    x, y = gc.tensor(A, requires_grad=True), gc.tensor(A + 1, requires_grad=True)
    tx, ty = torch.tensor(A, requires_grad=True), torch.tensor(A + 1, requires_grad=True)
    for args in ((gc.compile(fn)(x, y), x), (fn(tx, ty), tx)):
        (loss, h), _ = args
        assert loss.requires_grad
        (loss + h.sum()).backward()
    close(x.grad.numpy(), tx.grad.numpy())
    close(y.grad.numpy(), ty.grad.numpy())
    loss, _ = gc.compile(fn)(x, y)
    tloss, _ = fn(tx, ty)
    (first,) = gc.autograd.grad(loss, x, create_graph=True)
    (tfirst,) = torch.autograd.grad(tloss, tx, create_graph=True)
    (second,) = gc.autograd.grad((first**2).sum(), y)
    (tsecond,) = torch.autograd.grad((tfirst**2).sum(), ty)
    close(second.numpy(), tsecond.numpy())


def test_errors_of_the_tape_hold_for_compiled_functions():
    f = gc.compile(lambda x: (x * x).sum())
    x = gc.tensor(A, requires_grad=True)
    loss = f(x)
    loss.backward()
    with pytest.raises(GradRuntimeError, match="Trying to backward through the graph a second time"):
        loss.backward()
    loss = f(x)
    with gc.no_grad():
        x.add_(1)
    with pytest.raises(GradRuntimeError, match="has been modified by an inplace operation"):
        loss.backward()
    kept = gc.compile(lambda x: x.exp())
    y = kept(x)
    y.detach().zero_()
    y.sum().backward()
    close(x.grad[0, 0].item(), 2 * A[0, 0] + np.exp(A[0, 0] + 1), rtol=1e-4)


def test_decorator_on_methods_and_with_options():
    class Model:
        scale = 3.0

        @gc.compile(executor="reference")
        def run(self, x):
            return x * self.scale

    m = Model()
    close(m.run(A), A * 3)
    with pytest.raises(GradcError, match="unknown executor 'fast'"):
        gc.compile(lambda x: x, executor="fast")
    with pytest.raises(GradTypeError, match="expected a function, got int"):
        gc.compile(3)


@pytest.mark.parametrize("executor", ["reference", "tiled"])
def test_executors_agree(executor):
    f = gc.compile(lambda x: (x.sin() * x).sum(1).exp(), executor=executor)
    close(f(A), np.exp((np.sin(A) * A).sum(1)))


def test_random_draws_are_new_at_each_call_and_follow_the_seed():
    f = gc.compile(lambda x: x + gc.rand(3))
    x = np.zeros(3, np.float32)
    gc.manual_seed(5)
    a, b = f(x), f(x)
    gc.manual_seed(5)
    assert not np.array_equal(a, b)
    assert np.array_equal(a, f(x))
    assert np.array_equal(b, f(x))


def test_draws_of_every_kind_have_their_distribution():
    n = 20_000
    drop = gc.nn.functional.dropout
    made = gc.compile(
        lambda: (gc.rand(n), gc.randn(n), gc.randint(2, 9, (n,)), gc.randperm(50), drop(gc.ones(n), 0.25))
    )
    gc.manual_seed(1)
    uniform, normal, integers, order, dropped = (t.numpy() for t in made())
    assert 0 <= uniform.min() < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.02
    assert abs(normal.mean()) < 0.05
    assert abs(normal.std() - 1) < 0.05
    assert set(integers.tolist()) == set(range(2, 9))
    assert sorted(order.tolist()) == list(range(50))
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((dropped == 0).mean() - 0.25) < 0.02


def test_the_gradient_of_dropout_uses_the_mask_of_the_value():
    f = gc.compile(lambda x: gc.nn.functional.dropout(x * 1, 0.5))
    x = gc.ones(1000, requires_grad=True)
    y = f(x)
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), y.detach().numpy())


def test_arguments_that_are_no_tensors_are_named():
    f = gc.compile(lambda x, y: x.sum() * y)
    for bad in ("text", None, object()):
        with pytest.raises(GradTypeError, match=f"lambda_: x must be a tensor, not {type(bad).__name__}"):
            f(bad, A)
    with pytest.raises(GradTypeError, match="x must be a tensor, not str"):
        gc.build(lambda x: x * x, "f32[3]")
    with pytest.raises(ZeroDivisionError):
        gc.compile(lambda x: x * (1 / 0))(A)


# -- other libraries --------------------------------------------------------------------------------------------------


def test_results_come_back_in_kind():
    torch = pytest.importorskip("torch", reason="torch tensors as arguments")
    f = gc.compile(lambda x: x * 2)
    assert type(f(A)) is np.ndarray
    assert isinstance(f(gc.tensor(A)), gc.Tensor)
    assert isinstance(f(torch.tensor(A)), torch.Tensor)
    half = torch.tensor(A).bfloat16()
    assert torch.equal(f(half), half * 2)
    grads = gc.value_and_grad(lambda p: (p["w"] ** 2).sum())({"w": torch.ones(2)})[1]
    assert torch.equal(grads["w"], torch.full((2,), 2.0))


def test_torch_autograd_goes_through_compiled_functions():
    torch = pytest.importorskip("torch", reason="torch tensors as arguments")
    f = gc.compile(lambda x, y: ((x * y).exp().sum(), x + y))
    x, y = torch.tensor(A, requires_grad=True), torch.tensor(A)
    loss, total = f(x, y)
    assert loss.requires_grad
    (loss + total.sum()).backward()
    close(x.grad, A * np.exp(A * A) + 1)
    with torch.no_grad():
        assert not f(x, y)[0].requires_grad


def test_anything_with_dlpack_is_taken():
    class Foreign:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **kwargs):
            return self.array.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    close(gc.compile(lambda x: x * 2)(Foreign(A.copy())), A * 2)


def test_foreign_layouts_and_byte_orders():
    f = gc.compile(lambda x: x.exp())
    close(f(A.T), np.exp(A.T))
    close(f(A[::2, ::-1]), np.exp(A[::2, ::-1]))
    close(f(A.astype(">f4")), np.exp(A))
    close(f(np.broadcast_to(A[0], (4, 3))), np.exp(np.broadcast_to(A[0], (4, 3))))
    frozen = A.copy()
    frozen.flags.writeable = False
    close(f(frozen), np.exp(A))
    with pytest.raises(GradTypeError, match="unknown dtype"):
        f(A.astype(np.complex64))


# -- derivatives ------------------------------------------------------------------------------------------------------


def test_value_and_grad_by_argnums():
    def f(x, y):
        return (x * x * y).sum()

    value, gradient = gc.value_and_grad(f)(A, A)
    close(value, (A**3).sum())
    close(gradient, 2 * A * A)
    _, (gx, gy) = gc.value_and_grad(f, argnums=(0, 1))(A, A)
    close(gx, 2 * A * A)
    close(gy, A * A)
    (gy,) = gc.grad(f, argnums=(1,))(A, A)
    close(gy, A * A)
    close(gc.grad(f, argnums=-1)(A, A), A * A)


def test_gradients_of_trees():
    Point = collections.namedtuple("Point", "x y")

    def f(params, p):
        return (params["w"] * p.x).sum() + params["b"][0] * params["b"][1] + p.y.sum()

    params = {"w": np.ones(3, np.float32), "b": [np.float32(2), np.float32(3)]}
    p = Point(np.full(3, 4, np.float32), np.ones(2, np.float32))
    gw, gp = gc.grad(f, argnums=(0, 1))(params, p)
    assert list(gw) == ["w", "b"]
    assert gw["w"].tolist() == [4, 4, 4]
    assert [float(v) for v in gw["b"]] == [3, 2]
    assert isinstance(gp, Point)
    assert gp.y.tolist() == [1, 1]


def test_unused_arguments_have_zero_gradients_and_aux_is_handed_on():
    assert gc.grad(lambda x, y: x.sum(), argnums=1)(A, A).tolist() == np.zeros_like(A).tolist()
    (value, aux), gradient = gc.value_and_grad(lambda x: (x.sum(), x * 2), has_aux=True)(A)
    close(aux, A * 2)
    close(value, A.sum())
    assert gradient.shape == A.shape


def test_transforms_nest():
    f = lambda x: (x**4).sum()  # noqa: E731
    close(gc.grad(lambda x: gc.grad(f)(x).sum())(A), 12 * A**2)
    close(gc.grad(gc.grad(gc.grad(lambda x: x**4)))(np.float32(2)), 48)
    assert float(gc.grad(gc.grad(lambda x: x * x * x))(2.0)) == 12
    close(gc.compile(lambda x: gc.value_and_grad(f)(x)[1] * 2)(A), 8 * A**3)
    close(gc.grad(gc.compile(f))(A), 4 * A**3)


def test_an_inner_gradient_does_not_see_outer_uses():
    x = np.array([1.0, 2.0], np.float32)
    close(gc.compile(lambda x: gc.grad(lambda y: (y * x).sum())(x))(x), x)
    close(gc.grad(lambda x: gc.grad(lambda y: (y * y * x).sum())(x).sum())(x), 4 * x)


def test_gradients_inside_no_grad():
    @gc.compile
    def step(w, x):
        with gc.no_grad():
            return w - 0.1 * gc.grad(lambda w: (w * x).sum())(w)

    out = step(gc.tensor(A, requires_grad=True), gc.tensor(A))
    close(out.detach().numpy(), A - 0.1 * A)
    assert not out.requires_grad


def test_vjp_and_jvp():
    def f(x, y):
        return x * y, x + y

    (a, b), pull = gc.vjp(f, A, A + 1)
    close(a, A * (A + 1))
    close(b, 2 * A + 1)
    gx, gy = pull((np.ones_like(A), 2 * np.ones_like(A)))
    close(gx, A + 1 + 2)
    close(gy, A + 2)
    out, tangent = gc.jvp(lambda x: (x.sin() * x).sum(0), (A,), (np.ones_like(A),))
    close(out, (np.sin(A) * A).sum(0))
    close(tangent, (np.cos(A) * A + np.sin(A)).sum(0))
    with pytest.raises(GradTypeError, match="1 primals but 2 tangents"):
        gc.jvp(f, (A,), (A, A))
    with pytest.raises(GradTypeError, match="do not have the structure"):
        pull(A)


def test_jacobian_and_hessian_equal_torchs():
    torch = pytest.importorskip("torch", reason="torch is the reference")

    def f(w):
        return (w.exp() * w.sum()).sum()

    w = np.array([0.1, 0.5, -0.3], np.float32)
    close(gc.hessian(f)(w), torch.autograd.functional.hessian(f, torch.tensor(w)).numpy())
    got = gc.jacobian(lambda x: (x * x.sum()).sin())(w)
    close(got, torch.autograd.functional.jacobian(lambda x: (x * x.sum()).sin(), torch.tensor(w)).numpy())
    assert gc.hessian(lambda x: (x**3).sum())(A).shape == (4, 3, 4, 3)
    assert isinstance(gc.hessian(f)(gc.tensor(w)), gc.Tensor)


def test_wrong_uses_of_transforms():
    with pytest.raises(GradRuntimeError, match="grad can be implicitly created only for scalar outputs"):
        gc.grad(lambda x: x * 2)(A)
    with pytest.raises(GradTypeError, match="argument 0 is tensor<3xi64>"):
        gc.grad(lambda x: x.sum())(np.arange(3))
    with pytest.raises(GradValueError, match="argnums 2 is out of range"):
        gc.grad(lambda x: x.sum(), argnums=2)(A)
    with pytest.raises(GradTypeError, match="must return one tensor, got tuple"):
        gc.grad(lambda x: (x.sum(), x.sum()))(A)
    with pytest.raises(GradTypeError, match="must hold tensors"):
        gc.grad(lambda x: x)("text")
    with pytest.raises(GradTypeError, match="expected a function"):
        gc.value_and_grad(None)


# -- spec and trees ---------------------------------------------------------------------------------------------------


def test_specs():
    s = gc.spec("f32[569,30]", requires_grad=True)
    assert (s.shape, s.dtype, s.requires_grad) == ((569, 30), gc.float32, True)
    assert gc.spec((569,), "float32") == gc.spec("f32[569]")
    assert gc.spec((), "float32").shape == ()
    assert gc.spec("bf16[]").shape == ()
    assert gc.spec(5).shape == (5,)
    assert gc.spec(A).shape == (4, 3)
    assert repr(s) == 'spec("f32[569,30]", requires_grad=True)'


@pytest.mark.parametrize("make", [gc.zeros, gc.ones, gc.empty, gc.rand])
def test_more_than_memory_can_address_is_refused(make):
    with pytest.raises(GradRuntimeError, match="Storage size calculation overflowed"):
        make(10**12, 10**10)


@pytest.mark.parametrize(
    ("args", "error", "sentence"),
    [
        (("f32[3,-1]",), GradValueError, "must not be negative, got -1"),
        ((2**62, "int64"), GradRuntimeError, "Storage size calculation overflowed with sizes="),
        (((2, -3),), GradValueError, "must not be negative, got -3"),
        (((float("nan"), 3),), GradValueError, "must be a whole number, got nan"),
        (("f32[nan]",), GradValueError, "must be a whole number, got 'nan'"),
        ((("3", 2),), GradTypeError, "must be an integer, got '3'"),
        (((True,),), GradTypeError, "must be an integer, got True"),
        (("f99[3]",), GradTypeError, "unknown dtype 'f99'"),
        (((3,), "float99"), GradTypeError, "unknown dtype 'float99'"),
        (("f32[3",), GradValueError, "cannot read 'f32"),
        ((None,), GradTypeError, "a shape is a tuple of integers"),
        (({"a": 1},), GradTypeError, "a shape is a tuple of integers"),
        (("f32[3]", "f32"), GradTypeError, "names its element type already"),
    ],
)
def test_bad_specs(args, error, sentence):
    with pytest.raises(error, match=sentence):
        gc.spec(*args)


def test_only_floats_can_require_gradients():
    with pytest.raises(GradValueError, match="only tensors of floating point dtype"):
        gc.spec("i64[3]", requires_grad=True)


def test_trees_go_round():
    Point = collections.namedtuple("Point", "x y")
    tree = ({"b": [1, (2, 3)], "a": Point(4, 5)}, 6, [])
    leaves, structure = flatten(tree)
    assert leaves == [1, 2, 3, 4, 5, 6]
    assert unflatten(structure, iter(leaves)) == tree
    assert hash(structure) == hash(flatten(tree)[1])
    assert paths(structure, "t") == ["t_0_b_0", "t_0_b_1_0", "t_0_b_1_1", "t_0_a_x", "t_0_a_y", "t_1"]
