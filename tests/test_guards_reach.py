"""Guards: how far a compiled function is followed. Each case changes something that the function reads in a roundabout
way; the second call must see it."""

from __future__ import annotations

import argparse
import array
import collections
import contextvars
import functools
import os
import sys
import threading
import time
import types
import typing

import numpy as np
import pytest

import gradc as gc
from gradc.ir.errors import TraceError, UnsupportedError

ONE = np.ones(3, np.float32)
RATE = 1.0
config = types.ModuleType("config_in_a_function")
config.RATE = 1.0
config.scaled = eval("lambda x: x * RATE", vars(config))


@pytest.fixture(autouse=True)
def _restore(monkeypatch):
    monkeypatch.setitem(sys.modules, config.__name__, config)
    monkeypatch.setitem(globals(), "RATE", 1.0)
    monkeypatch.setattr(config, "RATE", 1.0)
    monkeypatch.setenv("GRADC_TEST_RATE", "1.0")


class Plain:
    def __init__(self, k=1.0):
        self.k = k


class Scaled:
    def __init__(self):
        self.k = 1.0
        self.table = {"k": 1.0}

    def times(self, x):
        return x * self.k

    @functools.cached_property
    def cached(self):
        return self.k

    @property
    def half(self):
        return self.k / 2

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__["table"][name.removeprefix("dynamic_")]


class WithDefault:
    k = 1.0

    def times(self, x):
        return x * self.k

    @classmethod
    def of_class(cls, x):
        return x * cls.k

    @staticmethod
    def of_global(x):
        return x * RATE


class Derived(WithDefault):
    def times(self, x):
        return super().times(x)


class Slotted:
    __slots__ = ("k",)


class Pair(typing.NamedTuple):
    a: float

    def times(self, x):
        return x * self.a * RATE


class Table(dict):
    pass


def use(o, x):
    return x * o.k


def wraps(fn):
    @functools.wraps(fn)
    def wrapper(*args):
        return fn(*args)

    return wrapper


def objects():
    """(name, function, what changes it to give twice as much)."""
    plain, other, slotted, scaled = Plain(), Plain(), Slotted(), Scaled()
    slotted.k = 1.0
    plain.sub = other
    yield "object handed on", lambda x: use(plain, x), lambda: setattr(plain, "k", 2.0)
    yield "attribute handed on", lambda x: use(plain.sub, x), lambda: setattr(other, "k", 2.0)
    yield "getattr", lambda x: x * getattr(other, "k"), lambda: setattr(other, "k", 2.0)  # noqa: B009
    yield "vars", lambda x: x * vars(other)["k"], lambda: setattr(other, "k", 2.0)
    yield "slots", lambda x: x * slotted.k, lambda: setattr(slotted, "k", 2.0)
    yield "slots handed on", lambda x: use(slotted, x), lambda: setattr(slotted, "k", 2.0)
    yield "method", lambda x: scaled.times(x), lambda: setattr(scaled, "k", 2.0)
    yield "property", lambda x: x * scaled.half * 2, lambda: setattr(scaled, "k", 2.0)
    yield "cached property", lambda x: x * scaled.cached, lambda: setattr(scaled, "cached", 2.0)
    yield "__getattr__", lambda x: x * scaled.dynamic_k, lambda: scaled.table.update(k=2.0)
    yield "method of an instance", lambda x: scaled.times(x), lambda: setattr(scaled, "times", lambda x: x * 2)
    local, namespace, given = threading.local(), types.SimpleNamespace(k=1.0), argparse.Namespace(k=1.0)
    local.k = 1.0
    yield "thread local", lambda x: x * local.k, lambda: setattr(local, "k", 2.0)
    yield "namespace handed on", lambda x: use(namespace, x), lambda: setattr(namespace, "k", 2.0)
    yield "options handed on", lambda x: use(given, x), lambda: setattr(given, "k", 2.0)

    def own(x):
        return x * own.k

    own.k = 1.0
    yield "attribute of a function", own, lambda: setattr(own, "k", 2.0)
    part = functools.partial(lambda x, o, k: x * o.k * k, o=plain, k=1.0)
    yield "partial", lambda x: part(x), lambda: setattr(plain, "k", 2.0)
    yield "compiled partial", part, lambda: setattr(plain, "k", 2.0)


def classes(monkeypatch):
    a, b = WithDefault(), Derived()
    twice = functools.partial(monkeypatch.setattr, WithDefault, "k", 2.0)
    yield "class attribute by instance", lambda x: x * a.k, twice
    yield "class attribute by class", lambda x: x * WithDefault.k, twice
    yield "class attribute by derived class", lambda x: x * Derived.k, twice
    yield "class handed on", lambda x: use(WithDefault, x), twice
    yield "class attribute in a method", lambda x: a.times(x), twice
    yield "class attribute in a class method", lambda x: WithDefault.of_class(x), twice
    yield "super", lambda x: b.times(x), twice
    yield "object made in the function", lambda x: WithDefault().times(x), twice
    yield "instance shadows its class", lambda x: x * a.k, lambda: setattr(a, "k", 2.0)
    yield "static method", lambda x: a.of_global(x), lambda: globals().update(RATE=2.0)
    pair = Pair(1.0)
    yield "method of a tuple", lambda x: pair.times(x), lambda: globals().update(RATE=2.0)
    yield (
        "method replaced",
        lambda x: a.times(x),
        lambda: monkeypatch.setattr(WithDefault, "times", lambda self, x: x * 2.0),
    )


def places(monkeypatch):
    def imported(x):
        import config_in_a_function

        return x * config_in_a_function.RATE

    def imported_from(x):
        from config_in_a_function import RATE as R

        return x * R

    def imported_function(x):
        from config_in_a_function import scaled

        return scaled(x)

    def module(x):
        return (lambda m: x * m.RATE)(config)

    twice = functools.partial(monkeypatch.setattr, config, "RATE", 2.0)
    yield "import", imported, twice
    yield "from import", imported_from, twice
    yield "imported function", imported_function, twice
    yield "module handed on", module, twice
    chosen = contextvars.ContextVar("chosen", default=1.0)
    yield "context variable", lambda x: x * chosen.get(), lambda: chosen.set(2.0)
    env = functools.partial(monkeypatch.setenv, "GRADC_TEST_RATE", "2.0")
    yield "environ", lambda x: x * float(os.environ["GRADC_TEST_RATE"]), env
    yield "getenv", lambda x: x * float(os.getenv("GRADC_TEST_RATE")), env
    d, a, u, t = collections.deque([1.0]), array.array("d", [1.0]), collections.UserDict(k=1.0), Table()
    base = {"k": 1.0}
    view = types.MappingProxyType(base)
    t.k = 1.0
    yield "deque", lambda x: x * d[0], lambda: d.__setitem__(0, 2.0)
    yield "array", lambda x: x * a[0], lambda: a.__setitem__(0, 2.0)
    yield "UserDict", lambda x: x * u["k"], lambda: u.update(k=2.0)
    yield "read-only view", lambda x: x * view["k"], lambda: base.update(k=2.0)
    yield "attribute of a dict", lambda x: x * t.k, lambda: setattr(t, "k", 2.0)
    o = Plain()
    times = wraps(lambda self, x: x * self.k)
    o.times = types.MethodType(times, o)
    yield "wrapped method", lambda x: o.times(x), lambda: setattr(o, "k", 2.0)


@pytest.mark.parametrize("family", [objects, classes, places])
def test_what_the_function_reads_is_followed(family):
    with pytest.MonkeyPatch.context() as monkeypatch:
        names = [name for name, *_ in (family() if family is objects else family(monkeypatch))]
    for name in names:
        with pytest.MonkeyPatch.context() as monkeypatch:
            cases = {n: rest for n, *rest in (family() if family is objects else family(monkeypatch))}
            fn, change = cases[name]
            compiled = gc.compile(fn)
            assert compiled(ONE)[0] == 1, name
            assert compiled(ONE)[0] == 1, name
            before = compiled.traces
            assert before <= (2 if name == "cached property" else 1), name
            change()
            assert compiled(ONE)[0] == 2, name
            assert compiled.traces == before + 1, name
        globals()["RATE"] = 1.0


def test_what_is_read_of_a_captured_tensor_beside_its_values():
    w, state = gc.ones(3), types.SimpleNamespace(w=gc.ones(3))
    cases = [
        (lambda x: x * w.item() if w.numel() == 1 else x * w.tolist()[0], lambda: w.mul_(2)),
        (lambda x: x * gc.tensor(w.numpy()), lambda: w.mul_(2)),
        (lambda x: x * (state.w.shape[0] / 3), lambda: setattr(state, "w", gc.ones(6))),
        (lambda x: x * (2.0 if state.w.requires_grad else 1.0), lambda: state.w.requires_grad_()),
    ]
    for fn, change in cases:
        w.fill_(1.0)
        compiled = gc.compile(fn)
        assert compiled(ONE)[0] == 1
        change()
        assert compiled(ONE)[0] == 2
        assert compiled.traces == 2
    big = gc.zeros(10_000)
    with pytest.raises(TraceError, match=r"numpy\(\) of a captured tensor of 40,000 bytes"):
        gc.compile(lambda x: x + big.numpy()[0])(ONE)


def test_the_grad_of_a_captured_tensor_is_read_anew():
    w = gc.ones(3, requires_grad=True)
    (w * 2).sum().backward()
    compiled = gc.compile(lambda x: x * w.grad)
    assert compiled(ONE)[0] == 2
    w.grad = gc.full((3,), 5.0)
    assert compiled(ONE)[0] == 5
    assert compiled.traces == 1


def test_a_tensor_that_cannot_be_followed_is_refused():
    hidden = collections.UserString("holds a tensor where only this object's methods would find it")
    hidden.w = gc.ones(3)
    with pytest.raises(TraceError, match="where it comes from cannot be followed"):
        gc.compile(lambda x: x * getattr(hidden, "".join(["w"])))(ONE)


def test_what_cannot_be_told_is_refused():
    for fn, what in (
        (lambda x: x * eval("RATE"), "'eval', through which it may read"),
        (lambda x: x * globals()["RATE"], "'globals'"),
        (lambda x: x * time.perf_counter(), "'time.perf_counter', a clock"),
    ):
        with pytest.raises(TraceError, match=what):
            gc.compile(fn)(ONE)
    torch = pytest.importorskip("torch", reason="torch is optional")
    w = torch.ones(3)
    assert gc.compile(lambda x: x * w.shape[0])(ONE)[0] == 3
    with pytest.raises(TraceError, match="'w', a torch tensor"):
        gc.compile(lambda x: x * w)(ONE)
    own = gc.ones(3, requires_grad=True)
    with pytest.raises(UnsupportedError, match="torch's autograd would not reach them"):
        gc.compile(lambda x: (x * own).sum())(w)
    with gc.no_grad():
        assert gc.compile(lambda x: (x * own).sum())(w) == 3


def test_a_gradient_of_a_captured_tensor_is_not_lost_on_numpy_arguments():
    w = gc.ones(3, requires_grad=True)
    out = gc.compile(lambda x: (x * w).sum())(ONE * 4)
    out.backward()
    assert np.array_equal(w.grad.numpy(), ONE * 4)


class Turns:
    def __init__(self, rate):
        self.rate = rate

    def double(self, x, n):
        return x if n == 0 else self.scale(x * 2, n - 1)

    def scale(self, x, n):
        return x if n == 0 else self.double(x * self.rate, n - 1)


def test_methods_that_call_each_other_are_followed_once():
    turns = Turns(1.0)
    f = gc.compile(lambda x: turns.double(x, 4))
    assert np.array_equal(f(ONE), ONE * 4)
    turns.rate = 3.0
    assert np.array_equal(f(ONE), ONE * 36)


def test_a_long_chain_of_methods_is_followed_without_recursion():
    body = {f"step_{i}": eval(f"lambda self, x: self.step_{i + 1}(x)") for i in range(2000)}
    last = {"step_2000": lambda self, x: x * self.rate}
    chain = type("Chain", (), {**body, **last, "__module__": __name__})()
    chain.rate = 2.0
    with pytest.raises(RecursionError):  # Python's own, of the user's calls
        chain.step_0(ONE)
    f = gc.compile(lambda x: chain.step_1900(x) if x is not None else chain.step_0(x))
    assert np.array_equal(f(ONE), ONE * 2)
    chain.rate = 5.0
    assert np.array_equal(f(ONE), ONE * 5)
