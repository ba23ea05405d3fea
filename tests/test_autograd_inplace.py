"""In-place operations and views: versions, histories, refusals, held against torch."""

from __future__ import annotations

import numpy as np
import pytest
from parity import same

import gradc

pytest.importorskip("torch", reason="torch is the reference")

SNIPPETS = {
    "leaves": """
x = torch.ones(3, requires_grad=True)
x.add_(1)
x[0] = 2
x[0].mul_(2)
x += 1
x.zero_()
x.copy_(torch.zeros(3))
with torch.no_grad():
    x += 1
    x[0] = 5
x, x._version
""",
    "data": """
x = torch.ones(3, requires_grad=True)
x.data.mul_(2)
x, x._version, x.data.requires_grad, x.data is x.data
x.data[0] = 1
x, x._version
x.data = torch.zeros(2)
x, x._version, x.requires_grad
x.data = 3
d = x.detach()
d.add_(1)
x, x._version, d._version, d._base, d._is_view()
""",
    "changed saved result": """
x = torch.tensor([1., 2., 3.], requires_grad=True)
y = x.exp()
y._version
y.add_(1)
y._version, y
y.sum().backward()
y = x.exp()
y.mul_(2)
y.sum().backward()
""",
    "changed saved operand": """
x = torch.tensor([1., 2., 3.], requires_grad=True)
w = torch.tensor([1., 2., 3.])
y = x * w
w.add_(1)
y.sum().backward()
y = x * 2
z = y * y
y.add_(1)
z.sum().backward()
z = (x * x).sum()
x.detach().mul_(2)
z.backward()
""",
    "harmless change": """
x = torch.ones(3, requires_grad=True)
y = x * 2
z = y.sum()
y.add_(1)
z.backward()
x.grad
y = x * 1
b = torch.full((3,), 2., requires_grad=True)
y.mul_(b)
y.sum().backward()
x.grad, b.grad
""",
    "requires grad through an operand": """
a = torch.zeros(3)
b = torch.ones(3, requires_grad=True)
a.add_(b)
a, a.requires_grad, a.is_leaf
a.mul_(b)
a.sum().backward()
b.grad
a = torch.zeros(3)
a.add_(b.detach())
a.requires_grad
""",
    "write through a view": """
x = torch.tensor([[1., 2.], [3., 4.]], requires_grad=True)
y = x * 3
v = y[0]
w = torch.tensor([5., 6.], requires_grad=True)
v.mul_(w)
y
v, v.grad_fn.next_functions
y.grad_fn.next_functions, v._base is y, y._version, v._version
(y * y).sum().backward()
x.grad, w.grad
""",
    "view of a tensor written to": """
x = torch.tensor([[1., 2.], [3., 4.]], requires_grad=True)
y = x * 3
v = y.view(4)
v.grad_fn
y.mul_(2)
v
v.sum().backward()
x.grad
b = torch.zeros(2, 3)
v = b[0]
w = torch.ones(3, requires_grad=True)
b.add_(w)
v, v.requires_grad, v.is_leaf
v.sum().backward()
w.grad
""",
    "views of views": """
a = torch.ones(2, 3, requires_grad=True)
y = a * 2
v = y[0]
u = v[1:]
u.mul_(3)
y
v, u, u._base is y, v._base is y, y._version
u.add_(1)
v.mul_(2)
y, v, u
(y * torch.arange(6.).reshape(2, 3)).sum().backward()
a.grad
t = (a * 2).t()
t[0].mul_(5)
t
t.sum().backward()
a.grad
""",
    "view that starts requiring grad": """
a = torch.zeros(2, 3)
b = torch.ones(3, requires_grad=True)
v = a[0]
v.requires_grad
v.copy_(b * 2)
a
v, v.requires_grad
(a * a).sum().backward()
b.grad
""",
    "second order through a write": """
x = torch.tensor([1., 2., 3.], requires_grad=True)
y = x * x
y[0].mul_(3)
y[1:] *= x[1:]
g, = torch.autograd.grad((y * y).sum(), x, create_graph=True)
g.detach()
torch.autograd.grad(g.sum(), x)
""",
    "several views at once": """
x = torch.tensor([1., 2.], requires_grad=True)
y = x * 2
u = y.unbind(0)
u
u[0].add_(1)
u[1].add_(1)
y.split(1)[0].add_(1)
with torch.no_grad(): v = y[0]
v.mul_(2)
with torch.no_grad():
    v = y[0]
    v.mul_(2)
y
v
v + 1
""",
    "overwriting": """
x = torch.tensor([1., 2.], requires_grad=True)
y = x * 2
y.zero_()
y.grad_fn.next_functions
y = x * 2
y.fill_(3)
y = x * 2
y.fill_(x[0])
y.sum().backward()
x.grad
y = x * 2
y.copy_(x)
y.grad_fn.next_functions
y.sum().backward()
x.grad
torch.zeros(2, 2).copy_(torch.tensor([1, 2]))
y.copy_(torch.ones(3))
y.copy_(3)
y.fill_(torch.ones(2))
y.copy_('a')
""",
    "results that do not fit": """
y = torch.ones(2)
y.add_(torch.ones(2, 2))
torch.ones(2, dtype=torch.int64).add_(1.5)
torch.ones(2, dtype=torch.int64).mul_(2)
torch.ones(2).add_(torch.ones(2, dtype=torch.float64))
torch.ones(2).expand(3, 2).add_(1)
torch.ones(2).expand(3, 2)[0].add_(1)
torch.ones(2, dtype=torch.bool).add_(1)
""",
    "detaching in place": """
x = torch.tensor([1., 2.], requires_grad=True)
y = x * 2
y.detach_()
y, y.requires_grad
(x * 2)[0].detach_()
""",
    "optimiser step by hand": """
p = torch.ones(2, requires_grad=True)
for _ in range(3):
    (p * p).sum().backward()
    with torch.no_grad():
        p -= 0.1 * p.grad
        z = p.grad.zero_()
p, p.grad, p._version
""",
    "hooks and in-place": """
x = torch.ones(3, requires_grad=True)
y = x * 2
y.register_hook(lambda g: print("h", g)) is None
y.mul_(3)
y.sum().backward()
""",
    "in-place forms of functions": """
x = torch.tensor([1., 4.], requires_grad=True)
for name in ("exp_", "sqrt_", "sin_", "tanh_", "sigmoid_", "neg_", "abs_", "reciprocal_", "log_"):
    y = x * 1
    getattr(y, name)()
    x.grad = None
    y.sum().backward()
    print(name, y, x.grad)
y = x * 1
y.clamp_(0, 2).pow_(2).div_(2).sub_(1)
y.sum().backward()
x.grad
""",
    "metadata in place": """
x = torch.arange(6.).reshape(2, 3)
x.t_()
x.unsqueeze_(0).shape, x.squeeze_().shape, x.transpose_(0, 1).shape
""",
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_prints_what_torch_prints(name: str) -> None:
    same(SNIPPETS[name])


VIEWS = ("x[{0}]", "x[:, {0}]", "x[{0}:]", "x.t()", "x.view(-1)[{0}:]", "x[::2]", "x.diagonal()", "x.unsqueeze(0)[0]")
EXACT = "{} = (torch.arange(9.) - 3).reshape(3, 3).requires_grad_()"
WRITES = (
    "v.mul_(2)",
    "v.add_(w[0, 0])",
    "v.copy_(w[0, 0])",
    "v.mul_(w[1, 1])",
    "v.relu_()",
    "v.zero_()",
    "x.mul_(3)",
    "v *= v",
)


def test_random_programs_of_views_and_writes(seed: int) -> None:
    """Gradients after random writes through random views are torch's, or the same error is raised."""
    rng = np.random.default_rng(seed)
    for _ in range(12):
        lines = [EXACT.format("a"), EXACT.format("w"), "x = a * 2"]
        for _ in range(int(rng.integers(1, 5))):
            lines.append("v = " + str(rng.choice(VIEWS)).format(int(rng.integers(0, 3))))
            if rng.random() < 0.3:
                lines.append("v = v[0]" if rng.random() < 0.5 else "v = v[1:]")
            lines.append(str(rng.choice(WRITES)))
            if rng.random() < 0.3:
                lines.append("s = (x * x).sum()" if rng.random() < 0.5 else "s = v.sum()")
        lines += [
            "(x * x).sum().backward()",
            "a.grad",
            "w.grad",
            "x._version, v._version",
            "v.sum().backward()",
            "a.grad",
        ]
        same("\n".join(lines), int(rng.integers(1 << 30)))


def test_broadcast_views_of_one_row_can_be_written() -> None:
    x = gradc.ones(2)
    x.expand(3, 2)[1].add_(1)
    assert x.tolist() == [2.0, 2.0]


def test_writes_through_data_are_not_counted():
    """As in torch: what was saved before is differentiated at what stands there now."""
    torch = pytest.importorskip("torch", reason="torch is the reference")

    def window(x):
        x.data.mul_(2)
        x.data[0] = 5
        return x + 1

    def replaced(x):
        x.data = x * 3
        return x + 1

    def both(x):
        x.data.mul_(2)
        x.add_(1)
        return x + 1

    def nested(f):
        inner = gradc.compile(f)
        return gradc.compile(lambda x: inner(x))

    for f, version in ((window, 0), (replaced, 0), (both, 1)):
        seen = []
        for lib, run in ((torch, f), (gradc, f), (gradc, gradc.compile(f)), (gradc, nested(f))):
            x = lib.tensor([1.0, 2.0])
            y = run(x)
            assert x._version == version
            seen.append((x.tolist(), y.tolist()))
        assert all(s == seen[0] for s in seen)
