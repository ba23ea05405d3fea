"""Tracing: what is recorded, where it says it comes from, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import gradc as gc
from gradc.dispatch import current_trace
from gradc.ir.errors import GradcError, GradRuntimeError, TraceError
from gradc.pytree import flatten
from gradc.record import trace_function
from gradc.specs import spec

A = np.arange(6, dtype=np.float32).reshape(2, 3)


def traced(fn, *args, **options):
    leaves, structure = flatten((args, {}))
    names = [f"a{i}" for i in range(len(leaves))]
    return trace_function(fn, leaves, structure, names, name="f", **options)[0].graph


def line_of(fn, text):
    import inspect

    lines, start = inspect.getsourcelines(fn)
    return start + next(i for i, line in enumerate(lines) if text in line)


def test_nodes_carry_the_users_line_and_variable():
    def f(x):
        h = x * 2.0
        z, i = h.max(1)
        return z + i

    graph = traced(f, spec("f32[2,3]"))
    by_op = {n.op.name: n for n in graph.nodes}
    mul = by_op["grad.mul"]
    assert mul.loc is not None
    assert mul.loc.file == "tests/test_trace.py" or mul.loc.file.endswith("test_trace")
    assert mul.loc.line == line_of(f, "h = x * 2.0")
    assert mul.loc.column > 0
    assert graph.names[mul.results[0]] == "h"
    pair = next(n for n in graph.nodes if len(n.results) == 2)
    assert [graph.names[r] for r in pair.results] == ["z", "i"]


def test_names_of_attributes_and_globals():
    class Box:
        pass

    box = Box()

    def f(x):
        box.inner = x.exp()
        return box.inner * 1.0

    graph = traced(f, spec("f32[3]"))
    assert "inner" in graph.names.values()


def test_no_grad_marks_nodes_and_detach_is_an_op():
    def f(x):
        with gc.no_grad():
            y = x * 3
        return x.detach() + y

    graph = traced(f, spec("f32[3]", requires_grad=True))
    marks = {n.op.name: n.no_grad for n in graph.nodes if n.operands}
    assert marks == {"grad.mul": True, "grad.detach": False, "grad.add": False}


def test_no_frame_is_left_active():
    with pytest.raises(TraceError):
        traced(lambda x: bool(x.sum() > 0), spec("f32[3]"))
    assert current_trace() is None


def test_promotion_while_tracing_is_that_of_eager_tensors():
    cases = [
        (lambda x: x + 1, "i64"),
        (lambda x: x * 0.5, "i64"),
        (lambda x: x / 2, "i32"),
        (lambda x: x > 1, "i32"),
        (lambda x: x * 2, "bf16"),
        (lambda x: x + True, "f64"),
    ]
    for fn, d in cases:
        eager = fn(gc.ones(3, dtype=gc.ir.dtype(d)))
        got = traced(fn, spec(f"{d}[3]"))
        assert got.types[got.outputs[0]] == eager._type


def test_constants_are_attributes():
    table = np.array([1.0, 2.0, 4.0], np.float32)

    def f(x):
        return x * gc.tensor([1.0, 2.0, 4.0]) + gc.zeros(3) + gc.arange(3)

    graph = traced(f, spec("f32[3]"))
    assert len(graph.inputs) == 1
    out = gc.compile(f)(np.ones(3, np.float32))
    assert np.array_equal(out, table + np.arange(3))


def check_against_torch(f, *arrays):
    torch = pytest.importorskip("torch", reason="torch is the reference")
    got = gc.compile(f)(*arrays)
    want = f(*[torch.tensor(a) for a in arrays])
    for g, w in zip(flatten(got)[0], flatten(want)[0], strict=True):
        np.testing.assert_allclose(g, w.numpy(), rtol=1e-6)


def test_writes_through_views_reach_the_base_and_all_views():
    def f(x):
        y = x * 2
        row = y[0]
        row += 10
        y[:, 1] = 0
        flat = y.t().reshape(-1)
        flat.mul_(2)
        return y, flat, row

    check_against_torch(f, A)


def test_writes_through_steps_detach_and_diagonal():
    def f(x):
        y = x.clone()
        y.view(-1)[1::2].exp_()
        d = y.detach()
        d[1] = 7
        z = y @ y.t() if False else y[:, :2].clone()
        z.diagonal().fill_(5)
        return y, z

    check_against_torch(f, A)


def test_gradient_flows_through_written_values():
    torch = pytest.importorskip("torch", reason="torch is the reference")

    def f(x):
        y = x * 3
        y[0] = x[1] * x[0]
        y[1].mul_(2)
        return (y * y).sum()

    x = torch.tensor(A, requires_grad=True)
    f(x).backward()
    np.testing.assert_allclose(gc.grad(f)(A), x.grad.numpy(), rtol=1e-6)


def test_writes_that_are_refused():
    def argument(x):
        x.add_(1)
        return x

    def view_of_argument(x):
        x[0].add_(1)
        return x

    def expanded(x):
        y = (x * 2)[:1].expand(4)
        y.add_(1)
        return y

    with pytest.raises(GradRuntimeError, match="a leaf Variable that requires grad is being used in an in-place"):
        traced(argument, spec("f32[3]", requires_grad=True))
    with pytest.raises(GradRuntimeError, match="a view of a leaf Variable that requires grad"):
        traced(view_of_argument, spec("f32[3]", requires_grad=True))
    with pytest.raises(GradRuntimeError, match="more than one element of the written-to tensor"):
        traced(expanded, spec("f32[3]"))


@pytest.mark.parametrize(
    ("fn", "sentence"),
    [
        (lambda x: x if x.sum() > 0 else -x, "a branch on a traced value"),
        (lambda x: x * x.sum().item(), r"item\(\) of a traced value"),
        (lambda x: x * float(x.sum()), r"float\(\) of a traced value"),
        (lambda x: gc.tensor(x.numpy()), r"numpy\(\) of a traced value"),
        (lambda x: gc.tensor(np.asarray(x)), "of a traced value"),
        (lambda x: x * x.tolist()[0], r"tolist\(\) of a traced value"),
    ],
)
def test_what_needs_data_is_refused_with_line_and_remedy(fn, sentence):
    with pytest.raises(TraceError, match=sentence) as e:
        traced(fn, spec("f32[3]"))
    assert e.value.loc is not None
    assert e.value.loc.line == fn.__code__.co_firstlineno
    assert e.value.hint


def test_a_leaked_value_is_refused_with_the_line_of_its_use():
    leaked = []

    @gc.compile
    def f(x):
        leaked.append(x * 2)
        return x * 3

    f(A)
    with pytest.raises(TraceError, match=r"a traced value of 'f' leaked: it is used after its trace ended"):
        leaked[0] + 1
    with pytest.raises(TraceError, match="leaked"):
        leaked[0].numpy()

    @gc.compile
    def g(x):
        return x + leaked[0]

    with pytest.raises(TraceError, match="leaked"):
        g(A)


def test_endless_tracing_is_bounded():
    def forever(x):
        while True:
            x = x + 1

    with pytest.raises(TraceError, match="recorded more than 500 operations") as e:
        gc.compile(forever, max_nodes=500)(A)
    assert "max_nodes" in str(e.value)


@pytest.mark.parametrize(
    ("fn", "sentence"),
    [
        (lambda x: None, "returns nothing where a tensor is expected"),
        (lambda x: 3, "returns a value of type int"),
        (lambda x: (x, {"no"}), "returns a value of type set"),
        (lambda x: (None, 3), "returns no tensor"),
        (lambda x: [], "returns no tensor"),
    ],
)
def test_results_that_are_no_tensors_are_refused(fn, sentence):
    with pytest.raises(TraceError, match=sentence):
        gc.compile(fn)(A)


def test_a_result_may_hold_constants_beside_tensors():
    def f(x, n):
        return {"loss": (x * n).sum(), "steps": [n, None, "mean", True], "dtype": x.dtype}

    compiled = gc.compile(f)
    for n in (2, 3):
        out = compiled(A, n)
        assert out["steps"] == [n, None, "mean", True]
        assert out["dtype"] is gc.float32
        assert out["loss"].item() == f(A, n)["loss"].item()
    value, _ = gc.build(f, gc.spec(tuple(A.shape), "float32", requires_grad=True), 2)(A, 2)
    assert value["steps"] == [2, None, "mean", True]


def test_op_errors_carry_the_users_line():
    def f(x, y):
        return x + y

    with pytest.raises(GradcError, match="must match the size of tensor b") as e:
        gc.compile(f)(np.ones(3, np.float32), np.ones(4, np.float32))
    assert e.value.loc.line == line_of(f, "return x + y")


def test_autograd_grad_inside_a_trace():
    @gc.compile
    def f(x):
        loss = (x**3).sum()
        (first,) = gc.autograd.grad(loss, x, create_graph=True)
        (second,) = gc.autograd.grad(first.sum(), x)
        return loss, first, second

    _, first, second = f(gc.tensor(A, requires_grad=True))
    np.testing.assert_allclose(first.detach().numpy(), 3 * A**2, rtol=1e-6)
    np.testing.assert_allclose(second.detach().numpy(), 6 * A, rtol=1e-6)
    assert not second.requires_grad
    with pytest.raises(GradRuntimeError, match="does not require grad"):
        f(A)


def test_backward_inside_a_trace_fills_grad_of_arguments():
    @gc.compile
    def f(w):
        (w * w).sum().backward()
        w.sum().backward()
        return w.grad

    assert np.array_equal(f(gc.tensor(A, requires_grad=True)).numpy(), 2 * A + 1)


def test_strides_of_views_while_tracing():
    def f(x):
        y = x * 1
        t = y.t()
        assert t.stride() == (1, 3)
        assert not t.is_contiguous()
        assert t.contiguous().stride() == (2, 1)
        assert y[:, ::2].stride() == (3, 2)
        with pytest.raises(GradRuntimeError, match="view size is not compatible"):
            t.view(6)
        return t.reshape(6)

    assert np.array_equal(gc.compile(f)(A), A.T.reshape(6))


def test_nested_compiled_functions_are_calls():
    inner = gc.compile(lambda x: x.exp() * 2)

    def outer(x):
        y = inner(x)
        return y + inner(x + 1)

    graph = traced(outer, spec("f32[3]"))
    calls = [n for n in graph.nodes if n.op.name == "grad.call"]
    assert len(calls) == 2
    assert len(calls[0].regions[0].nodes) == 3
    assert graph.names[calls[0].results[0]] == "y"
    x = np.ones(3, np.float32)
    np.testing.assert_allclose(gc.compile(outer)(x), 2 * np.exp(1) + 2 * np.exp(2) * x, rtol=1e-6)
    np.testing.assert_allclose(gc.grad(lambda x: outer(x).sum())(x), 2 * np.exp(1) + 2 * np.exp(2) * x, rtol=1e-6)


def test_long_chains_trace_without_recursion():
    n = 20_000

    def chain(x):
        for _ in range(n):
            x = x * 1.0001
        return x.sum()

    graph = traced(chain, spec("f32[4]", requires_grad=True))
    assert len(graph.nodes) == n + 2


def test_tracing_twice_gives_the_same_text():
    def f(x):
        y = x.sin() * x
        return y.sum()

    texts = {str(gc.build(f, gc.spec("f32[5]", requires_grad=True)).stages["joint"]) for _ in range(2)}
    assert len(texts) == 1


def test_iterators_are_refused_by_name():
    counter = itertools.count()

    @gc.compile
    def f(x):
        return x * next(counter)

    with pytest.raises(TraceError, match="reads 'counter', a count, which changes as it is read"):
        f(A)
