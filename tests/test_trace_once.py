"""What takes effect at once is refused while tracing: the calls that follow would not repeat it. And what a compiled
function does not find while it is traced (an attribute, a second tensor) is seen when it comes."""

from __future__ import annotations

import pytest

import gradc as gc
from gradc.ir.errors import TraceError, UnsupportedError


def vector(*x, grad=True):
    return gc.tensor([float(v) for v in x], requires_grad=grad)


def hooked(x):
    y = x * 3
    y.register_hook(lambda g: g * 10)
    return y


def kept(x):
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward()
    return y.grad


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (hooked, r"register_hook\(\) while tracing"),
        (lambda x: x.register_hook(lambda g: g * 10) and x, r"register_hook\(\) while tracing"),
        (lambda x: x.register_post_accumulate_grad_hook(print) and x, r"post_accumulate_grad_hook\(\) while tracing"),
        (kept, r"retain_grad\(\) while tracing"),
        (lambda x: (x * 2).grad_fn, r"grad_fn\(\) of a traced value"),
        (lambda x: x.requires_grad_(False) * 2, "requires_grad = False while tracing"),
        (lambda x: gc.manual_seed(1) and x * gc.rand(2), "seeding while tracing"),
        (lambda x: x * gc.initial_seed(), "reading the seed while tracing"),
        (lambda x: x * gc.rand(2, generator=gc.Generator()), "a generator of random numbers while tracing"),
        (lambda x: x * gc.randperm(2, generator=gc.Generator()), "a generator of random numbers while tracing"),
        (lambda x: gc.nn.init.normal_(gc.zeros(2)) * x, "a generator of random numbers while tracing"),
    ],
)
def test_refused_while_tracing(f, message):
    x = vector(1, 2)
    with pytest.raises(TraceError, match=message):
        gc.compile(f)(x)
    assert x.requires_grad
    assert x._leaf_hooks is None


def test_hooks_of_captured_tensors():
    w, x = vector(1, 2), vector(3, 4, grad=False)
    with pytest.raises(TraceError, match=r"register_hook\(\) while tracing"):
        gc.compile(lambda x: w.register_hook(lambda g: g * 10) and w * x)(x)
    w.register_hook(lambda g: g * 10)
    gc.compile(lambda x: (w * x).sum())(x).backward()
    assert w.grad.tolist() == [30.0, 40.0]
    with pytest.raises(TraceError, match=r"autograd.grad\(\) while tracing reaches a tensor with hooks"):
        gc.compile(lambda x: gc.autograd.grad((w * x).sum(), w)[0])(x)


def test_leaves_and_drawn_leaves():
    seen = []

    def f(x, w):
        y = x * w
        seen.append((x.is_leaf, w.is_leaf, y.is_leaf, y.detach().is_leaf))
        r = gc.rand(2, requires_grad=True)
        (r * r * w).sum().backward()
        return y, r.grad - 2 * r * w

    _, zero = gc.compile(f)(vector(1, 2), vector(3, 4, grad=False))
    assert seen == [(True, True, False, True)]
    assert zero.tolist() == [0.0, 0.0]


def test_backward_inside_stops_at_no_tensor_with_a_history():
    """What the tensor was computed from would get nothing."""
    w, message = vector(1, 2), "gives a .grad to a tensor that is not a leaf"
    y = w * 3

    def run(x):
        (x * x).sum().backward()
        return x.detach() + 1

    compiled = gc.compile(run)
    captures = gc.compile(lambda x: run(y) + x)
    nested = gc.compile(lambda x: compiled(x * 3))
    for call in (lambda: compiled(y), lambda: captures(vector(0, 0, grad=False)), lambda: nested(w)):
        with pytest.raises(UnsupportedError, match=message):
            call()
        assert w.grad is None
    assert y._grad is None
    compiled(w)
    assert w.grad.tolist() == [2.0, 4.0]


class Bag:
    pass


class Slotted:
    __slots__ = ("a", "k")


@pytest.mark.parametrize("where", ["object", "class", "slots"])
def test_attributes_that_come_later(where):
    kind = type("Own", (Bag,), {"__module__": __name__}) if where == "class" else Slotted if where == "slots" else Bag
    o = kind()
    o.a = 1.0
    f = gc.compile(lambda x: x * getattr(o, "k", 2.0) + (1 if hasattr(o, "k") else 0))
    x = vector(1, 2, grad=False)
    assert f(x).tolist() == [2.0, 4.0]
    (kind if where == "class" else o).k = 5.0
    assert f(x).tolist() == [6.0, 11.0]
    del (kind if where == "class" else o).k
    assert f(x).tolist() == [2.0, 4.0]


def test_an_object_without_attributes_yet():
    o = Bag()
    f = gc.compile(lambda x: x * getattr(o, "k", 2.0))
    assert f(vector(1, grad=False)).tolist() == [2.0]
    o.k = 5.0
    assert f(vector(1, grad=False)).tolist() == [5.0]


def test_tied_tensors_that_come_apart():
    w = vector(2)
    held = [w, w]
    f = gc.compile(lambda x: (x * held[0] * held[1]).sum())
    f(vector(3, grad=False)).backward()
    assert w.grad.tolist() == [12.0]
    held[1], w.grad = vector(5), None
    f(vector(3, grad=False)).backward()
    assert (w.grad.tolist(), held[1].grad.tolist()) == ([15.0], [6.0])
    assert f.traces == 2


def test_a_memoryview_cannot_be_guarded():
    m = memoryview(bytearray(b"ab"))
    with pytest.raises(TraceError, match="a memoryview, whose contents cannot be guarded"):
        gc.compile(lambda x: x * m[0])(vector(1))
