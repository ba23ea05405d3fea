"""Optimisers take torch's steps: every combination of options, 20 steps on the same data."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import numpy as np
import pytest

import gradc as gc

torch = pytest.importorskip("torch", reason="the oracle")
parity = pytest.importorskip("parity", reason="torch")
STEPS = 20


def run(module: Any, make: Any, x: Any, y: Any, start: list[Any]) -> list[list[Any]]:
    """The parameters after every step of fitting a small network."""
    weights = [module.tensor(v, requires_grad=True) for v in start]
    optimizer = make(module, weights)
    x, y = module.tensor(x), module.tensor(y)
    seen = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        out = (x @ weights[0] + weights[1]).tanh() @ weights[2]
        loss = ((out - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        seen.append([w.detach().numpy().copy() for w in weights])
    return seen


def agree(make: Any, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((16, 5)), rng.standard_normal((16, 2))
    start = [rng.standard_normal(s) for s in ((5, 4), (4,), (4, 2))]
    ours, theirs = run(gc, make, x, y, start), run(torch, make, x, y, start)
    for a, b in zip(ours, theirs, strict=True):
        for v, w in zip(a, b, strict=True):
            np.testing.assert_allclose(v, w, rtol=1e-6, atol=1e-9)


SGD = [
    {"momentum": m, "dampening": d, "weight_decay": w, "nesterov": n, "maximize": u}
    for m, d, w, n, u in itertools.product((0, 0.9), (0, 0.3), (0, 0.1), (False, True), (False, True))
    if not n or (m > 0 and d == 0)
]
ADAM = [
    {"weight_decay": w, "amsgrad": a, "maximize": u, "betas": b, "eps": e}
    for w, a, u, (b, e) in itertools.product(
        (0, 0.1), (False, True), (False, True), (((0.9, 0.999), 1e-8), ((0.5, 0.9), 1e-3))
    )
]


@pytest.mark.parametrize("options", SGD, ids=str)
def test_sgd(options: dict[str, Any], rng: np.random.Generator) -> None:
    agree(lambda module, weights: module.optim.SGD(weights, lr=0.05, **options), rng)


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
@pytest.mark.parametrize("options", ADAM, ids=str)
def test_adam(kind: str, options: dict[str, Any], rng: np.random.Generator) -> None:
    agree(lambda module, weights: getattr(module.optim, kind)(weights, lr=0.05, **options), rng)


def test_float32_stays_within_rounding(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((16, 5)).astype(np.float32), rng.standard_normal((16, 2)).astype(np.float32)
    start = [rng.standard_normal(s).astype(np.float32) for s in ((5, 4), (4,), (4, 2))]
    for make in (
        lambda m, w: m.optim.SGD(w, lr=0.05, momentum=0.9, weight_decay=0.01, nesterov=True),
        lambda m, w: m.optim.AdamW(w, lr=0.01),
    ):
        for a, b in zip(run(gc, make, x, y, start), run(torch, make, x, y, start), strict=True):
            for v, w in zip(a, b, strict=True):
                assert v.dtype == np.float32
                np.testing.assert_allclose(v, w, rtol=2e-5, atol=1e-6)


def test_groups_have_options_of_their_own(rng: np.random.Generator) -> None:
    def make(module: Any, weights: Any) -> Any:
        groups = [{"params": weights[:1], "lr": 0.01}, {"params": weights[1], "momentum": 0.5}]
        optimizer = module.optim.SGD(groups, lr=0.1)
        optimizer.add_param_group({"params": weights[2:], "weight_decay": 0.1})
        return optimizer

    agree(make, rng)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_state_goes_on_where_it_was_saved(kind: str, rng: np.random.Generator) -> None:
    options: dict[str, Any] = {"momentum": 0.9} if kind == "SGD" else {"amsgrad": True}
    made = getattr(gc.optim, kind)
    a, b = (gc.tensor([1.0, -2.0], requires_grad=True) for _ in range(2))
    first, second = made([a], lr=0.1, **options), made([b], lr=0.5, **options)

    def step(p: Any, optimizer: Any) -> None:
        optimizer.zero_grad()
        (p**3).sum().backward()
        optimizer.step()

    step(a, first)
    saved = pickle.loads(pickle.dumps(first.state_dict()))
    with gc.no_grad():
        b.copy_(a)
    second.load_state_dict(saved)
    step(a, first)
    step(b, second)
    assert gc.equal(a, b)
    assert second.param_groups[0]["lr"] == 0.1
    assert first.state_dict()["param_groups"][0]["params"] == [0]
    twin = copy.deepcopy(first)
    assert len(twin.state) == 1
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        made([a, b], lr=0.1).load_state_dict(saved)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        made([{"params": [a]}, {"params": [b]}], lr=0.1).load_state_dict(saved)


SNIPPETS = {
    "text and groups": """
w = torch.ones(2, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
o = torch.optim.SGD([w, b], lr=0.1, momentum=0.9)
print(o)
print(o.state_dict())
print(torch.optim.Adam([{"params": [w], "lr": 0.5}, {"params": b}]))
print(torch.optim.AdamW([("w", w), ("b", b)]).param_groups[0]["param_names"])
print(len(o.param_groups), list(o.param_groups[0]), o.defaults["momentum"])
(w * 3).sum().backward()
o.step()
print(w, b, o.state_dict()["state"])
o.zero_grad(set_to_none=False)
print(w.grad, b.grad)
o.zero_grad()
print(w.grad)
o.step()
print(w)
def closure():
    o.zero_grad()
    loss = (w * w).sum()
    loss.backward()
    return loss
print(o.step(closure), w, w.is_leaf, w._version)
a = torch.optim.Adam([w], lr=torch.tensor(0.1))
a.step(closure)
print(w, a.state[w]["step"], a.state_dict()["state"][0]["exp_avg"].shape)
""",
    "refusals": """
w = torch.ones(2, requires_grad=True)
torch.optim.SGD([w], lr=-1)
torch.optim.SGD([w], lr=0.1, momentum=-1)
torch.optim.SGD([w], lr=0.1, weight_decay=-1)
torch.optim.SGD([w], lr=0.1, nesterov=True)
torch.optim.SGD([w], lr=torch.ones(2))
torch.optim.Adam([w], lr=-1)
torch.optim.Adam([w], eps=-1)
torch.optim.Adam([w], betas=(1.0, 0.9))
torch.optim.Adam([w], betas=(0.9, -0.5))
torch.optim.Adam([w], weight_decay=-1)
torch.optim.SGD(w)
torch.optim.SGD([])
torch.optim.SGD([3])
torch.optim.SGD([w * 2])
torch.optim.SGD([{"params": {w}}])
torch.optim.SGD([{"params": [w]}, {"params": [w]}])
torch.optim.SGD([("w", w), torch.ones(1, requires_grad=True)])
o = torch.optim.SGD([w, w])
o.add_param_group(3)
""",
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_prints_what_torch_prints(name: str, seed: int) -> None:
    parity.same(SNIPPETS[name], seed)


def test_what_is_not_supported_is_refused_by_name() -> None:
    w = gc.ones(2, requires_grad=True)
    with pytest.raises(gc.GradcError, match="optimisers do not support differentiable=True"):
        gc.optim.SGD([w], differentiable=True)
    with pytest.raises(NotImplementedError, match="optimisers do not support capturable=True"):
        gc.optim.Adam([w], capturable=True)
    with pytest.raises(NotImplementedError, match=r"Optimizer does not define step\(\)"):
        gc.optim.Optimizer([w], {}).step()


SCHEDULES = {
    "StepLR": lambda s, o: s.StepLR(o, 3, gamma=0.5),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [2, 7, 7]),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.9),
    "LinearLR": lambda s, o: s.LinearLR(o, 0.25, 0.75, 4),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 5, eta_min=0.01),
    "LambdaLR": lambda s, o: s.LambdaLR(o, [lambda e: 1 / (1 + e), lambda e: 0.5**e]),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rates_follow_torchs_schedules(name: str) -> None:
    seen = []
    for module in (gc, torch):
        weights = [module.ones(2, requires_grad=True), module.ones(1, requires_grad=True)]
        optimizer = module.optim.SGD([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.2}], lr=0.1)
        schedule = SCHEDULES[name](module.optim.lr_scheduler, optimizer)
        rates = []
        for _ in range(12):
            rates.append([g["lr"] for g in optimizer.param_groups])
            assert schedule.get_last_lr() == rates[-1]
            optimizer.step()
            schedule.step()
        seen.append(rates)
        assert schedule.state_dict()["last_epoch"] == 12
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-12, atol=1e-15)


def test_schedules_refuse_what_is_not_an_optimiser() -> None:
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        gc.optim.lr_scheduler.StepLR(3, 1)


def test_schedules_act_on_one_optimiser_together():
    seen = []
    for lib in (torch, gc):
        opt = lib.optim.SGD([lib.ones(1, requires_grad=True)], lr=1.0)
        make = lib.optim.lr_scheduler
        schedules = [
            make.StepLR(opt, 2, 0.5),
            make.MultiStepLR(opt, [3, 3, 7], 0.5),
            make.ExponentialLR(opt, 0.9),
            make.LinearLR(opt, 0.25, 0.8, 5),
            make.CosineAnnealingLR(opt, 4, 0.01),
        ]
        rates = []
        for _ in range(14):
            opt.step()
            for s in schedules:
                s.step()
                rates.append(s.get_last_lr()[0])
            rates.append(opt.param_groups[0]["lr"])
        seen.append(rates)
    np.testing.assert_allclose(seen[1], seen[0], rtol=1e-12)
