"""Guards: what a compiled function reads from outside is read anew, checked at each call, or refused by name."""

from __future__ import annotations

import enum
import random
import types

import numpy as np
import pytest

import gradc as gc
from gradc.ir.errors import TraceError
from gradc.reads import reads_of

ONE = np.ones(3, np.float32)
SCALE = 2.0
WEIGHT = gc.full((3,), 2.0)
FLAGS = {"double": False, "shift": [1.0, 2.0]}
SETTINGS = types.SimpleNamespace(rate=0.5, deep=types.SimpleNamespace(power=2))
config = types.ModuleType("config_of_the_user")
config.RATE = 3.0


class Mode(enum.Enum):
    SLOW = 1
    FAST = 2


MODE = Mode.SLOW


def test_reads_of_a_code_object():
    outer = 1

    def f(x):
        def inner():
            return SETTINGS.deep.power + outer

        return x * SCALE + inner()

    found = reads_of(f.__code__)
    assert ("SCALE", (), "") in found
    assert ("SETTINGS", ("deep", "power"), "") in found
    assert ("outer", (), "outer") in found


def change(monkeypatch, fn, at, value, first, second):
    """The compiled function follows a change, and does not trace again when nothing changes."""
    compiled = gc.compile(fn)
    assert compiled(ONE)[0] == first
    assert compiled(ONE)[0] == first
    assert compiled.traces == 1
    monkeypatch.setitem(*at, value)
    assert compiled(ONE)[0] == second
    assert compiled.traces == 2
    monkeypatch.undo()
    assert compiled(ONE)[0] == first
    assert compiled.traces == 2


def test_globals(monkeypatch):
    change(monkeypatch, lambda x: x * SCALE, (globals(), "SCALE"), 5.0, 2.0, 5.0)
    change(monkeypatch, lambda x: x * (1 if MODE is Mode.SLOW else 9), (globals(), "MODE"), Mode.FAST, 1.0, 9.0)


def test_type_matters_and_so_does_the_sign_of_zero(monkeypatch):
    change(monkeypatch, lambda x: x * 0 + (1 if isinstance(SCALE, int) else 0), (globals(), "SCALE"), 2, 0.0, 1.0)
    monkeypatch.setitem(globals(), "SCALE", 0.0)
    compiled = gc.compile(lambda x: gc.copysign(x, gc.tensor(SCALE)) if hasattr(gc, "copysign") else x / (SCALE or 1.0))
    compiled(ONE)
    monkeypatch.setitem(globals(), "SCALE", -0.0)
    compiled(ONE)
    assert compiled.traces == 2


def test_containers_attributes_and_modules(monkeypatch):
    def flag(x):
        return x * 2 if FLAGS["double"] else x

    change(monkeypatch, flag, (FLAGS, "double"), True, 1.0, 2.0)
    change(monkeypatch, lambda x: x * FLAGS["shift"][1], (FLAGS, "shift"), [1.0, 7.0], 2.0, 7.0)
    change(monkeypatch, lambda x: x * SETTINGS.rate, (SETTINGS.__dict__, "rate"), 4.0, 0.5, 4.0)
    change(monkeypatch, lambda x: x * SETTINGS.deep.power, (SETTINGS.deep.__dict__, "power"), 3, 2.0, 3.0)
    change(monkeypatch, lambda x: x * config.RATE, (config.__dict__, "RATE"), 4.0, 3.0, 4.0)


def test_helpers_defaults_and_closures(monkeypatch):
    def helper(x, times=3.0):
        return x * times * SCALE

    def f(x):
        return helper(x)

    change(monkeypatch, f, (globals(), "SCALE"), 5.0, 6.0, 15.0)
    compiled = gc.compile(f)
    assert compiled(ONE)[0] == 6
    helper.__defaults__ = (4.0,)
    assert compiled(ONE)[0] == 8

    def helper(x):
        return x * 100.0

    assert compiled(ONE)[0] == 100
    assert compiled.traces == 3


def test_small_arrays_are_compared_and_large_ones_refused():
    table = np.array([1.0, 2.0, 3.0], np.float32)
    compiled = gc.compile(lambda x: x + gc.tensor(table))
    assert np.array_equal(compiled(ONE), [2, 3, 4])
    table[0] = 10
    assert np.array_equal(compiled(ONE), [11, 3, 4])
    big = np.zeros(10_000, np.float32)
    assert gc.compile(lambda x: x * big.shape[0])(ONE)[0] == 10_000
    with pytest.raises(TraceError, match="reads 'big', an array of 40,000 bytes"):
        gc.compile(lambda x: x + gc.tensor(big[:3]))(ONE)


def test_what_changes_by_being_read_is_refused():
    generator = random.Random(0)
    numbers = np.random.default_rng(0)
    stream = iter([1.0, 2.0])
    for fn, name in (
        (lambda x: x * random.random(), "random.random"),
        (lambda x: x + gc.tensor(np.random.rand(3)), "np.random.rand"),
        (lambda x: x * generator.random(), "generator"),
        (lambda x: x * numbers.random(), "numbers"),
        (lambda x: x * next(stream), "stream"),
    ):
        with pytest.raises(TraceError, match=f"reads '{name}'") as e:
            gc.compile(fn)(ONE)
        assert "pass it as an argument" in str(e.value)


def test_captured_tensors_are_read_at_each_call(monkeypatch):
    compiled = gc.compile(lambda x: x * WEIGHT)
    assert compiled(ONE)[0] == 2
    WEIGHT.fill_(3.0)
    assert compiled(ONE)[0] == 3
    monkeypatch.setitem(globals(), "WEIGHT", gc.full((3,), 7.0))
    assert compiled(ONE)[0] == 7
    assert compiled.traces == 1
    monkeypatch.setitem(globals(), "WEIGHT", gc.full((1,), 8.0))
    assert compiled(ONE)[0] == 8
    assert compiled.traces == 2
    monkeypatch.undo()
    WEIGHT.fill_(2.0)


def test_captured_tensors_are_differentiated():
    w = gc.tensor([1.0, 2.0, 3.0], requires_grad=True)
    frozen = gc.tensor([5.0, 5.0, 5.0])
    loss = gc.compile(lambda x: (x * w * frozen).sum())(gc.ones(3))
    loss.backward()
    assert w.grad.tolist() == [5.0, 5.0, 5.0]
    assert frozen.grad is None
    prog = gc.build(lambda x: (x * w).sum(), gc.spec((3,)))
    value, grads = prog(ONE)
    assert grads == (None,)
    assert prog(ONE).captured["w"].tolist() == [1.0, 1.0, 1.0]
    assert value == 6


def test_modules_are_guarded_and_their_parameters_trained():
    nn = pytest.importorskip("gradc.nn", reason="modules")
    if not hasattr(nn, "Linear"):
        pytest.skip("gradc.nn has no Linear yet")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 4)
            self.scale = 2.0

        def forward(self, x):
            y = self.first(x) * self.scale
            return y if self.training else y * 0

    net = Net()
    x = gc.ones(2, 3)
    run = gc.compile(lambda x: net(x).sum())
    want = net(x).sum()
    assert run(x).item() == pytest.approx(want.item(), rel=1e-5)
    net.scale = 3.0
    assert run(x).item() == pytest.approx(want.item() * 1.5, rel=1e-5)
    net.eval()
    assert run(x).item() == 0
    net.train()
    run(x).backward()
    got = net.first.weight.grad.clone()
    net.first.weight.grad = None
    net(x).sum().backward()
    assert gc.allclose(got, net.first.weight.grad, rtol=1e-5)
    whole = gc.compile(net)
    assert gc.allclose(whole(x), net(x), rtol=1e-5)


def test_objects_passed_as_arguments_are_guarded():
    class Settings:
        def __init__(self):
            self.rate = 2.0

    settings = Settings()
    compiled = gc.compile(lambda x, s: x * s.rate)
    assert compiled(ONE, settings)[0] == 2
    settings.rate = 3.0
    assert compiled(ONE, settings)[0] == 3


def test_methods_guard_what_they_read_of_their_object():
    class Trainer:
        def __init__(self):
            self.rate = 2.0
            self.batches = iter([1, 2, 3])
            self.options = {"shift": 1.0}

        @property
        def shift(self):
            return self.options["shift"]

        def scaled(self, x):
            return x * self.rate

        def step(self, x):
            return self.scaled(x) + self.shift

        def draw(self, x):
            return x * next(self.batches)

    t = Trainer()
    compiled = gc.compile(t.step)
    assert compiled(ONE)[0] == 3
    t.rate = 5.0
    assert compiled(ONE)[0] == 6
    t.options["shift"] = 4.0
    assert compiled(ONE)[0] == 9
    t.batches = iter([])
    assert compiled(ONE)[0] == 9
    assert compiled.traces == 3
    assert gc.compile(lambda x: t.scaled(x))(ONE)[0] == 5
    with pytest.raises(TraceError, match=r"reads 'self.batches', a list_iterator"):
        gc.compile(t.draw)(ONE)


def test_a_value_that_changes_at_every_call_warns_once(monkeypatch):
    compiled = gc.compile(lambda x: x * SCALE)

    def many():
        for i in range(70):
            monkeypatch.setitem(globals(), "SCALE", float(i))
            assert compiled(ONE)[0] == i

    with pytest.warns(UserWarning, match="traced more than 64 times because 'SCALE' changes") as found:
        many()
    assert len(found) == 1
