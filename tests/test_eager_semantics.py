"""Corners of torch's eager semantics: shared nodes of views, hooks, inference mode, Function, saved attributes."""

from __future__ import annotations

import pytest
from parity import same

pytest.importorskip("torch", reason="torch is the reference")

TREE = """
def tree(fn, depth=0):
    print("  " * depth + ("None" if fn is None else type(fn).__name__))
    for f, i in fn.next_functions if fn is not None else ():
        print("  " * depth, i)
        tree(f, depth + 1)
"""
SAVED = """
def saved(t): return {n: getattr(t.grad_fn, n) for n in sorted(dir(t.grad_fn)) if n.startswith("_saved")}
x = torch.tensor([.5, .25], requires_grad=True)
w = torch.tensor([2., 3.], requires_grad=True)
"""

SNIPPETS = {
    "requires_grad of results": """
y = torch.ones(2, requires_grad=True) * 2
y.requires_grad = True
y.requires_grad_(True).requires_grad
torch.ones(2).requires_grad_(1)
y.is_leaf = True
y.grad_fn = None
y._version = 2
""",
    "arguments of backward and grad": """
x = torch.tensor([1., 2., 3.], requires_grad=True)
(x * 2).backward([1., 1., 1.])
torch.autograd.grad(x.sum(), [])
torch.autograd.grad(x.sum(), x, only_inputs=False)
y = x * 2
y.retain_grad()
torch.autograd.grad(y.sum(), y), y.grad
""",
    "views made together": """
x = torch.arange(6.).reshape(2, 3).requires_grad_()
a, b, c = x.unbind(1)
a.grad_fn is b.grad_fn, a.output_nr, c.output_nr, c.grad_fn._saved_dim, (a * c).grad_fn.next_functions
(a * b).sum().backward()
x.grad
p = x.split(2, 1)
p[0].grad_fn is p[1].grad_fn, p[1].output_nr, p, p[1].grad_fn._saved_split_size
(p[1] ** 2).sum().backward()
x.grad
p = x.split([1, 2], 1)
p[1].grad_fn._saved_split_sizes, p[1].grad_fn.name()
g, = torch.autograd.grad((p[0] ** 3).sum(), x, create_graph=True)
torch.autograd.grad(g.sum(), x)
for r in x: print(r, r.output_nr)
h = x.chunk(3, dim=1)[2]
h.retain_grad()
(h * 5).sum().backward()
h.grad
y = x * 1
u = y.unbind(0)
y.add_(1)
u[0]
y = x * 1
c = y.split([1, 1])[1]
c.zero_()
a, b = (x * 1).unbind(0)
hooks = a.register_hook(lambda g: print("a", g)), b.register_hook(lambda g: print("b", g))
(a * 2 + b * 3).sum().backward()
""",
    "hooks that give something wrong": """
x = torch.ones(2, requires_grad=True)
y = x * 2
y.grad_fn.register_hook(lambda gi, go: (gi[0] * 10,))
y.sum().backward()
y = x * 2
y.grad_fn.register_prehook(lambda go: go[0] * 5)
y.sum().backward()
x = torch.ones(2, requires_grad=True)
x.register_post_accumulate_grad_hook(lambda p: p.grad)
(x * 2).sum().backward()
""",
    "grad mode objects": """
torch.set_grad_enabled(False)
torch.set_grad_enabled(True)
""",
    "inference mode": """
x = torch.ones(3, requires_grad=True)
with torch.inference_mode():
    t = torch.ones(2)
    u = x.view(3)
    print(t.is_inference(), u.is_inference(), x.is_inference())
    with torch.enable_grad(): print((x * 2).requires_grad, torch.is_grad_enabled())
torch.is_inference(t), t[0].is_inference(), t.view(2).is_inference(), (t * 2).is_inference()
u.add_(1)
t.view(2).add_(1)
t[0] = 1
""",
    "Function": """
class Power(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, n=2):
        ctx.save_for_backward(x)
        ctx.n = n
        return x ** n
    @staticmethod
    def backward(ctx, g):
        x, = ctx.saved_tensors
        return g * ctx.n * x ** (ctx.n - 1), None
class Both(Power):
    @staticmethod
    def backward(ctx, g): return g, g
class Kept(Power):
    @staticmethod
    def forward(ctx, x): ctx.save_for_backward(3); return x * 2
class Dirty(Power):
    @staticmethod
    def forward(ctx, x): ctx.mark_dirty(x); x.add_(1); return x * 2
class Marked(Power):
    @staticmethod
    def forward(ctx, x): i = x.argsort(); ctx.mark_non_differentiable(i); return x[i], i
    @staticmethod
    def backward(ctx, g, gi): print(g, gi); return g
class Vjp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.sin()
    @staticmethod
    def vjp(ctx, g): return g * 7
x = torch.tensor([1., 2.], requires_grad=True)
Power.apply(x, n=3)
Power.apply(3)
Both.apply(x, 2.).sum().backward()
Kept.apply(x)
Dirty.apply(x * 1)
Marked.apply(x)[0].sum().backward()
x.grad = None
Vjp.apply(x).sum().backward()
x.grad
""",
    "names of nodes": TREE + """
x = torch.full((2, 3), .5, requires_grad=True)
y = torch.ones(2, 3, requires_grad=True)
i = torch.tensor([0])
for f in (lambda: x.fmod(2), lambda: x % 2.5, lambda: x // y, lambda: torch.rsub(x, y), lambda: torch.rsub(x, 1),
          lambda: torch.xlogy(x, 2), lambda: x.index_fill(0, i, 1.), lambda: x.masked_select(y > 0),
          lambda: x.scatter(1, torch.zeros(2, 3, dtype=torch.long), 1.), lambda: x.fmod(y)):
    tree(f().grad_fn)
w, b, v = torch.ones(2, 3, requires_grad=True), torch.ones(2, requires_grad=True), torch.tensor([1., 2., 3.])
z = torch.nn.functional.linear(v, w, b)
z
tree(z.grad_fn)
z.sum().backward()
w.grad, b.grad
""",
    "saved attributes": SAVED + """
saved(x * w), saved(x * 2), saved(x + w), saved(x - 2), saved(-x), saved(x / 2)
saved(x.sum()), saved(x.sum(0)), saved(x.mean()), saved(x.mean(0)), saved(x.max(0)[0]), saved(x.logsumexp(0))
saved(x.view(2, 1)), saved(x[0]), saved(x[:1]), saved(x.expand(2, 2)), saved(x.repeat(2))
saved(x.unsqueeze(0).squeeze())
saved(x.split(1)[1]), saved(x.unbind()[1]), saved(x.fmod(2)), saved(x.index_select(0, torch.tensor([1])))
""",
    "saved and changed": """
x = torch.ones(3, requires_grad=True)
c = x > 0
z = torch.where(c, x, 0.)
c.logical_not_()
z.sum().backward()
y = torch.ones(2, dtype=torch.bfloat16, requires_grad=True).exp()
y.add_(1)
y.sum().backward()
""",
    "numbers": """
torch.tensor([1], dtype=torch.uint8) + 300, torch.tensor([1], dtype=torch.int8) * 1000
torch.ones(2) - True
True - torch.ones(2)
x = torch.ones(2)
x -= True
x.add_("a")
torch.tensor([1.5], dtype=torch.float16) * 2.1, torch.tensor([7.3]).bfloat16() / 0.3, torch.tensor([1.5]).half() + 0.1
""",
    "spellings": """
x = torch.arange(6.).reshape(2, 3)
x.view(size=(3, 2)), x.reshape(shape=(6,)), x.type("torch.DoubleTensor").dtype
torch.softmax(x)
x.transpose(0)
torch.exp()
x.expand(3)
o = torch.zeros(2, 3, requires_grad=True)
torch.add(x, x, out=o)
torch.add(o, x, out=torch.empty(2, 3))
x[torch.tensor(True)], x[torch.tensor(False)]
torch.where(x > 2), torch.argwhere(x > 4), torch.can_cast(torch.int32, torch.float32), torch.scalar_tensor(3)
""",
    "composed functions": """
x = torch.tensor([[1., 2., 3.], [4., 5., 6.]], requires_grad=True)
m = torch.arange(9.).reshape(3, 3).requires_grad_()
def run(f):
    x.grad = m.grad = None
    r = f()
    several = r if isinstance(r, tuple) else (r,)
    for o in several: print(o.detach())
    sum((o * o).sum() for o in several).backward()
    print(x.grad, m.grad)
run(lambda: m.trace())
run(lambda: torch.take(m, torch.tensor([0, 5, 5])))
run(lambda: torch.cross(x, x + torch.tensor([1., 0., 0.]), dim=1))
run(lambda: torch.diff(m, n=2))
run(lambda: m.diff(dim=0))
run(lambda: torch.tensor_split(m, 2))
run(lambda: m.tensor_split((1,), dim=1))
run(lambda: torch.hsplit(m, 3))
run(lambda: torch.vsplit(m, 3))
for k in (1, 2, 3, -1): run(lambda: torch.rot90(x, k))
run(lambda: torch.dist(x, x * 2))
run(lambda: torch.kron(x, m))
run(lambda: torch.aminmax(x))
run(lambda: torch.float_power(x, 2))
run(lambda: torch.diagflat(x))
run(lambda: torch.atleast_3d(x))
run(lambda: torch.dstack((x, x)))
run(lambda: torch.msort(m))
torch.ones(3).trace()
torch.hsplit(m, 2)
torch.unique(torch.tensor([3, 1, 1, 2])), torch.unique(torch.tensor([3, 1, 1, 2]), return_counts=True)
torch.bincount(torch.tensor([0, 1, 1, 4])), torch.bincount(torch.tensor([0, 1]), weights=torch.tensor([.5, .25]))
torch.tensor([-0., 1., -2.]).signbit(), torch.isposinf(torch.tensor([float("inf"), 1.]))
""",
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_prints_what_torch_prints(name: str) -> None:
    same(SNIPPETS[name])


@pytest.mark.parametrize("name", ["pinverse", "cholesky", "as_strided"])
def test_functions_that_are_not_there_are_refused_by_name(name: str) -> None:
    import gradc

    with pytest.raises(NotImplementedError, match=name):
        getattr(gradc, name)(gradc.ones(2, 2))
