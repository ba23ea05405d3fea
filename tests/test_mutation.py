"""Compiled functions that change tensors: arguments and captured ones, by data and by `.grad`. Every function here runs
as it stands under torch, under gradc eagerly, and compiled; all three must agree in everything that is left behind."""

import warnings

import numpy as np
import pytest

import gradc as gc
from gradc.ir.errors import GradRuntimeError, TraceError, UnsupportedError

torch = pytest.importorskip("torch", reason="torch is the reference")

ROWS = np.random.default_rng(0).standard_normal((3, 4, 3)).astype(np.float32)


def leaf(lib, values=(0.5, -1.0, 2.0)):
    return lib.tensor(list(values), requires_grad=True)


def sgd(lib):
    w = leaf(lib)

    def step(x):
        loss = (x @ w).square().sum()
        (g,) = lib.autograd.grad(loss, [w])
        with lib.no_grad():
            w.sub_(0.01 * g)
        return loss.detach(), (x @ w).square().sum()

    return step, lambda: [w], lambda out: out[1].backward()


def through_data(lib):
    w = leaf(lib)

    def step(x):
        w.grad = None
        loss = (x @ w).exp().mean()
        loss.backward()
        w.data -= 0.1 * w.grad
        return loss.detach()

    return step, lambda: [w], None


def accumulates(lib):
    w = leaf(lib)

    def step(x):
        (x @ w).square().sum().backward()
        w.square().sum().backward()

    return step, lambda: [w], None


def uses_the_leaf_before_and_after(lib):
    w = leaf(lib)

    def step(x):
        before = x @ w.detach() + w.sum()
        with lib.no_grad():
            w.mul_(0.5)
            w[0] = 3.0
        (before.sum() + (x @ w).exp().sum()).backward()

    return step, lambda: [w], None


def batch_norm(lib, **options):
    norm = lib.nn.BatchNorm1d(3, **options)

    def step(x):
        return (norm(x) * x).square().sum()

    return step, lambda: [*norm.parameters(), *norm.buffers()], lambda out: out.backward()


def batch_norm_without_momentum(lib):
    return batch_norm(lib, momentum=None)


def views_of_a_buffer(lib):
    buffer = lib.zeros(4, 3)

    def step(x):
        buffer[0] = x.sum(0)
        buffer[:, 1].add_(1)
        buffer.t()[2].copy_(x[:, 0])
        row = buffer[1]
        row += 2
        return buffer.sum() + row.sum()

    return step, lambda: [buffer], None


def several_dtypes(lib):
    count, seen, wide = lib.zeros((), dtype=lib.int64), lib.zeros(3, dtype=lib.bool), lib.zeros(3, dtype=lib.float64)

    def step(x):
        count.add_(1)
        seen.logical_or_(x[0] > 0)
        wide.add_(x[0])
        return x * count + wide * seen

    return step, lambda: [count, seen, wide], None


def nested(lib):
    total = lib.zeros(3)
    wrap = gc.compile if lib is gc else lambda f: f
    add = wrap(lambda x: total.add_(x.sum(0)).sum())

    def step(x):
        return add(x) + add(2 * x) + total.prod()

    return step, lambda: [total], None


def nested_step(lib):
    w = leaf(lib)
    wrap = gc.compile if lib is gc else lambda f: f

    @wrap
    def update(x):
        w.grad = None
        (x @ w).square().sum().backward()
        with lib.no_grad():
            w.sub_(0.01 * w.grad)

    def step(x):
        update(x)
        update(x)
        return (x @ w).sum()

    return step, lambda: [w], lambda out: out.backward()


def no_longer_a_leaf(lib):
    state, w = lib.zeros(3), leaf(lib)

    def step(x):
        y = x * 2
        with lib.no_grad():
            y.mul_(3)
        z = y.exp()
        y.detach().add_(1)
        state.copy_(z.detach()[0])
        return ((z + y) @ w).sum()

    return step, lambda: [state, w], lambda out: out.backward()


CASES = [
    sgd,
    through_data,
    accumulates,
    uses_the_leaf_before_and_after,
    batch_norm,
    batch_norm_without_momentum,
    views_of_a_buffer,
    several_dtypes,
    nested,
    nested_step,
    no_longer_a_leaf,
]


def trained(case, lib, compiled):
    """What the function returns and leaves behind, over three calls."""
    step, state, after = case(lib)
    run = gc.compile(step) if compiled else step
    seen = []
    for rows in ROWS:
        out = run(lib.tensor(rows.tolist()))
        if after is not None:
            after(out)
        outs = [] if out is None else out if isinstance(out, tuple) else (out,)
        left = [t for s in state() for t in (s, s.grad) if t is not None]
        seen.append([np.asarray(t.detach().tolist(), np.float64) for t in (*outs, *left)])
    versions = [t._version for t in state()]
    return seen, versions, run


@pytest.mark.parametrize("case", CASES)
def test_what_is_left_behind_is_what_torch_leaves(case):
    want, _, _ = trained(case, torch, False)
    eager, versions, _ = trained(case, gc, False)
    got, after, run = trained(case, gc, True)
    for a, b, c in zip(want, eager, got, strict=True):
        assert len(a) == len(b) == len(c)
        for x, y, z in zip(a, b, c, strict=True):
            np.testing.assert_allclose(y, x, rtol=2e-4, atol=2e-5)
            np.testing.assert_allclose(z, x, rtol=2e-4, atol=2e-5)
    if case is not through_data:  # a write to .data is not counted eagerly
        assert [v > 0 for v in after] == [v > 0 for v in versions]
    assert run.traces <= 2


@pytest.mark.parametrize("executor", ["reference", "tiled", "triton-interpreter"])
def test_every_executor_writes_back(executor):
    w = gc.ones(5)

    @gc.compile(executor=executor)
    def step(x):
        w.add_(x)
        return w.sum()

    view = w[1:3]
    assert step(gc.arange(5).float()).item() == 15
    assert w.tolist() == [1, 2, 3, 4, 5]
    assert view.tolist() == [2, 3]
    assert (w._version, view._version) == (1, 1)


def test_arguments_of_every_kind_are_written_to():
    fill = gc.compile(lambda x: x.mul_(2).sum())
    given = np.ones((3, 2), np.float32)
    assert fill(given) == 12
    assert (given == 2).all()
    assert fill(given.T[:, ::2]) == 16
    assert given.tolist() == [[4, 4], [2, 2], [4, 4]]
    tensor = torch.ones(3)
    assert fill(tensor) == 6
    assert tensor.tolist() == [2, 2, 2]
    assert tensor._version == 1
    half = torch.ones(3, dtype=torch.bfloat16)
    fill(half)
    assert half.tolist() == [2, 2, 2]
    assert fill(np.float32(3)) == 6


def test_the_gradients_of_arguments():
    @gc.compile
    def f(x):
        loss = (x * x).sum()
        loss.backward()
        return loss

    x = leaf(gc)
    loss = f(x)
    assert x.grad.tolist() == [1, -2, 4]
    kept = x.grad
    f(x)
    assert x.grad is kept
    assert kept.tolist() == [2, -4, 8]
    with pytest.raises(GradRuntimeError, match="Trying to backward through the graph a second time"):
        loss.backward()

    @gc.compile
    def reads(x):
        return x.grad * 2

    with pytest.raises(TraceError, match=r"the \.grad of an argument that has one already"):
        reads(x)


def test_a_recorded_write_makes_the_argument_part_of_the_graph():
    results = []
    for lib in (torch, gc):
        w, x = leaf(lib), lib.tensor([1.0, 2.0, 3.0])

        def f(x, w=w):
            x.mul_(w)
            return x.exp().sum()

        out = (gc.compile(f) if lib is gc else f)(x)
        assert x.requires_grad
        assert not x.is_leaf
        (out + (x * x).sum()).backward()
        results.append((x.tolist(), w.grad.tolist(), x._version))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5)
    assert results[0][2] == results[1][2] == 1


def test_a_value_that_backward_needs_and_the_function_changed_is_noticed():
    for lib in (torch, gc):
        w = leaf(lib)

        def f(x, w=w, lib=lib):
            loss = (w * w * x).sum()
            with lib.no_grad():
                w.add_(1)
            return loss

        loss = (gc.compile(f) if lib is gc else f)(lib.ones(3))
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_second_derivatives_do_not_need_what_was_written_to():
    results = []
    for lib in (torch, gc):
        norm, x = lib.nn.BatchNorm1d(3).double(), lib.tensor(ROWS[0].tolist(), dtype=lib.float64, requires_grad=True)

        def f(x, norm=norm):
            return norm(x).exp().sum()

        out = (gc.compile(f) if lib is gc else f)(x)
        (g,) = lib.autograd.grad(out, x, create_graph=True)
        g.square().sum().backward()
        results.append(x.grad.tolist())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6, atol=1e-9)


def test_writes_that_are_refused_before_anything_runs():
    base = gc.zeros(4)
    view = base[1:]

    def shared(x):
        base.add_(1)
        return view * x

    with pytest.raises(UnsupportedError, match="shares memory with another tensor"):
        gc.compile(shared)(gc.ones(3))
    both = gc.compile(lambda x, y: x.add_(1).sum() + y.sum())
    x = gc.zeros(4)
    with pytest.raises(UnsupportedError, match="shares memory with another tensor"):
        both(x, x[1:])
    assert both(x[:2], x[2:]).item() == 2  # neighbours in one storage share nothing
    frozen = np.zeros(3, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(GradRuntimeError, match="read-only"):
        gc.compile(lambda x: x.add_(1).sum())(frozen)
    w = torch.ones(3, requires_grad=True)
    with pytest.raises(UnsupportedError, match="writes to tensors, and is called with torch tensors that require grad"):
        gc.compile(lambda w, x: (w * x.add_(1)).sum())(w, torch.ones(3))

    def reads_back(x):
        base.add_(1)
        return x * float(base[0:1])

    with pytest.raises(TraceError, match=r"float\(\) of a traced value"):
        gc.compile(reads_back)(gc.ones(3))

    def reads_what_it_wrote(x):
        base.add_(1)
        return x * base.tolist()[0]

    with pytest.raises(TraceError, match="there is no data"):
        gc.compile(reads_what_it_wrote)(gc.ones(3))
    assert base.tolist() == [0, 0, 0, 0]


def test_hooks_on_a_leaf_are_not_passed_over():
    w = leaf(gc)
    w.register_hook(lambda g: g * 2)

    def f(x):
        (x * w).sum().backward()

    with pytest.raises(TraceError, match="reaches a tensor with hooks"):
        gc.compile(f)(gc.ones(3))


def test_a_program_gives_what_it_writes_and_changes_nothing():
    norm = gc.nn.BatchNorm1d(3)
    prog = gc.build(lambda x: norm(x).square().sum(), gc.spec("f32[4,3]", requires_grad=True), name="normed")
    for executor in ("reference", "tiled", "triton-interpreter"):
        outcome = prog(ROWS[0], executor=executor)
        np.testing.assert_allclose(outcome.written["norm.running_mean"], 0.1 * ROWS[0].mean(0), rtol=1e-5)
        assert outcome.written["norm.num_batches_tracked"] == 1
        assert set(outcome.captured) == {"norm.weight", "norm.bias"}
    assert norm.running_mean.tolist() == [0, 0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split = gc.build(lambda x: norm(x).square().sum(), gc.spec("f32[4,3]", requires_grad=True), split=True)
        assert set(split(ROWS[0]).written) == set(outcome.written)
    with pytest.raises(TraceError, match=r"changes the .grad of a captured tensor"):
        gc.build(lambda x: (norm(x).sum().backward(), x)[1], gc.spec("f32[4,3]"))


def network(lib):
    lib.manual_seed(0)
    model = lib.nn.Sequential(lib.nn.Linear(3, 5), lib.nn.Tanh(), lib.nn.Linear(5, 1))
    with lib.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(lib.tensor(np.random.default_rng(i).standard_normal(tuple(p.shape)).tolist()))
    return model


OPTIMIZERS = [
    lambda lib, p: lib.optim.SGD(p, lr=0.1),
    lambda lib, p: lib.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.1),
    lambda lib, p: lib.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    lambda lib, p: lib.optim.Adam(p, lr=0.1, weight_decay=0.1, amsgrad=True),
    lambda lib, p: lib.optim.AdamW([{"params": list(p)[:2], "lr": 0.05}, {"params": []}], lr=0.1),
    lambda lib, p: lib.optim.AdamW(p, lr=0.1),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_whole_training_steps_compile(make):
    results = []
    for lib in (torch, gc):
        model = network(lib)
        opt = make(lib, model.parameters())
        schedule = lib.optim.lr_scheduler.ExponentialLR(opt, 0.7)

        def step(x, y, model=model, opt=opt, lib=lib):
            opt.zero_grad()
            loss = lib.nn.functional.mse_loss(model(x).squeeze(1), y)
            loss.backward()
            opt.step()
            return loss

        run = gc.compile(step) if lib is gc else step
        losses = []
        for rows in (*ROWS, *ROWS):
            losses.append(run(lib.tensor(rows.tolist()), lib.tensor(rows[:, 0].tolist())).item())
            schedule.step()
        state = [[v.tolist() for v in s.values() if v is not None] for s in opt.state_dict()["state"].values()]
        results.append((losses, [p.tolist() for p in model.parameters()], state))
        if lib is gc:
            # .grad is None at the first call only, and so is the momentum.
            assert run.traces == 2
    for want, got in zip(results[0], results[1], strict=True):
        assert_near(got, want)


def assert_near(got, want):
    if isinstance(want, list):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            assert_near(g, w)
    else:
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_step_by_itself_and_twice_in_one_call():
    results = []
    for lib in (torch, gc):
        w, v = leaf(lib), leaf(lib)
        opt = lib.optim.AdamW([w, v], lr=0.1)
        v.grad = lib.ones(3)
        opt.step()  # v is a step ahead
        w.grad = lib.tensor([1.0, -2.0, 0.5])

        def twice(opt=opt):
            opt.step()
            opt.step()

        run = gc.compile(twice) if lib is gc else twice
        run()
        opt.param_groups[0]["lr"] = 0.01
        run()
        assert lib is torch or run.traces == 1
        opt.load_state_dict(opt.state_dict())
        run()
        results.append((w.tolist(), v.tolist(), [s["step"].item() for s in opt.state.values()]))
    assert results[0][2] == results[1][2]
    assert_near(results[1][0], results[0][0])
    assert_near(results[1][1], results[0][1])


def test_a_trace_that_fails_leaves_the_optimiser_as_it_was():
    w = leaf(gc)
    opt = gc.optim.SGD([w], lr=0.1, momentum=0.9)
    w.grad = gc.ones(3)

    @gc.compile
    def f(x):
        opt.step()
        return x * float(x.sum())

    with pytest.raises(TraceError, match=r"float\(\) of a traced value"):
        f(gc.ones(3))
    assert opt.state[w] == {}
    assert w.tolist() == [0.5, -1.0, 2.0]
