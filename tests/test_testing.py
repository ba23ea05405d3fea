"""gradc.testing: helpers for users' own tests."""

from __future__ import annotations

import numpy as np
import pytest

import gradc as gc
from gradc.ir.errors import GradTypeError, GradValueError
from gradc.testing import assert_bytes, assert_close, assert_fused, assert_grad_reaches, assert_kernels


def loss(w1, w2, x, y):
    h = gc.nn.functional.gelu(x @ w1)
    p = gc.sigmoid(h @ w2.detach()) * y
    return p.mean()


@pytest.fixture(scope="module")
def program() -> gc.Program:
    s = [gc.spec("f32[20,16]", requires_grad=True), gc.spec("f32[16]", requires_grad=True)]
    return gc.build(loss, *s, gc.spec("f32[50,20]"), gc.spec("f32[50]"), name="loss")


def test_kernels(program) -> None:
    phases = [k.phase for k in program.kernels]
    assert_kernels(program, len(phases), backward=phases.count("backward"), joint=phases.count("joint"))
    with pytest.raises(AssertionError, match=r"loss has \d+ backward, expected 99") as e:
        assert_kernels(program, backward=99)
    assert program.kernels[0].name in str(e.value)
    with pytest.raises(AssertionError, match=r"loss has \d+ launches, expected 77"):
        assert_kernels(program, 77)
    with pytest.raises(GradTypeError, match="no phase is called 'sideways'"):
        assert_kernels(program, sideways=1)


def test_fused(program) -> None:
    assert_fused(program, "sigmoid", "mul")
    assert_fused(program, "gelu")
    assert_fused(program)
    with pytest.raises(GradValueError, match="loss has no operation 'softmax'"):
        assert_fused(program, "softmax")
    split = gc.build(lambda a, b: ((a.exp() @ b).sin() @ b).cos(), gc.spec("f32[8,8]"), gc.spec("f32[8,8]"), name="two")
    assert_fused(split, "sin", "contract")
    with pytest.raises(AssertionError, match="two: no launch computes exp and cos") as e:
        assert_fused(split, "exp", "cos")
    assert "exp is in two_0" in str(e.value)
    assert "whole operand needed" in str(e.value)


def test_fused_in_split_programs() -> None:
    s = gc.spec("f32[9]", requires_grad=True)
    program = gc.build(lambda x: gc.sigmoid(x).mul(x).sum(), s, split=True, name="f")
    assert_fused(program, "sigmoid", "mul", "sum")


def test_grad_reaches(program) -> None:
    assert_grad_reaches(program, "w1")
    with pytest.raises(AssertionError, match=r"loss: no gradient reaches w2: detach at .*test_testing.py:15"):
        assert_grad_reaches(program, "w1", "w2")
    with pytest.raises(AssertionError, match="no gradient reaches x: it requires none"):
        assert_grad_reaches(program, "x")
    with pytest.raises(GradValueError, match="loss has no argument 'w3'") as e:
        assert_grad_reaches(program, "w3")
    assert "it has w1, w2, x, y" in str(e.value)


def test_bytes(program) -> None:
    assert_bytes(program, at_most=1e6)
    with pytest.raises(AssertionError, match=r"loss moves .*times the least .*, expected at most 0.5"):
        assert_bytes(program, at_most=0.5)


CASES = [
    ([1.0, 2.0], [1.0, 2.0], {}),
    ([1.0, 2.0], [1.0, 2.00001], {}),
    ([1.0, 2.0], [1.0, 2.1], {}),
    ([1.0, 2.0], [1.0, 2.1], {"rtol": 0.1, "atol": 0.0}),
    ([1.0, float("nan")], [1.0, float("nan")], {}),
    ([1.0, float("nan")], [1.0, float("nan")], {"equal_nan": True}),
    ([1.0, float("inf")], [1.0, float("inf")], {}),
    ([1.0, float("inf")], [1.0, 5.0], {}),
    ([1.0], [1.0, 2.0], {}),
    ([1.0, 5.0], [1.0, float("inf")], {}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize(("actual", "expected", "options"), CASES)
def test_close_agrees_with_torch(actual, expected, options, dtype) -> None:
    torch = pytest.importorskip("torch", reason="the oracle")
    a, e = (np.array(x, dtype) for x in (actual, expected))
    try:
        torch.testing.assert_close(torch.from_numpy(a), torch.from_numpy(e), **options)
        wanted = None
    except AssertionError as error:
        wanted = str(error)
    if wanted is None:
        assert_close(gc.tensor(a), e, **options)
        return
    with pytest.raises(AssertionError) as got:
        assert_close(gc.tensor(a), e, **options)
    assert str(got.value).splitlines()[0].split(":")[0] == wanted.splitlines()[0].split(":")[0]
    mismatched = [line for line in wanted.splitlines() if line.startswith("Mismatched")]
    assert mismatched == [line for line in str(got.value).splitlines() if line.startswith("Mismatched")]


def test_close_of_sequences_mappings_and_numbers() -> None:
    a, b = np.float32([1, 2]), np.float32([1, 3])
    assert_close([a, {"k": (a, 1.0)}], [a, {"k": (a, 1.0)}])
    assert_close(None, None)
    assert_close(gc.tensor(1.5), 1.5)
    with pytest.raises(AssertionError, match=r"The failure occurred for item \[1\]\['k'\]"):
        assert_close([a, {"k": a}], [a, {"k": b}])
    with pytest.raises(AssertionError, match="The length of the sequences mismatch: 1 != 2"):
        assert_close([a], [a, a])
    with pytest.raises(AssertionError, match="The keys of the mappings do not match"):
        assert_close({"a": a}, {"b": a})
    with pytest.raises(AssertionError, match="attribute 'dtype' do not match: float32 != float64"):
        assert_close(a, a.astype(np.float64))
    assert_close(a, a.astype(np.float64), check_dtype=False)
    with pytest.raises(AssertionError, match="None mismatch"):
        assert_close(None, a)
    with pytest.raises(AssertionError, match="mine: Tensor-likes are not close"):
        assert_close(a, b, msg=lambda m: f"mine: {m}")
    with pytest.raises(AssertionError, match=r"^said$"):
        assert_close(a, b, msg="said")
    with pytest.raises(GradValueError, match="rtol and atol must both be given"):
        assert_close(a, b, rtol=1.0)


def test_under_gradc() -> None:
    assert gc.testing.assert_close is assert_close
