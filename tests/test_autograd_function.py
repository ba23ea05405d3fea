"""autograd.Function, gradcheck and autograd.functional, held against torch."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from parity import same

import gradc
from gradc.autograd import Function
from gradc.autograd.function import once_differentiable

pytest.importorskip("torch", reason="torch is the reference")

DEFINITIONS = """
class Exp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        r = x.exp()
        ctx.save_for_backward(r)
        return r
    @staticmethod
    def backward(ctx, g):
        r, = ctx.saved_tensors
        return g * r

class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, k):
        ctx.k = k
        print(ctx.needs_input_grad)
        return x * k
    @staticmethod
    def backward(ctx, g):
        return g * ctx.k, None

class TooMany(Exp):
    @staticmethod
    def backward(ctx, g):
        return g, g

class WrongShape(Exp):
    @staticmethod
    def backward(ctx, g):
        return torch.ones(5)

class NotTensor(Exp):
    @staticmethod
    def backward(ctx, g):
        return 3

class NoBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

class Two(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 3, x * 2
    @staticmethod
    def backward(ctx, g, h):
        print(g, h)
        return g * 3 if h is None else g * 3 + h * 2

class Half(Two):
    @staticmethod
    def forward(ctx, x):
        s = x * 2
        ctx.mark_non_differentiable(s)
        return x * 3, s

class NoZeros(Two):
    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 3, x * 2

class Same(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x
    @staticmethod
    def backward(ctx, g):
        return g

class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x
    @staticmethod
    def backward(ctx, g):
        return g * 2

class NewStyle(torch.autograd.Function):
    @staticmethod
    def forward(x, k):
        return x * k
    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.k = inputs[1]
        ctx.save_for_backward(inputs[0], output)
    @staticmethod
    def backward(ctx, g):
        return g * ctx.k, None
x = torch.tensor([1., 2., 3.], requires_grad=True)
"""

SNIPPETS = {
    "saving": """
y = Exp.apply(x)
y, y.grad_fn, y.grad_fn.saved_tensors, y.grad_fn.next_functions, y.grad_fn.name()
y.sum().backward()
x.grad
y.sum().backward()
g, = torch.autograd.grad(Exp.apply(x).sum(), x, create_graph=True)
torch.autograd.grad(g.sum(), x)
y = Exp.apply(x)
y.add_(1)
y.sum().backward()
""",
    "arguments": """
z = Scale.apply(x, 5)
z.grad_fn.next_functions, z.grad_fn.k, z.grad_fn.needs_input_grad
z.sum().backward()
x.grad
Scale.apply(torch.ones(2), 5).requires_grad
with torch.no_grad(): print(Scale.apply(x, 5))
NewStyle.apply(x, 2)
""",
    "mistakes": """
TooMany.apply(x).sum().backward()
WrongShape.apply(x).sum().backward()
NotTensor.apply(x).sum().backward()
NoBackward.apply(x).sum().backward()
""",
    "several outputs": """
for kind in (Two, Half, NoZeros):
    p, q = kind.apply(x)
    print(p, q)
    p.sum().backward()
x.grad
""",
    "inputs handed back": """
z = Same.apply(x)
z is x, z._is_view(), z.grad_fn, z.data_ptr() == x.data_ptr()
z.add_(1)
a = x * 1
b = Double.apply(a)
b is a, a.grad_fn, a._version
a.sum().backward()
x.grad
Double.apply(x)
""",
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_prints_what_torch_prints(name: str) -> None:
    same(DEFINITIONS + SNIPPETS[name])


def test_functional_prints_what_torch_prints() -> None:
    same("""
F = torch.autograd.functional
x = torch.tensor([1., 2.])
F.jacobian(lambda x: x * x, x)
F.jacobian(lambda x, y: (x * y, x + y), (x, x))
F.hessian(lambda x: (x ** 3).sum(), x)
F.hessian(lambda x, y: (x * x * y).sum(), (x, x))
F.vjp(lambda x: x * x, x, torch.ones(2))
F.jvp(lambda x: x * x, x, torch.ones(2))
F.hvp(lambda x: (x ** 3).sum(), x, torch.ones(2))
F.vhp(lambda x: (x ** 3).sum(), x, torch.ones(2))
F.vjp(lambda x: x * x, x)
""")


class Wrong(Function):
    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return g * 3 * x


def test_gradcheck_accepts_right_and_names_wrong_gradients() -> None:
    x = gradc.ones(2, dtype=gradc.float64, requires_grad=True)
    assert gradc.autograd.gradcheck(lambda x: x * x.sin(), (x,))
    assert gradc.autograd.gradcheck(lambda x: (x * 2, x.exp()), x)
    assert not gradc.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False)
    with pytest.raises(
        RuntimeError, match=r"(?s)Jacobian mismatch for output 0 with respect to input 0,\nnumerical:tensor"
    ):
        gradc.autograd.gradcheck(Wrong.apply, (x,))
    with pytest.raises(ValueError, match="expects at least one input tensor to require gradient"):
        gradc.autograd.gradcheck(lambda x: x, (gradc.ones(2),))
    with (
        pytest.warns(UserWarning, match="is not a double precision"),
        pytest.raises(RuntimeError, match="Jacobian mismatch"),
    ):
        gradc.autograd.gradcheck(lambda x: x * x, (gradc.ones(2, requires_grad=True),))
    assert x.tolist() == [1.0, 1.0]


def test_gradgradcheck() -> None:
    x = gradc.tensor([0.5, 1.5], dtype=gradc.float64, requires_grad=True)
    assert gradc.autograd.gradgradcheck(lambda x: x * x * x, (x,))
    assert gradc.autograd.gradgradcheck(lambda x: x.exp().sum(), (x,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gradc.autograd.gradgradcheck(lambda a, b: a @ b, (x, x.detach().clone().requires_grad_()))


class Once(Function):
    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return g * 2 * x


def test_once_differentiable_refuses_a_second_derivative() -> None:
    x = gradc.tensor([1.0, 2.0], requires_grad=True)
    y = Once.apply(x)
    (g,) = gradc.autograd.grad((y * y).sum(), x, create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), [4.0, 32.0])
    with pytest.raises(RuntimeError, match="differentiate twice"):
        g.sum().backward()


def test_saved_outputs_do_not_make_cycles() -> None:
    import gc
    import weakref

    class Keep(Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            r = x.exp()
            ctx.save_for_backward(r)
            return r

        @staticmethod
        def backward(ctx, g):  # type: ignore[no-untyped-def]
            return g * ctx.saved_tensors[0]

    gc.disable()
    try:
        y = Keep.apply(gradc.ones(2, requires_grad=True))
        seen = weakref.ref(y)
        del y
        assert seen() is None
    finally:
        gc.enable()
