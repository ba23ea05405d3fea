"""torch.func beside torch, and names that gradc does not have."""

import numpy as np
import pytest

import gradc as gc
from gradc.ir.errors import GradAttributeError, GradcError, GradRuntimeError, UnsupportedError

torch = pytest.importorskip("torch", reason="torch is the reference")

X = np.asarray([0.5, -1.0, 2.0], np.float32)


def f(x):
    return (x * x * x).sum()


def g(x):
    return x.exp() * x[0]


@pytest.mark.parametrize(
    "use",
    [
        lambda lib, x: lib.func.grad(f)(x),
        lambda lib, x: lib.func.grad_and_value(f)(x),
        lambda lib, x: lib.func.vjp(g, x)[0],
        lambda lib, x: lib.func.jvp(g, (x,), (x * 2,)),
        lambda lib, x: lib.func.jacrev(g)(x),
        lambda lib, x: lib.func.jacfwd(g)(x),
        lambda lib, x: lib.func.hessian(f)(x),
    ],
)
def test_transforms(use):
    want, got = use(torch, torch.tensor(X)), use(gc, gc.tensor(X))
    for w, v in zip(want, got, strict=True) if isinstance(want, tuple) else [(want, got)]:
        np.testing.assert_allclose(np.asarray(v.tolist()), w.numpy(), rtol=1e-5)


def called(lib, wrap):
    m = lib.nn.Sequential(lib.nn.Linear(3, 2), lib.nn.BatchNorm1d(2))
    m.eval()
    own = m[0].weight
    w = lib.tensor([[1.0, 2.0, 3.0], [0.5, 0.0, -1.0]], requires_grad=True)
    given = {"0.weight": w, "0.bias": lib.zeros(2), "1.running_mean": lib.tensor([0.5, 0.25])}
    out = wrap(lambda x, w: lib.func.functional_call(m, {**given, "0.weight": w}, (x,)))(lib.tensor([X.tolist()]), w)
    out.square().sum().backward()
    assert m[0].weight is own
    assert own.grad is None
    for bad in ({**given, "2.weight": w}, given):
        with pytest.raises(RuntimeError, match=r"Error\(s\) in reparametrizing for Sequential") as error:
            lib.func.functional_call(m, bad, (lib.ones(1, 3),), strict=True)
        print(str(error.value))
    return [out.detach().tolist(), w.grad.tolist()]


def test_functional_call(capsys):
    want = called(torch, lambda f: f)
    said = capsys.readouterr().out
    for wrap in (lambda f: f, gc.compile):
        got = called(gc, wrap)
        assert capsys.readouterr().out == said
        for w, v in zip(want, got, strict=True):
            np.testing.assert_allclose(v, w, rtol=1e-5, atol=1e-6)


def test_a_tied_weight_is_replaced_everywhere():
    for lib in (torch, gc):
        m = lib.nn.Sequential(lib.nn.Linear(2, 2, bias=False), lib.nn.Linear(2, 2, bias=False))
        m[1].weight = m[0].weight
        twice = {"0.weight": lib.eye(2) * 2}
        assert lib.func.functional_call(m, twice, lib.ones(2)).tolist() == [4, 4]
        assert lib.func.functional_call(m, twice, lib.ones(2), tie_weights=False).tolist() != [4, 4]


def test_vmap_is_refused_by_name():
    with pytest.raises(UnsupportedError, match=r"gradc has no torch\.func\.vmap"):
        gc.func.vmap(f)


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        ("gradc", "softmaks", "gradc has no torch.softmaks; the nearest name is gradc.softmax"),
        ("gradc", "save", "gradc has no torch.save; numpy.savez keeps a state_dict"),
        ("gradc", "zzzz", "gradc has no torch.zzzz; nothing comes near"),
        ("gradc.nn", "Conv2d", "gradc has no torch.nn.Conv2d"),
        ("gradc.nn", "Linea", "the nearest name is gradc.nn.Linear"),
        ("gradc.nn.functional", "cross_entropi", "the nearest name is gradc.nn.functional.cross_entropy"),
    ],
)
def test_names_that_are_not_there(module, name, said):
    space = {"gradc": gc, "gradc.nn": gc.nn, "gradc.nn.functional": gc.nn.functional}[module]
    with pytest.raises(GradAttributeError) as error:
        getattr(space, name)
    assert said in str(error.value)
    assert isinstance(error.value, GradcError)
    assert str(error.value).startswith(f"module {module!r} has no attribute {name!r}\n")
    assert not hasattr(space, name)


def freed(x):
    loss = (x * x).sum()
    loss.backward()
    return loss


def kept(x):
    loss = x.reshape(3, 1).sum() + 3
    loss.backward()
    return loss * 2


def test_a_loss_that_went_backward_inside_can_do_so_again_where_nothing_was_saved():
    for lib, wrap in ((torch, lambda f: f), (gc, lambda f: f), (gc, gc.compile)):
        x = lib.tensor(X.tolist(), requires_grad=True)
        wrap(kept)(x).backward()
        assert x.grad.tolist() == [3, 3, 3]
        loss = wrap(freed)(x)
        with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
            loss.backward()
    assert issubclass(GradRuntimeError, RuntimeError)
