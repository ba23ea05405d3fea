"""Backward hooks of modules, as torch calls them."""

import io
from contextlib import redirect_stdout

import pytest

import gradc as gc
from gradc.ir.errors import TraceError

torch = pytest.importorskip("torch", reason="torch is the reference")


def layered(torch):
    nn = torch.nn
    m = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    with torch.no_grad():
        for p in m.parameters():
            p.fill_(0.5)
    m[2].register_full_backward_hook(lambda mod, gi, go: print("A", gi, go))
    m[1].register_full_backward_hook(lambda mod, gi, go: (gi[0] * 2,))
    m[1].register_full_backward_hook(lambda mod, gi, go: print("first", gi), prepend=True)
    m[0].register_full_backward_hook(lambda mod, gi, go: print("B", gi, go))
    handle = m[0].register_full_backward_pre_hook(lambda mod, go: (go[0] * 10,))
    x = torch.ones(1, 2)
    y = m(x)
    y.sum().backward()
    print(y, m[0].weight.grad)
    handle.remove()
    m.zero_grad()
    m(x.requires_grad_()).sum().backward()
    print(x.grad)


def several_arguments(torch):
    class Two(torch.nn.Module):
        def forward(self, a, k, b):
            return a * b, a + k

    m = Two()
    m.register_full_backward_hook(lambda mod, gi, go: print(gi, go))
    a, b = torch.ones(1, requires_grad=True), torch.full((1,), 3.0, requires_grad=True)
    u, v = m(a, 3, b)
    (u + 2 * v).sum().backward()
    print(a.grad, b.grad)
    with torch.no_grad():
        print(m(a, 3, b))


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("snippet", [layered, several_arguments])
def test_backward_hooks_see_what_torchs_see(snippet):
    texts = []
    for lib in (torch, gc):
        with redirect_stdout(io.StringIO()) as out:
            snippet(lib)
        texts.append(out.getvalue())
    assert texts[0] == texts[1]


def test_backward_hooks_that_return_too_much():
    for lib in (torch, gc):
        m = lib.nn.Linear(1, 1)
        m.register_full_backward_hook(lambda mod, gi, go: (gi[0], gi[0]))
        with pytest.raises(RuntimeError, match="invalid number of grad_input, got 2, but expected 1"):
            m(lib.ones(1, 1, requires_grad=True)).sum().backward()


def test_backward_hooks_are_refused_in_a_trace():
    m = gc.nn.Linear(1, 1)
    m.register_full_backward_hook(lambda mod, gi, go: None)
    with pytest.raises(TraceError, match="a module with backward hooks"):
        gc.compile(lambda x: m(x))(gc.ones(1, 1))
