"""Eager tensors: creation, metadata, conversion, indexing, reading, copying, held against torch."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from parity import same

import gradc

torch = pytest.importorskip("torch", reason="torch is the reference")

SNIPPETS = {
    "tensor": """
torch.tensor([1, 2]), torch.tensor([1., 2.]), torch.tensor([True, False]), torch.tensor(3), torch.tensor([])
torch.tensor([[], []]), torch.tensor([1, 2.5]), torch.tensor([1, 2], dtype=torch.float64), torch.tensor([1e40])
torch.tensor(np.float64(3)), torch.tensor(np.array([1, 2], dtype=np.int32)), torch.tensor(True), torch.tensor(2 ** 40)
torch.tensor([[1, 2], [3, 4]], dtype=torch.int8), torch.tensor([1.7, -1.7], dtype=torch.int64)
torch.tensor([torch.tensor(1.), torch.tensor(2.)]), torch.tensor([True, 2]), torch.tensor((1, 2))
torch.tensor(range(3))
torch.tensor([[1, 2], [3]])
torch.tensor(None)
torch.tensor('a')
torch.tensor([1, 'a'])
torch.tensor({})
""",
    "factories": """
torch.zeros(2, 3), torch.ones((2,)), torch.zeros(0, 3), torch.ones(size=(1,)), torch.zeros([])
torch.arange(5), torch.arange(1, 2, .25), torch.arange(0, 5, 2), torch.arange(5, 0, -1), torch.arange(3.)
torch.linspace(0, 1, 5), torch.eye(2), torch.eye(2, 3), torch.logspace(0, 2, 3)
torch.full((2,), 3), torch.full((2,), 3.), torch.full((2,), True), torch.full((2,), 3, dtype=torch.float64)
torch.ones_like(torch.arange(3)), torch.zeros_like(torch.ones(2, dtype=torch.float64))
torch.full_like(torch.ones(2), 7)
torch.zeros(2, dtype=torch.int32, requires_grad=False), torch.ones(2, requires_grad=True)
torch.zeros(-1)
torch.ones(2.5)
torch.ones(2, requires_grad=True, dtype=torch.int64)
torch.arange(0, 1, 0)
torch.arange(1, 0)
torch.empty(2).shape, torch.empty_like(torch.ones(3, 2)).shape
torch.Tensor([1, 2]), torch.Tensor(2, 3).shape
torch.ones(2).new_zeros(3), torch.ones(2, dtype=torch.float64).new_ones(1, 2), torch.ones(2).new_tensor([1])
torch.ones(1).new_full((2,), 4)
""",
    "metadata": """
x = torch.arange(6.).reshape(2, 3)
x.stride(), x.T.stride(), x.T.is_contiguous(), x.T.contiguous().stride(), x[1].storage_offset(), x.numel(), x.size()
x.size(0), x.size(-1), x.shape, x.dim(), x.ndim, len(x), x.element_size(), x.nbytes, x.itemsize, x.nelement()
x.T.clone().stride(), (x.T + 1).stride(), x.expand(4, 2, 3).stride(), x.expand(4, 2, 3).clone().stride(), x.stride(0)
x.device, str(x.device), x.shape[0:1], x.shape.numel(), x.shape + (1,), x.shape == (2, 3), tuple(x.shape), x.is_cuda
x.data_ptr() == x.view(6).data_ptr(), x.is_leaf, x._is_view(), x.view(-1)._is_view(), x.view(-1)._base is not None
x.is_floating_point(), torch.is_tensor(x), torch.is_floating_point(x), torch.numel(x), x.is_signed(), x.get_device()
x.size(5)
len(torch.tensor(1.))
list(torch.tensor(1.))
x.foo
torch.foo
hash(x) == hash(x), x == x
""",
    "reading": """
x = torch.arange(6.).reshape(2, 3)
list(x), 3. in x, [i for i in x[0]], x.tolist(), x[0, 1].item(), x.sum().item()
x.item()
bool(x)
float(x)
int(torch.tensor(2.7)), float(torch.tensor(2)), bool(torch.tensor(0)), [10, 20][torch.tensor(1)]
torch.tensor(3).__index__()
[1][torch.tensor(1.)]
f"{torch.tensor(1.5):.3f}", f"{torch.ones(2)}"
x.numpy(), np.asarray(x), np.array(x[0])
x.equal(x.clone()), torch.equal(x, x + 1), torch.allclose(x, x + 1e-9), x.isclose(x + 1e-9).all()
x.equal(torch.ones(1))
torch.allclose(torch.tensor([float('nan')]), torch.tensor([float('nan')]), equal_nan=True)
x.nonzero().shape, x.nonzero(as_tuple=True), torch.tensor([0, 1]).nonzero(), x.masked_select(x > 3)
""",
    "conversion": """
x = torch.tensor([1.5, -2.5], requires_grad=True)
x.float() is x, x.to(torch.float32) is x, x.to("cpu") is x, x.cpu() is x, x.contiguous() is x, x.to(x) is x
x.double(), x.half(), x.bfloat16(), x.int(), x.long(), x.bool(), x.short(), x.char(), x.byte()[0]
x.to(torch.float64), x.to(dtype=torch.float16), x.type(torch.float64), x.type()
x.type_as(torch.ones(1, dtype=torch.float64))
x.double().sum().backward()
x.grad
x.to("nothing")
x.to(torch.float32, copy=True) is x
""",
    "indexing": """
m = torch.arange(6.).reshape(2, 3)
m[0:5], m[-1], m[True], m[None].shape, m[False].shape, m[..., 0], m[..., ...], m[[0, 1]], m[[0, 1], [1, 2]]
m[:, [0, 1]], m[m > 2], m[torch.tensor(1)], m[torch.tensor([True, False])], m[(0, 1)], m[range(2)], m[np.int64(1)]
torch.tensor(1.)[...], torch.tensor(1.)[None], m[None, :, None].shape, m[:, -1:], m[::2], m[1, ::2], m[[]].shape
m[5]
m[0, 0, 0]
m[0, 5]
m[-3]
m[::-1]
m[1.5]
m[0:1:0]
torch.tensor(1.)[0]
m[torch.tensor([5])]
m[torch.tensor([1.])]
m[torch.tensor([True])]
""",
    "indexing with gradients": """
s = torch.tensor([[1., -2., 3.], [4., 5., -6.]], requires_grad=True)
s[:], s[:, :], s[0:2], s[..., 0:2], s[[0]], s[None], s[0][1], s[torch.tensor(0)], s[s > 0]
s[0:2, 0:3].grad_fn.next_functions, s[0:1, None].grad_fn.next_functions, s[:, [0]].grad_fn.next_functions
s[1:, [0]].grad_fn.next_functions, s[s > 0].grad_fn.next_functions
s[[0, 0, 1], [1, 1, 2]].sum().backward()
s.grad
[t.grad_fn for t in s]
""",
    "assignment": """
def put(key, value, dtype=torch.float32):
    z = torch.zeros(2, 3, dtype=dtype)
    z[key] = value
    print(z, z._version)
put(0, 1)
put(0, torch.ones(3))
put((slice(None), 0), torch.tensor([1, 2]))
put(([0, 1], [1, 2]), 5)
put((0, 0), torch.tensor([1.]))
put(0, torch.ones(1, 1, 3))
put(torch.tensor([0]), torch.ones(3))
put(..., 2)
put(slice(None), 1.5)
put(None, 3)
put(True, 4)
put(0, True)
put(0, 2.7, torch.int64)
put(0, torch.tensor(3.9), torch.int64)
put(torch.ones(2, 3, dtype=torch.bool), 3)
put(0, torch.ones(2))
put(5, 1)
put(0, 'a')
put(0, torch.ones(2, 3))
put(0, [1, 2, 3])
put(0, np.ones(3))
""",
    "assignment with gradients": """
a = torch.tensor([1., 2., 3.], requires_grad=True)
y = a * 1
y[torch.tensor([0, 1])] = 2
y, y.grad_fn.next_functions, y._version
y.sum().backward()
a.grad
y = a * 2
y[y > 3] = 0
y
(y * y).sum().backward()
a.grad
w = torch.ones(2, requires_grad=True)
y = a * 1
y[1:] = w * 5
y[0] = w[1]
(y * y).sum().backward()
w.grad, a.grad
y = a.clone()
y[:2] *= 3
y
""",
    "operators": """
i = torch.tensor([7, -3])
o = torch.tensor([True, False])
x = torch.tensor([7., -3.])
x + 1, 1 + x, x - 1, 1 - x, x * 2, 2 * x, x / 2, 2 / x, x // 2, 2 // x, x % 2, 2 % x, x ** 2, 2 ** x, -x, +x, abs(x)
i + 1, i / 2, i // 2, i % 2, i ** 2, i + 0.5, i * True, i & 3, i | 1, i ^ 1, ~i, i << 1, i >> 1
o + 1, o & o, o | True, ~o, o * 2, o + 1.5, o ^ o
x < 1, x <= 7, x > 1, x >= 7, x == 7, x != 7, x == None, x == 'x', x != 'x', 1 < x
x @ x, torch.ones(2, 3) @ torch.ones(3, 2)
x + [1]
x + 'a'
x + None
x < 'x'
x @ 2
torch.exp(2.)
torch.add(x, 'x')
x.add([1])
x @ torch.ones(3)
x + torch.ones(3)
torch.matmul(x, 2)
""",
    "operands of several dtypes": """
a = torch.ones(2, dtype=torch.float64)
b = torch.ones(2)
i = torch.ones(2, dtype=torch.int64)
s = torch.tensor(2., dtype=torch.float64)
h = torch.ones(2, dtype=torch.float16)
f = torch.ones(2, dtype=torch.bfloat16)
a + b, b + i, b + s, s * i, h + f, h + b, h * 2.5, b + 1e40, torch.tensor(3) * 2.5, torch.tensor(True) + 1
f + 1, i.float()
torch.result_type(b, a), torch.promote_types(torch.int64, torch.float32), torch.result_type(i, 1.5), b.dtype
str(f.dtype)
""",
    "out and aliases": """
x = torch.arange(6.).reshape(2, 3)
x.sum(axis=0), x.sum(dim=1, keepdim=True), torch.sum(input=x), torch.mean(x, axis=1, keepdims=True)
o = torch.zeros(3)
torch.add(torch.ones(3), 1, out=o) is o, o
""",
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_prints_what_torch_prints(name: str) -> None:
    same(SNIPPETS[name])


def test_memory_is_shared_with_numpy() -> None:
    a = np.zeros(3, np.float32)
    t = gradc.from_numpy(a)
    t[0] = 5
    assert a[0] == 5.0
    n = t.numpy()
    n[1] = 7
    assert t.tolist() == [5.0, 7.0, 0.0]
    assert gradc.as_tensor(a).data_ptr() == t.data_ptr()
    assert gradc.tensor(a).data_ptr() != t.data_ptr()
    x = gradc.ones(3, requires_grad=True)
    d = x.detach()
    d.numpy()[0] = 9
    assert x.tolist() == [9.0, 1.0, 1.0]
    assert x.data_ptr() == d.data_ptr()


def test_read_only_and_reversed_arrays() -> None:
    a = np.zeros(3)
    a.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        gradc.from_numpy(a)
    with pytest.raises(ValueError, match="negative"):
        gradc.from_numpy(np.zeros(3)[::-1])
    with pytest.raises(TypeError, match=r"expected np\.ndarray"):
        gradc.from_numpy([1])
    with pytest.raises(TypeError, match=r"can't convert np\.ndarray of type numpy\.complex128"):
        gradc.tensor(np.zeros(2, complex))


def test_torch_tensors_come_in_and_go_out() -> None:
    t = torch.arange(4.0)
    assert gradc.tensor(t).tolist() == [0.0, 1.0, 2.0, 3.0]
    shared = gradc.as_tensor(t)
    t[0] = 8
    assert shared[0].item() == 8.0
    half = torch.ones(2, dtype=torch.bfloat16)
    assert gradc.tensor(half).dtype is gradc.bfloat16
    assert torch.from_dlpack(gradc.arange(3.0)).tolist() == [0.0, 1.0, 2.0]
    assert gradc.from_dlpack(torch.arange(3.0)).tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(RuntimeError, match="Can't export tensors that require gradient"):
        torch.from_dlpack(gradc.ones(2, requires_grad=True))


def test_copies_and_pickles() -> None:
    x = gradc.ones(2, requires_grad=True)
    x.grad = gradc.zeros(2)
    c = copy.deepcopy(x)
    assert c.requires_grad
    assert c.grad is not None
    assert c.data_ptr() != x.data_ptr()
    assert copy.copy(x).data_ptr() == x.data_ptr()
    p = pickle.loads(pickle.dumps(x))
    assert p.requires_grad
    assert p.tolist() == [1.0, 1.0]
    both = copy.deepcopy([x, x])
    assert both[0] is both[1]
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(x * 2)
    with pytest.raises(RuntimeError, match="detach"):
        pickle.dumps(x * 2)


def test_devices() -> None:
    assert gradc.ones(2, device="cpu").to(gradc.device("cpu")).tolist() == [1.0, 1.0]
    with pytest.raises(NotImplementedError, match=r"gradc\.build"):
        gradc.ones(2, device="cuda")
    with pytest.raises(NotImplementedError, match="cuda"):
        gradc.ones(2).cuda()


def test_default_dtype() -> None:
    gradc.set_default_dtype(gradc.float64)
    try:
        assert repr(gradc.tensor([1.0])) == "tensor([1.])"
        assert gradc.ones(1).dtype is gradc.float64
        assert repr(gradc.ones(1, dtype=gradc.float32)) == "tensor([1.], dtype=torch.float32)"
    finally:
        gradc.set_default_dtype(gradc.float32)
    with pytest.raises(TypeError, match="floating-point"):
        gradc.set_default_dtype(gradc.int64)


def test_random_numbers_are_seeded() -> None:
    gradc.manual_seed(3)
    a, b = gradc.randn(1000), gradc.rand(1000)
    gradc.manual_seed(3)
    assert gradc.equal(a, gradc.randn(1000))
    assert gradc.equal(b, gradc.rand(1000))
    assert abs(a.mean().item()) < 0.2
    assert 0 <= b.min().item() < b.max().item() < 1
    i = gradc.randint(2, 5, (100,))
    assert set(i.tolist()) == {2, 3, 4}
    assert sorted(gradc.randperm(9).tolist()) == list(range(9))
    assert gradc.randn(2, 3).shape == gradc.rand((2, 3)).shape == gradc.randn_like(gradc.ones(2, 3)).shape
    g = gradc.Generator().manual_seed(1)
    assert gradc.equal(gradc.rand(2, generator=g), gradc.rand(2, generator=gradc.Generator().manual_seed(1)))
    with pytest.raises(RuntimeError, match="not implemented for 'Long'"):
        gradc.rand(2, dtype=gradc.int64)


def test_numpy_functions_give_tensors_back() -> None:
    out = np.add(gradc.ones(2), 1)
    assert isinstance(out, gradc.Tensor)
    assert out.tolist() == [2.0, 2.0]
    assert isinstance(gradc.ones(2) + np.ones(2), gradc.Tensor)
    assert (np.float32(2) * gradc.ones(2)).dtype is gradc.float32


def test_masked_assignment_of_a_number_can_be_traced() -> None:
    def clipped(x: gradc.Tensor) -> gradc.Tensor:
        y = x * 1
        y[y > 1.5] = 0.5
        y[gradc.tensor([True, False])] = 7
        return (y * y).sum()

    x = gradc.tensor([[1.0, 2.0], [3.0, 1.25]], requires_grad=True)
    value = gradc.compile(clipped)(x)
    value.backward()
    assert value.item() == clipped(x).item()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 0.0], [0.0, 2.5]]
