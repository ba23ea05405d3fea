"""Program: what it shows and how it runs."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import gradc as gc
from gradc.ir.errors import ExecutorError, GradRuntimeError, GradTypeError, GradValueError, ShapeError, TargetError

N = 3000


def chain(x, y):
    return ((x * 2).sin() * y + y.exp()).tanh().mean()


def chain_program(n=N, **options):
    specs = [gc.spec((n,), requires_grad=True) for _ in range(2)]
    return gc.build(chain, *specs, **{"name": "loss", "target": "cuda:90", **options})


def chain_gradients(x, y):
    x, y = x.astype(np.float64), y.astype(np.float64)
    t = np.tanh(np.sin(2 * x) * y + np.exp(y))
    d = (1 - t * t) / x.size
    return t.mean(), d * 2 * np.cos(2 * x) * y, d * (np.sin(2 * x) + np.exp(y))


@pytest.fixture(scope="module")
def program():
    return chain_program()


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    return rng.random(N, np.float32), rng.random(N, np.float32)


def close(got, want, tolerance=1e-5):
    got, want = np.asarray(got, np.float64), np.asarray(want)
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= tolerance * max(np.abs(want).max(), 1e-30)


def test_stages_are_texts_in_order_that_parse_back(program):
    assert list(program.stages) == ["traced", "joint", "simplified", "scheduled", "planned"]
    for state, text in program.stages.items():
        module = gc.ir.parse(text)
        assert module.state == state
        assert str(module) == text


@pytest.mark.parametrize("executor", ["reference", "tiled", "triton-interpreter"])
@pytest.mark.parametrize("split", [False, True])
def test_executors_give_value_and_gradients(arrays, executor, split):
    if executor == "triton-interpreter":
        pytest.importorskip("triton", reason="runs emitted Triton text")
    p = chain_program(split=split)
    value, grads = p(*arrays, executor=executor)
    want, *gradients = chain_gradients(*arrays)
    close(value, want)
    for g, w in zip(grads, gradients, strict=True):
        close(g, w)


@pytest.mark.parametrize("executor", ["reference", "tiled", "triton-interpreter"])
def test_halves_of_a_program_that_checks_indices(executor):
    """The flag of a check is no residual: what is saved is counted without it."""
    rng = np.random.default_rng(0)
    x, w, i = rng.standard_normal((5, 6), np.float32), rng.random((4, 6), np.float32), np.array([3, 0, 3, 1, 2])

    def f(x, w, i):
        return gc.nn.functional.cross_entropy(x * w[i], i + 1, label_smoothing=0.1) * x.exp().sum()

    specs = gc.spec("f32[5,6]", requires_grad=True), gc.spec("f32[4,6]", requires_grad=True), gc.spec("i64[5]")
    joint, split = gc.build(f, *specs, name="f"), gc.build(f, *specs, name="f", split=True)
    want, gradients = joint(x, w, i, executor="reference")
    value, residuals = split.forward(x, w, i, executor=executor)
    again = value, split.backward(np.float32(1), residuals, executor=executor)
    for v, grads in (split(x, w, i, executor=executor), again):
        close(v, want)
        close(grads[0], gradients[0])
        close(grads[1], gradients[1])
        assert grads[2] is None
    with pytest.raises(IndexError):
        split.forward(x, w, i + 9, executor=executor)


def test_any_executor_in_any_order(program, arrays):
    first = [program(*arrays, executor=e)[0] for e in ("tiled", "reference", "tiled")]
    assert first[0] == first[2]
    with pytest.raises(ExecutorError, match="unknown executor 'gpu'"):
        program(*arrays, executor="gpu")


def test_kernels_show_bytes_and_source():
    """A million elements take two launches and 1.05 of the least bytes."""
    n = 1 << 20
    p = chain_program(n)
    assert len(p.kernels) <= 2
    first = p.kernels[0]
    assert first.phase == "joint"
    assert "@triton.jit" in first.source
    assert first.reads == {"x": 4 * n, "y": 4 * n}
    assert first.writes["grad_x"] == first.writes["grad_y"] == 4 * n
    assert first.bytes_moved == sum(first.reads.values()) + sum(first.writes.values())
    assert first.flops > 10 * n
    assert p.bytes_min == 4 * 4 * n + 4
    assert p.bytes_moved <= 1.05 * p.bytes_min
    assert sum(k.bytes_moved for k in p.kernels) == p.bytes_moved


def test_bytes_min_counts_what_results_depend_on():
    s = gc.spec("f32[100]", requires_grad=True)
    assert gc.build(lambda x, y: (x * x).sum(), s, gc.spec("f32[50]")).bytes_min == 800 + 4
    assert gc.build(lambda x: x[:10].sum(), gc.spec("f32[100]")).bytes_min == 40 + 4


def test_report_as_text_and_data(program):
    data = program.report().to_json()
    assert data == program.to_json()
    assert json.loads(json.dumps(data)) == data
    assert data["bytes_moved"] == program.bytes_moved
    assert data["bytes_min"] == program.bytes_min
    assert [k["name"] for k in data["kernels"]] == [k.name for k in program.kernels]
    text = str(program.report())
    for part in ("program loss for cuda:90", "kernels", "memory: arena", "grad_x"):
        assert part in text


def test_memory_plan(program):
    m = program.memory
    assert m.arena_bytes >= m.lower_bound_bytes
    assert all(s.offset % 256 == 0 and s.offset + s.bytes <= m.arena_bytes for s in m.slots)
    assert m.saved == []
    saved = chain_program(split=True).memory.saved
    assert any(r.is_input and r.name == "y" for r in saved)
    assert all(r.bytes > 0 and r.reason for r in saved)


def test_split_programs_run_in_two_halves(arrays):
    p = chain_program(split=True)
    value, residuals = p.forward(*arrays)
    grads = p.backward(np.float32(2), residuals)
    want, gx, gy = chain_gradients(*arrays)
    close(value, want)
    close(grads[0], 2 * gx)
    close(grads[1], 2 * gy)
    assert {k.phase for k in p.kernels} == {"forward", "backward"}
    with pytest.raises(GradTypeError, match="backward needs"):
        p.backward(np.float32(1), residuals[1:])
    with pytest.raises(GradRuntimeError, match="not built with split=True"):
        chain_program().forward(*arrays)
    with pytest.raises(GradValueError, match="no argument of f requires grad"):
        gc.build(lambda x: x.sum(), gc.spec((3,)), split=True, name="f")


def test_cotangents_of_values_that_are_no_scalars():
    fn = lambda x: x * x  # noqa: E731
    with pytest.raises(GradRuntimeError, match="grad can be implicitly created only for scalar outputs"):
        gc.build(fn, gc.spec((3,), requires_grad=True))
    with pytest.raises(GradValueError, match="the cotangent is tensor<4xf32>"):
        gc.build(fn, gc.spec((3,), requires_grad=True), cotangent=gc.spec((4,)))
    x, ct = np.array([1, 2, 3], np.float32), np.array([1, 10, 100], np.float32)
    for split in (False, True):
        p = gc.build(fn, gc.spec((3,), requires_grad=True), cotangent=gc.spec((3,)), split=split)
        for outcome in (p(x, ct), p(x, cotangent=ct)):
            assert outcome[0].tolist() == [1, 4, 9]
            assert outcome[1][0].tolist() == [2, 40, 600]
        with pytest.raises(GradTypeError, match="needs a cotangent"):
            p(x)


def test_gradients_are_per_argument_none_without_a_path():
    def fn(a, b, c, n):
        return (a["u"] * a["v"]).sum() * n + c.detach().sum() + b.sum() * 0

    p = gc.build(
        fn,
        {"u": gc.spec((2,), requires_grad=True), "v": gc.spec((2,))},
        gc.spec((2,)),
        gc.spec((2,), requires_grad=True),
        3,
    )
    one = np.ones(2, np.float32)
    value, (ga, gb, gradient_c, gn) = p({"u": one, "v": 2 * one}, one, one, 3)
    assert value == 14
    assert ga["u"].tolist() == [6, 6]
    assert ga["v"] is None
    assert (gb, gradient_c, gn) == (None, None, None)
    assert any(r.kind == "no-gradient" and r.subject == "c" for r in p.remarks)
    with pytest.raises(GradTypeError, match="n was built in as 3, got 4"):
        p({"u": one, "v": one}, one, one, 4)


def test_wrong_arguments_are_refused_by_name(program, arrays):
    x, _ = arrays
    with pytest.raises(ShapeError, match=r"loss: y must be tensor<3000xf32>, got tensor<2xf32>"):
        program(x, x[:2])
    with pytest.raises(ShapeError, match="must be tensor<3000xf32>, got tensor<3000xf64>"):
        program(x, x.astype(np.float64))
    with pytest.raises(GradTypeError, match="y must be an array"):
        program(x, "text")
    with pytest.raises(GradTypeError, match="takes 2 arguments, got 1"):
        program(x)
    with pytest.raises(GradTypeError, match="takes no cotangent"):
        program(x, x, cotangent=x)


def test_wrong_builds_are_refused():
    s = gc.spec((3,), requires_grad=True)
    with pytest.raises(TargetError, match="unknown target 'cuda:12'") as e:
        gc.build(lambda x: x.sum(), s, target="cuda:12")
    assert "cuda:90" in str(e.value)
    with pytest.raises(GradTypeError, match="expected a function"):
        gc.build("no", s)
    with pytest.raises(GradValueError, match="must be an identifier"):
        gc.build(lambda x: x.sum(), s, name="a b")
    with pytest.raises(TargetError, match="has no binaries"):
        gc.build(lambda x: x.sum(), s).kernels[0].binary()


def test_arrays_do_as_well_as_specs_and_results_come_in_kind(arrays):
    x, y = arrays
    p = gc.build(chain, gc.tensor(x, requires_grad=True), y)
    value, grads = p(gc.tensor(x), gc.tensor(y))
    assert isinstance(value, gc.Tensor)
    assert isinstance(grads[0], gc.Tensor)
    assert grads[1] is None
    torch = pytest.importorskip("torch", reason="torch tensors as arguments")
    value, grads = p(torch.tensor(x), torch.tensor(y))
    assert isinstance(grads[0], torch.Tensor)
    close(value.numpy(), chain_gradients(x, y)[0])


def test_binaries_for_a_gpu_without_one(program):
    pytest.importorskip("triton", reason="compiles kernels")
    binary = program.kernels[0].binary("cuda:90")
    assert ".visible .entry" in binary.ptx
    assert binary.cubin
    assert binary.amdgcn is None
    assert binary.registers > 0
    assert binary.spills == 0
    assert "binaries" in program.kernels[0].to_json()


@pytest.mark.parametrize("split", [False, True])
def test_an_exported_file_runs_without_gradc(tmp_path, split):
    pytest.importorskip("triton", reason="the exported file is Triton")
    pytest.importorskip("torch", reason="the exported file is an autograd function of torch")
    chain_program(split=split).export(tmp_path / "loss_kernels.py")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import torch, loss_kernels
x, y = torch.rand({N}, requires_grad=True), torch.rand({N}, requires_grad=True)
(2 * loss_kernels.loss(x, y)).backward()
a, b = x.detach().requires_grad_(), y.detach().requires_grad_()
(2 * ((a * 2).sin() * b + b.exp()).tanh().mean()).backward()
assert torch.allclose(x.grad, a.grad, rtol=1e-4, atol=1e-9) and torch.allclose(y.grad, b.grad, rtol=1e-4, atol=1e-9)
assert "gradc" not in sys.modules
try:
    loss_kernels.loss(x[:3], y)
except TypeError as e:
    assert "x must be a tensor of (3000,)" in str(e)
try:
    torch.autograd.grad(loss_kernels.loss(x, y), x, create_graph=True)
    raise AssertionError("a gradient that counts as a constant in the next one")
except RuntimeError as e:
    assert "loss has no second derivative" in str(e)
"""
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_same_program_same_text_whatever_the_hash_seed():
    code = (
        "import gradc as gc; p = gc.build(lambda x, y: ((x*2).sin()*y + y.exp()).tanh().mean(), "
        "*[gc.spec((99,), requires_grad=True)]*2, name='f'); "
        "print(p.stages['planned'] + ''.join(k.source for k in p.kernels))"
    )
    run = functools.partial(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=True)
    texts = {run(env={**os.environ, "PYTHONHASHSEED": s}).stdout for s in ("0", "1")}
    assert len(texts) == 1
    assert texts.pop()


def test_least_bytes_count_no_flags_of_checks():
    program = gc.build(
        lambda w, i: (gc.nn.functional.embedding(i, w) ** 2).sum(),
        gc.spec("f32[11,5]", requires_grad=True),
        gc.spec("i64[4,6]"),
    )
    assert any(a.get("role") == "check" for a in program.modules[0].main.output_attrs)
    assert program.bytes_min == 11 * 5 * 4 * 2 + 4 * 6 * 8 + 4


@pytest.mark.parametrize("split", [False, True])
def test_captured_parameters_are_named_everywhere(tmp_path, split):
    pytest.importorskip("triton", reason="the exported file is Triton")
    pytest.importorskip("torch", reason="the exported file is an autograd function of torch")
    norm = gc.nn.BatchNorm1d(3)
    spec = gc.spec("f32[4,3]", requires_grad=True)
    prog = gc.build(lambda x: norm(x).exp().sum(), spec, name="loss", split=split)
    report = prog.report()
    facts = {row["name"]: (row["type"], row["requires_grad"], row["written"]) for row in report.to_json()["captured"]}
    assert facts == {
        "norm.num_batches_tracked": ("tensor<i64>", False, True),
        "norm.weight": ("tensor<3xf32>", True, False),
        "norm.bias": ("tensor<3xf32>", True, False),
        "norm.running_mean": ("tensor<3xf32>", False, True),
        "norm.running_var": ("tensor<3xf32>", False, True),
    }
    assert "captured\n" in str(report)
    assert "  norm.weight: tensor<3xf32> requires grad\n" in str(report)
    assert "  norm.running_mean: tensor<3xf32> is written to\n" in str(report)
    assert any("grad_norm.weight" in k.writes for k in prog.kernels)
    prog.export(tmp_path / "norm_kernels.py")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import inspect, torch, norm_kernels
norm = torch.nn.BatchNorm1d(3)
x = torch.arange(12.0).reshape(4, 3).sin().requires_grad_()
given = {{n.replace("norm_", ""): t for n, t in [*norm.named_parameters(), *norm.named_buffers()]}}
names = [n.replace("norm_", "") for n in inspect.signature(norm_kernels.loss).parameters][1:]
value, *new = norm_kernels.loss(x, *[given[n] for n in names])
(2 * value).backward()
got = [x.grad.clone(), norm.weight.grad.clone(), norm.bias.grad.clone()]
x.grad = None
norm.zero_grad()
want = norm(x).exp().sum()
(2 * want).backward()
assert torch.allclose(value, want)
for a, b in zip(got, [x.grad, norm.weight.grad, norm.bias.grad]):
    assert torch.allclose(a, b, rtol=1e-4, atol=1e-4), (a, b)
for t, name in zip(new, ["num_batches_tracked", "running_mean", "running_var"]):
    assert torch.allclose(t, given[name], rtol=1e-5), name
assert "gradc" not in sys.modules
"""
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
