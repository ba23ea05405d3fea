"""Modules: registration, walks, state, hooks, text, freezing; the same code under gradc and torch."""

from __future__ import annotations

import pytest

parity = pytest.importorskip("parity", reason="torch")
pytest.importorskip("torch", reason="the oracle")

NET = """
nn = torch.nn
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.linear = nn.Linear(n, n, bias=False)
        self.act = nn.GELU()
        self.register_buffer("scale", torch.ones(n))
        self.register_buffer("count", torch.zeros(()), persistent=False)
    def forward(self, x):
        return self.act(self.linear(x)) * self.scale
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(3), Block(3)])
        self.head = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Dropout(0.2), nn.LayerNorm(2))
        self.tied = self.head[0]
        self.extra = nn.Parameter(torch.zeros(2))
    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x) + self.extra
net = Net()
for i, p in enumerate(net.parameters()):
    p.data = torch.arange(p.numel(), dtype=torch.float32).reshape(p.shape) / 10 + i
"""

SNIPPETS = {
    "walks": NET
    + """
print(net)
print([n for n, _ in net.named_parameters()])
print([n for n, _ in net.named_parameters(remove_duplicate=False)])
print([n for n, _ in net.named_parameters(prefix="p", recurse=False)])
print([n for n, _ in net.named_buffers()])
print([n for n, _ in net.named_children()])
print([(n, type(m).__name__) for n, m in net.named_modules()])
print(len(list(net.modules())), len(list(net.children())), len(list(net.buffers())))
print(list(net.state_dict()), list(net.state_dict()._metadata["blocks.0"].items()))
print(net.get_parameter("blocks.1.linear.weight").shape, net.get_submodule("head.3"), net.get_buffer("blocks.0.scale"))
net.get_parameter("blocks.1.linear.bias")
net.get_parameter("blocks.1.linear")
net.get_parameter("blocks.1.none")
net.get_submodule("blocks.2")
net.get_submodule("extra")
net.get_buffer("extra")
print(net.extra, net.head[0].bias, net.training, net.eval().head[2].training)
print(net(torch.ones(1, 3)))
net.apply(lambda m: print(type(m).__name__))
""",
    "assignment": """
nn = torch.nn
m = nn.Module()
m.a = nn.Parameter(torch.ones(2))
m.a = torch.ones(2)
m.a = None
m.a
m.a = nn.Parameter(torch.zeros(1))
del m.a
m.a
m.b = nn.Linear(1, 1)
m.b = 3
m.b = None
m.register_buffer("c", torch.ones(1))
m.c = torch.zeros(2)
m.c
m.c = 4
m.register_buffer("c.d", torch.ones(1))
m.register_buffer("", torch.ones(1))
m.register_buffer("train", torch.ones(1))
m.register_buffer("e", 3)
m.register_buffer(3, torch.ones(1))
m.register_parameter("f", torch.ones(1))
m.register_parameter("training", nn.Parameter(torch.ones(1)))
m.register_parameter("g.h", None)
m.register_parameter("", None)
m.add_module("i", 3)
m.add_module("j.k", nn.ReLU())
m.add_module("", nn.ReLU())
m.add_module("forward_", nn.ReLU())
m.x = 1
m.x = nn.ReLU()
print("x" in m.__dict__, m.x)
m.x = nn.Parameter(torch.ones(1))
print(list(m._modules), list(m._parameters), list(m._buffers))
class Early(nn.Module):
    def __init__(self):
        self.p = nn.Parameter(torch.ones(1))
Early()
class EarlyModule(nn.Module):
    def __init__(self):
        self.p = nn.ReLU()
EarlyModule()
nn.Module()(1)
nn.Module(3)
m.train("yes")
print(isinstance(m.x, torch.Tensor), type(m.x.data).__name__, type(m.x * 2).__name__, type(m.x.detach()).__name__)
nn.Parameter(torch.tensor([1, 2]))
print(nn.Parameter(torch.tensor([1, 2]), requires_grad=False), nn.Parameter())
t = torch.ones(2)
p = nn.Parameter(t)
t[0] = 5
print(p, p.is_leaf, p.requires_grad)
c = copy.deepcopy(p)
p.grad = torch.ones(2)
print(c is p, c, copy.deepcopy(p).grad, type(c).__name__)
""",
    "state": NET
    + """
state = net.state_dict()
other = Net()
print(other.load_state_dict(state))
print(all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters())))
state["extra"][0] = 7
print(net.extra, state["extra"].requires_grad)
keep = net.state_dict(keep_vars=True)
print(keep["extra"] is net.extra)
del state["extra"]
state["new"] = torch.ones(1)
state["blocks.0.deep.er"] = torch.ones(1)
state["head.0.weight"] = torch.ones(3, 3)
other.load_state_dict(state)
other.load_state_dict(state, strict=False)
del state["head.0.weight"]
print(other.load_state_dict(state, strict=False))
other.load_state_dict(3)
state["head.0.bias"] = 3
other.load_state_dict(state, strict=False)
linear = torch.nn.Linear(2, 1)
given = {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}
print(linear.load_state_dict(given, assign=True), linear.weight, linear.weight.data_ptr() == given["weight"].data_ptr())
b = torch.nn.BatchNorm1d(2)
print(b.load_state_dict({k: v for k, v in b.state_dict().items() if "num" not in k}))
twin = copy.deepcopy(net)
twin.extra.data.add_(1)
print(net.extra, twin.extra, twin.tied is twin.head[0])
print(net.double().extra, net.blocks[0].scale.dtype, net.float().extra.dtype, net.to(torch.float64).extra.dtype)
net.to(torch.int64)
""",
    "hooks": """
nn = torch.nn
m = nn.Linear(2, 1)
m.weight.data = torch.tensor([[1.0, 2.0]])
m.bias.data = torch.tensor([0.5])
x = torch.ones(1, 2)
h1 = m.register_forward_pre_hook(lambda mod, args: print("pre", type(mod).__name__, args))
h2 = m.register_forward_pre_hook(lambda mod, args: (args[0] * 2,))
h3 = m.register_forward_hook(lambda mod, args, out: print("post", args, out))
h4 = m.register_forward_hook(lambda mod, args, out: out + 1)
h5 = m.register_forward_hook(lambda mod, args, kw, out: print("first", kw), prepend=True, with_kwargs=True)
print(m(x))
h2.remove()
h4.remove()
h4.remove()
print(m(input=x))
h6 = m.register_forward_pre_hook(lambda mod, args, kw: (args, {"input": kw["input"] * 3}), with_kwargs=True)
print(m(input=x))
h6.remove()
h7 = m.register_forward_pre_hook(lambda mod, args, kw: 3, with_kwargs=True)
m(x)
h7.remove()
h8 = m.register_forward_hook(lambda mod, args, out: print("always", out), always_call=True)
m(torch.ones(3))
with h8:
    pass
print(m(x))
print(copy.deepcopy(m)(x))
""",
    "containers": """
nn = torch.nn
from collections import OrderedDict
s = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1, bias=False))
print(s[0], s[-1], s[1:], len(s), [type(m).__name__ for m in s])
s[5]
s["a"]
s[1] = nn.Tanh()
print(s.append(nn.Sigmoid()), s.insert(1, nn.Identity(3)), s.insert(-1, nn.SiLU()))
s.insert(9, nn.ReLU())
del s[0]
del s[1:3]
print(s, s.pop(0), s + s, s * 2, 2 * s)
s + [nn.ReLU()]
s += nn.Sequential(nn.ReLU())
s *= 2
print(s, nn.Sequential(), s.extend([nn.ELU()]))
print(nn.Sequential(OrderedDict([("a", nn.ReLU()), ("b", nn.Tanh())])).b)
nn.Sequential(3)
l = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
l.append(nn.ReLU())
print(l, l[1:], l[-1], len(l), nn.ModuleList())
l.insert(1, nn.Tanh())
l.extend([nn.ReLU()])
l += [nn.ELU()]
print(l, l + [nn.GELU()], l.pop(0))
l.extend(3)
l[20]
l(1)
d = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()})
d["c"] = nn.Linear(1, 1)
d.update([("z", nn.ELU(0.5))])
print(d, list(d.keys()), "a" in d, len(d), d["a"], d.pop("a"), list(d), [type(v).__name__ for v in d.values()])
d["q"]
d.update(3)
d.update([3])
d.update([("a", nn.ReLU(), 1)])
d.clear()
print(d)
p = nn.ParameterList([torch.ones(2), nn.Parameter(torch.zeros(1, 3)), "text"])
p.append(torch.ones(1))
print(p, p[0], p[-1], len(p), p[1:3], [n for n, _ in p.named_parameters()])
p += [torch.zeros(2)]
p[0] = torch.zeros(4)
print(p[0], len(list(p.parameters())))
p.extend(torch.ones(2))
p[9]
p()
q = nn.ParameterDict({"w": torch.ones(2), "b": torch.zeros(1)})
q["n"] = nn.Parameter(torch.ones(1, 1))
print(q, list(q.keys()), q["w"], "w" in q, len(q), q.pop("w"))
print(q.get("none", 3), list(q), [n for n, _ in q.named_parameters()])
q[3] = torch.ones(1)
q.update(3)
""",
    "training a part": """
model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
for name, param in model.named_parameters():
    if "0" in name: param.requires_grad = False
for p in model.parameters(): p.data.fill_(0.5)
opt = torch.optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.1)
x = torch.ones(2, 4)
loss = torch.nn.CrossEntropyLoss()(model(x), torch.tensor([0, 1]))
print(loss)
loss.backward()
opt.step()
print(model[2].weight, model[0].weight.grad)
print(model[0].weight.is_leaf, model[0].weight.grad_fn, model(x).grad_fn, loss.grad_fn.next_functions[0][0])
with torch.no_grad():
    model[0].weight += 1
    model[0].weight.copy_(torch.zeros(3, 4))
print(model[0].weight, model[0].weight._version)
model[0].weight.requires_grad = True
model[0].weight.add_(1)
print(torch.nn.BCELoss()(torch.tensor([1.5]), torch.tensor([1.0])))
torch.nn.BCELoss()(torch.tensor([0.5, 0.5]), torch.tensor([1.0]))
torch.nn.Linear(3, 2)(torch.ones(2, 4))
torch.nn.CrossEntropyLoss()(torch.ones(2, 3), torch.tensor([0, 5]))
print(torch.nn.Parameter(torch.ones(2, 2)) * 2)
p = torch.nn.Parameter(torch.ones(2, 2))
print([p], repr(p), str(p))
print(f"{p}")
print(p.data, p.detach(), p[0], p.T, p.sum(), p.clone(), p.double())
print(p.grad, p.retain_grad())
print(p.requires_grad_(False))
print(torch.nn.Linear(2,2).weight.shape, isinstance(p, torch.nn.Parameter), isinstance(p*2, torch.nn.Parameter))
""",
    "a module of one's own": """
class M(torch.nn.Module):
    def __init__(self, n=2):
        super().__init__()
        self.n = n
        self.w = torch.nn.Parameter(torch.full((n,), 2.0))
        self.register_buffer("mean", torch.zeros(n))
    def forward(self, x, scale=1.0):
        return (x - self.mean) * self.w * scale
    def extra_repr(self):
        return f"n={self.n}"
m = M()
print(m, m(torch.ones(2), scale=3.0))
m.mean = torch.ones(2)
print(m(torch.ones(2)), m.state_dict())
m.undefined
y = m(torch.tensor([1.0, 3.0])).sum()
y.backward(retain_graph=True)
y.backward()
print(m.w.grad)
y.backward()
del m.mean
print(list(m.buffers()), dict(m.named_parameters()))
print(torch.nn.ModuleList([m, m, M(3)]))
print(hash(m) == hash(m), m == m, [k for k in m.__dict__ if k == "n"])
copy.copy(m.w) is m.w
w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
opt = torch.optim.SGD([w], lr=0.1, momentum=0.9)
for _ in range(3):
    opt.zero_grad()
    (w ** 2).sum().backward()
    opt.step()
print(w, opt.state[w])
""",
    "freezing": """
nn = torch.nn
net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
for i, p in enumerate(net.parameters()):
    p.data = torch.arange(p.numel(), dtype=torch.float32).reshape(p.shape) / 4 + 0.1 * i
print(net[0].requires_grad_(False))
x = torch.tensor([[1.0, -1.0], [0.5, 2.0]])
out = net(x).sum()
print(out, [p.requires_grad for p in net.parameters()])
out.backward()
print([p.grad for p in net.parameters()])
print(net[1](net[0](x)))
net.zero_grad()
print([p.grad for p in net.parameters()])
net(x).sum().backward()
net.zero_grad(set_to_none=False)
print([p.grad for p in net.parameters()])
net.requires_grad_(False)
net(x).sum().backward()
net.requires_grad_()
net(x).sum().backward()
print([p.grad for p in net.parameters()])
for p in net[2].parameters(): p.requires_grad = False
print([p.requires_grad for p in net.parameters()])
""",
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_prints_what_torch_prints(name: str, seed: int) -> None:
    parity.same(SNIPPETS[name], seed)
