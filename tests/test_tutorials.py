"""What tutorials on `requires_grad` do, cell by cell, with `import gradc as torch`: it prints what torch prints."""

from __future__ import annotations

import pytest
from parity import same

pytest.importorskip("torch", reason="torch is the reference")

GRADIENTS_OF_LEAVES = """
x = torch.randn(4, requires_grad=True)
print(x)
z = x * x * 2
v = torch.tensor([0.1, 0.3, 0.01, 1.0], dtype=torch.float32)
z.backward(v)
print(x.grad)
y = x * 2
print(y)
z = y * y * 3
print(z)
z = z.mean()
print(z)
m = (x * x * 2).median()
print(m)
z = (x * x * 2).mean()
z.backward()
print(x.grad)
(x * 2).backward()
y = torch.rand(4, requires_grad=True)
print(y)
with torch.no_grad():
    z = y + 2
    print(z)
z = y.detach()
print(z)
y.requires_grad_(False)
print(y)
"""

TRAINING_LOOP = """
weights = torch.ones(3, requires_grad=True)
for epoch in range(5):
    total = (weights * 1.8).sum()
    print("model sum", total)
    total.backward()
    print("model gradient ", weights.grad)
    weights.grad.zero_()
"""

GRAPH_OF_SUMS = """
x = torch.randn(size=(3, ), requires_grad=True)
x
y = x + 2
print(y)
print(y.grad_fn)
z = y * y * 2
print(z)
z.backward(x)
print(x.grad)
x = torch.ones(size=(1, ), requires_grad=True)
y = x ** 2
y.backward()
print(x.grad)
x = torch.ones(size=(3, ), requires_grad=True)
y = x ** 2
z = y * y * 2
print(z)
v = torch.ones_like(z)
z.backward(v)
print(x.grad)
x = torch.randn(size=(3, ), requires_grad=True)
y = x + 2
z = y * y * 2
z_mean = z.mean()
print(z_mean)
z_mean.backward()
print(x.grad)
"""

PREVENTING = """
x = torch.rand(size=(3, ), requires_grad=True)
print(x)
x.requires_grad_(False)
print(x)
x = torch.rand(size=(3, ), requires_grad=True)
y = x.detach()
print(y)
with torch.no_grad():
    y = x + 2
    print(y)
print(x.requires_grad, y.requires_grad)
"""

ACCUMULATION = """
weights = torch.ones(size=(4, ), requires_grad=True)
for epoch in range(1):
    out = (weights * 3).sum()
    out.backward()
    print(weights.grad)
print("-" * 50)
for epoch in range(2):
    out = (weights * 3).sum()
    out.backward()
    print(weights.grad)
    weights.grad.zero_()
"""

OPTIMIZER = """
weights = torch.rand(size=(3, 3), requires_grad=True)
optimizer = torch.optim.SGD(params=[weights], lr=0.01)
optimizer.step()
optimizer.zero_grad()
print(weights, weights.grad)
(weights * weights).sum().backward()
optimizer.step()
print(weights)
optimizer.zero_grad()
print(weights.grad)
"""

SAVED_TENSORS = """
A = torch.randn(8, requires_grad=True)
B = A.pow(2)
print(A.equal(B.grad_fn._saved_self))
print(A is B.grad_fn._saved_self)
B = A.exp()
print(B.equal(B.grad_fn._saved_result))
print(B is B.grad_fn._saved_result)
print(B.sum())
"""

SMALL_SUM = """
x = torch.tensor([2.0, 3.0], requires_grad=True)
y = x * x + 3
z = y.sum()
z.backward()
gradients = x.grad
print(gradients)
"""

SCALARS = """
x = torch.tensor(3.0, requires_grad=True)
y = x**2
x
y
y.backward()
x.grad
x = torch.tensor(3.0, requires_grad=True)
y = x ** 2
z = torch.sin(y)
x
y
z
z.backward()
x.grad
"""

NEURON = """
x = torch.tensor(6.7)
y = torch.tensor(0.0)
w = torch.tensor(1.0, requires_grad=True)
b = torch.tensor(0.0, requires_grad=True)
w
b
z = w * x + b
z
y_pred = torch.sigmoid(z)
y_pred
loss = torch.nn.BCELoss()(y_pred, y)
loss
loss.backward()
print(w.grad)
print(b.grad)
"""

MEAN_AND_CLEARING = """
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
x
y = (x**2).mean()
y
y.backward()
x.grad
x = torch.tensor(2.0, requires_grad=True)
x
y = x**2
y.backward()
x.grad
x.grad.zero_()
y = x**2
y.backward()
x.grad
z = x.detach()
z
y1 = z**2
y1
with torch.no_grad():
    y = x ** 2
y
x.requires_grad_(False)
x
y.backward()
"""

WRITING_UPDATES = """
w = torch.tensor([1., 2.], requires_grad=True)
for i in range(3):
    loss = ((w * torch.tensor([1., 3.]) - 2) ** 2).sum()
    loss.backward()
    with torch.no_grad():
        w.sub_(0.1 * w.grad)
        w.grad = None
    print(i, loss.item(), w)
for i in range(2):
    loss = (w ** 2).sum()
    loss.backward()
    w.data -= 0.1 * w.grad.data
    print(w.grad.zero_(), w, loss)
v = torch.autograd.Variable(torch.ones(2), requires_grad=True)
v, isinstance(v, torch.autograd.Variable)
print(w.dtype, w.device, w.shape)
"""

FREEZING = """
net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
net
for p in net[0].parameters(): p.requires_grad = False
for i, p in enumerate(net.parameters()): p.data.fill_(0.25 * (i + 1))
[(n, p.requires_grad, tuple(p.shape)) for n, p in net.named_parameters()]
opt = torch.optim.SGD(filter(lambda p: p.requires_grad, net.parameters()), lr=0.125, momentum=0.5)
for _ in range(3):
    loss = net(torch.ones(4, 2)).pow(2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    print(loss)
net[0].weight.grad, net[2].weight.grad, net[2].weight
opt.zero_grad(set_to_none=False)
net[2].weight.grad
opt.zero_grad()
print(net[2].weight.grad)
"""

CELLS = {
    "gradients of leaves": GRADIENTS_OF_LEAVES,
    "training loop": TRAINING_LOOP,
    "graph of sums": GRAPH_OF_SUMS,
    "preventing": PREVENTING,
    "accumulation": ACCUMULATION,
    "saved tensors": SAVED_TENSORS,
    "small sum": SMALL_SUM,
    "scalars": SCALARS,
    "mean and clearing": MEAN_AND_CLEARING,
    "writing updates": WRITING_UPDATES,
    "freezing": FREEZING,
    "neuron with a loss": NEURON,
    "optimizer": OPTIMIZER,
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_print_what_torch_prints(name: str, seed: int) -> None:
    for s in range(3):
        same(CELLS[name], seed + s)
