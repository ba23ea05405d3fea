"""backward, autograd.grad, hooks, saved tensors and grad modes, held against torch."""

from __future__ import annotations

import gc
import time
import weakref

import pytest
from parity import same

import gradc
from gradc.autograd.node import Node

pytest.importorskip("torch", reason="torch is the reference")

SNIPPETS = {
    "implicit gradients": """
x = torch.ones(3, requires_grad=True)
(x * 2).backward()
torch.ones(3).backward()
torch.ones(3).sum().backward()
(x * x).backward(torch.ones(2))
(x * x).backward(2)
torch.autograd.backward([x * x, x.sum()], [torch.ones(3), None])
x.grad
""",
    "second backward": """
x = torch.ones(3, requires_grad=True)
y = (x * x).sum()
y.backward()
y.backward()
y.grad_fn.next_functions[0][0]._saved_self
y = (x + x).sum()
y.backward()
y.backward()
x.grad
y = (x * x).sum()
y.backward(retain_graph=True)
y.backward()
x.grad
""",
    "accumulation keeps the tensor": """
x = torch.tensor([1., 2.], requires_grad=True)
(x * 2).sum().backward()
g = x.grad
(x * 3).sum().backward()
g is x.grad, g, g._version
x.grad = None
(x * 3).sum().backward()
x.grad, g
x.grad = torch.ones(3)
x.grad = torch.ones(2, dtype=torch.float64)
x.grad = 3
x.grad = x
del x.grad
x.grad
""",
    "backward with inputs": """
x = torch.tensor([1., 2.], requires_grad=True)
w = torch.tensor([3., 4.], requires_grad=True)
y = x * 2
z = (y * y * w).sum()
z.backward(inputs=[x])
x.grad, w.grad
z = (y * w).sum()
z.backward(inputs=[y])
z.backward(inputs=[])
z = (x * w).sum()
z.backward(inputs=torch.ones(2))
""",
    "autograd.grad": """
x = torch.tensor(2., requires_grad=True)
y = x ** 3
g, = torch.autograd.grad(y, x, create_graph=True)
g
g2, = torch.autograd.grad(g, x, create_graph=True)
g2
torch.autograd.grad(g2, x), x.grad
torch.autograd.grad(torch.ones(1), x)
torch.autograd.grad(x * 2, torch.ones(1))
other = torch.ones(1, requires_grad=True)
torch.autograd.grad(x * 2, other)
torch.autograd.grad(x * 2, [x, other], allow_unused=True)
torch.autograd.grad(x * 2, other, materialize_grads=True)
torch.autograd.grad(x * 2, other, materialize_grads=True, allow_unused=False)
torch.autograd.grad([x * 2, x * 3], [x], grad_outputs=[torch.tensor(1.), torch.tensor(2.)])
torch.autograd.grad(x * 2, x, grad_outputs=torch.ones(2))
a = x * 2
b = a * 3
torch.autograd.grad(b * b, [a, x])
""",
    "create_graph in backward": """
x = torch.tensor([1., 2.], requires_grad=True)
(x ** 3).sum().backward(create_graph=True)
x.grad
x.grad.sum().backward()
x.grad
""",
    "saved tensors": """
A = torch.tensor([.5, .25], requires_grad=True)
B = A.pow(2)
A is B.grad_fn._saved_self, B.grad_fn._saved_exponent
C = A.exp()
C.grad_fn._saved_result, C is C.grad_fn._saved_result, C.grad_fn._saved_result.grad_fn is C.grad_fn
(A * 2).grad_fn._saved_self, (A * 2).grad_fn._saved_other, (A * 2.5).grad_fn._saved_other
(A * C).grad_fn._saved_self is A, (A * C).grad_fn._saved_other is C
A.sum(0).grad_fn._saved_nothing
""",
    "nodes": """
x = torch.ones(2, requires_grad=True)
y = x * 3
y.grad_fn, y.grad_fn.name(), y.grad_fn.next_functions, y.grad_fn is y.grad_fn
leaf = y.grad_fn.next_functions[0][0]
leaf, leaf.name(), leaf.variable is x, leaf.next_functions
(y + x).grad_fn.next_functions[1][0] is leaf
y.grad_fn.metadata
(2 - x).grad_fn, (2 / x).grad_fn, (x / 2).grad_fn, (x @ x).grad_fn, x[0].grad_fn, x.view(1, 2).grad_fn, (-x).grad_fn
x[torch.tensor([0])].grad_fn.next_functions, torch.where(x > 0, x, 2.0).grad_fn.next_functions
x.output_nr, y.output_nr
""",
    "leaves and retained gradients": """
x = torch.ones(2, requires_grad=True)
y = x * 2
y.grad
y.is_leaf, x.is_leaf, y.retains_grad, torch.ones(2).is_leaf, y.detach().is_leaf
y.retain_grad()
(y * 3).sum().backward(retain_graph=True)
y.grad, x.grad, y.retains_grad, x.retains_grad
torch.ones(2).retain_grad()
y = x * 2
y.retain_grad()
y.mul_(3)
y.sum().backward()
y.grad
""",
    "tensor hooks": """
x = torch.ones(2, requires_grad=True)
h = x.register_hook(lambda g: g * 2)
y = x * 3
k = y.register_hook(lambda g: print("y", g))
y.sum().backward()
x.grad
h.remove()
k.remove()
x.grad = None
(x * 3).sum().backward()
x.grad
r = x.register_post_accumulate_grad_hook(lambda p: print("post", p.grad))
(x * 3).sum().backward()
y.register_post_accumulate_grad_hook(print)
torch.ones(2).register_hook(print)
torch.autograd.grad((x * 3).sum(), x)
h = x.register_hook(lambda g: torch.ones(3))
(x * 3).sum().backward()
""",
    "node hooks": """
x = torch.ones(2, requires_grad=True)
y = x * 3
h = y.grad_fn.register_hook(lambda gi, go: print("node", gi, go))
k = y.grad_fn.register_prehook(lambda go: (go[0] * 2,))
y.sum().backward()
x.grad
""",
    "grad modes": """
x = torch.ones(3, requires_grad=True)
with torch.no_grad():
    y = x * 2
    print(y.requires_grad, torch.is_grad_enabled())
    with torch.enable_grad():
        print((x * 2).requires_grad)
@torch.no_grad()
def f(): return (x * 2).requires_grad
f(), torch.is_grad_enabled()
@torch.no_grad
def f(): return (x * 2).requires_grad
f(), f.__name__
@torch.enable_grad()
def f(): return (x * 2).requires_grad
with torch.no_grad(): print(f())
token = torch.set_grad_enabled(False)
(x * 2).requires_grad
token = torch.set_grad_enabled(True)
with torch.set_grad_enabled(False): print((x * 2).requires_grad)
(x * 2).requires_grad
@torch.no_grad()
def g():
    a = yield torch.is_grad_enabled()
    b = yield torch.is_grad_enabled()
it = g()
next(it), torch.is_grad_enabled(), it.send(1), torch.is_grad_enabled()
""",
    "inference mode": """
x = torch.ones(3, requires_grad=True)
with torch.inference_mode():
    t = x * 2
    print(t.requires_grad, t.is_inference(), torch.is_inference_mode_enabled())
with torch.inference_mode(False): print(torch.is_grad_enabled())
t
t.requires_grad_()
t._version
t.add_(1)
x * t
(t + 1).is_inference(), t.clone().is_inference()
""",
    "requires_grad": """
torch.tensor([1, 2], requires_grad=True)
torch.tensor([1, 2]).requires_grad_()
i = torch.tensor([1, 2])
i.requires_grad = True
y = torch.ones(2, requires_grad=True) * 2
y.requires_grad = False
y.requires_grad_(False)
y.requires_grad_()
torch.ones(2).requires_grad_(False).requires_grad
y.detach_()
y, y.is_leaf
""",
    "data of what requires grad": """
y = torch.ones(2, requires_grad=True) * 2
y.numpy()
np.asarray(y)
y.detach().numpy()
y.tolist(), y[0].item(), bool(y[0]), int(y[0])
float(y.detach())
bool(y)
y.item()
copy.deepcopy(y)
copy.deepcopy(torch.ones(2, requires_grad=True))
""",
    "anomaly": """
with torch.autograd.set_detect_anomaly(False): print(1)
""",
    "saved tensor hooks": """
x = torch.ones(2, requires_grad=True)
with torch.autograd.graph.saved_tensors_hooks(lambda t: (print("pack", t), t)[1], lambda t: (print("unpack"), t)[1]):
    y = x * x
y.sum().backward()
x.grad
""",
    "warnings": """
y = torch.ones(2, requires_grad=True) * 2
y.grad
""",
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_prints_what_torch_prints(name: str) -> None:
    same(SNIPPETS[name])


def test_nan_is_named_under_anomaly_mode() -> None:
    x = gradc.zeros(1, requires_grad=True)
    y = (x - 1).sqrt()
    with gradc.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan"):
        y.backward()


@pytest.mark.parametrize("n", [1_000, 100_000])
def test_long_chains_run_and_are_freed_without_recursion(n: int) -> None:
    x = gradc.ones(2, requires_grad=True)
    y = x
    for i in range(n):
        y = y * 1.0 if i % 2 else y + 0.0
    y.sum().backward(retain_graph=True)
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 1.0]
    node = weakref.ref(y.grad_fn)
    del y
    gc.collect()
    assert node() is None


def test_backward_is_linear_in_the_length_of_the_chain() -> None:
    def seconds(n: int) -> float:
        x = gradc.ones(2, requires_grad=True)
        start = time.process_time()
        y = x
        for _ in range(n):
            y = y * 1.0
        y.sum().backward()
        return time.process_time() - start

    seconds(1000)
    short, long = min(seconds(2000) for _ in range(3)), min(seconds(16000) for _ in range(2))
    assert long < 8 * short * 3, f"2000 ops {short:.3f} s, 16000 ops {long:.3f} s"


def test_second_derivative_of_a_long_chain() -> None:
    x = gradc.tensor(0.5, requires_grad=True)
    y = x
    for _ in range(3000):
        y = y * 1.0
    (g,) = gradc.autograd.grad(y * y, x, create_graph=True)
    g.backward()
    assert x.grad is not None
    assert x.grad.item() == 2.0


def test_the_tape_does_not_keep_results_alive() -> None:
    x = gradc.ones(3, requires_grad=True)
    y = x.exp()
    seen = weakref.ref(y)
    z = y.sum()
    assert isinstance(z.grad_fn, Node)
    del y
    gc.collect()
    assert seen() is None
    z.backward()
    assert x.grad is not None


def test_a_diamond_runs_each_node_once() -> None:
    x = gradc.ones(1, requires_grad=True)
    calls = []
    y = x * 2
    y.grad_fn.register_hook(lambda i, o: calls.append(1))
    for _ in range(20):
        y = y + y
    y.backward()
    assert calls == [1]
    assert x.grad is not None
    assert x.grad.item() == 2.0 * 2**20


def test_modes_belong_to_a_thread() -> None:
    import threading

    seen = []
    with gradc.no_grad():
        worker = threading.Thread(target=lambda: seen.append(gradc.is_grad_enabled()))
        worker.start()
        worker.join()
    assert seen == [True]
