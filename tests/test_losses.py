"""Losses of many kinds, written once for torch and for gradc: value and gradients on every executor against torch's."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gradc as gc

torch = pytest.importorskip("torch", reason="torch is the oracle")
CASES = {}
SEED = 7


def case(*specs):
    """Register a loss; `specs` make its arguments: (draw, whether its gradient is wanted)."""

    def register(f):
        CASES[f.__name__] = (f, specs)
        return f

    return register


def n(*shape, g=True, scale=1.0):
    return (lambda r: (r.standard_normal(shape) * scale).astype(np.float32)), g


def pos(*shape, g=True):
    return (lambda r: (r.random(shape) * 0.9 + 0.05).astype(np.float32)), g


def bits(*shape):
    return (lambda r: r.integers(0, 2, shape).astype(np.float32)), False


def ints(*shape, hi):
    return (lambda r: r.integers(0, hi, shape)), False


@case(n(37), bits(37))
def focal(lib, x, y):
    p = lib.sigmoid(x)
    pt = p * y + (1 - p) * (1 - y)
    a = 0.25 * y + 0.75 * (1 - y)
    return (-(a * (1 - pt) ** 2 * lib.log(pt.clamp(min=1e-07)))).mean()


@case(pos(3, 7, 5), bits(3, 7, 5))
def dice(lib, p, y):
    i = (p * y).sum(dim=(1, 2))
    u = p.sum(dim=(1, 2)) + y.sum(dim=(1, 2))
    return (1 - (2 * i + 1) / (u + 1)).mean()


@case(n(13, 11), n(13, 11))
def infonce(lib, a, b):
    F = lib.nn.functional
    a = a / a.norm(dim=1, keepdim=True)
    b = b / b.norm(dim=1, keepdim=True)
    logits = a @ b.T / 0.07
    return F.cross_entropy(logits, lib.arange(13))


@case(n(9, 17), n(9, 17, g=False))
def huber_tv(lib, x, y):
    h = lib.nn.functional.huber_loss(x, y, delta=0.7)
    return h + 0.1 * ((x[1:] - x[:-1]).abs().mean() + (x[:, 1:] - x[:, :-1]).abs().mean())


@case(n(5, 7), n(5, 7), n(5, 7, g=False), n(7, 4), n(5, 4, g=False))
def vae(lib, mu, lv, eps, w, x):
    z = mu + lib.exp(0.5 * lv) * eps
    r = z @ w
    return ((r - x) ** 2).sum(-1).mean() + (-0.5 * (1 + lv - mu**2 - lv.exp()).sum(-1)).mean()


@case(n(2, 3, 5, 8), n(2, 3, 5, 8), n(2, 3, 5, 8))
def attention(lib, q, k, v):
    s = q @ k.transpose(-1, -2) / math.sqrt(8)
    m = lib.ones(5, 5).tril()
    s = s.masked_fill(m == 0, float("-inf"))
    return (lib.softmax(s, dim=-1) @ v).pow(2).mean()


@case(n(6, 10), n(10), n(10, 12), n(10, 12), n(12, 10))
def swiglu(lib, x, g, w1, w2, w3):
    y = x * lib.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-06) * g
    h = lib.nn.functional.silu(y @ w1) * (y @ w2)
    return (x + h @ w3).abs().sum()


@case(pos(101), pos(101), pos(101), pos(101))
def black_scholes(lib, s, k, t, v):
    s = s * 50 + 50
    k = k * 50 + 50
    d1 = (lib.log(s / k) + (0.02 + 0.5 * v * v) * t) / (v * lib.sqrt(t))
    d2 = d1 - v * lib.sqrt(t)

    def normal_cdf(z):
        return 0.5 * (1 + lib.erf(z / math.sqrt(2)))

    return (s * normal_cdf(d1) - k * lib.exp(-0.02 * t) * normal_cdf(d2)).mean()


@case(n(11, 6), n(11, 6), n(11, 6))
def triplet(lib, a, p, q):
    return lib.relu((a - p).pow(2).sum(1).sqrt() - (a - q).pow(2).sum(1).sqrt() + 1.0).mean()


@case(n(8, 3), n(8, 3), n(8, 3), n(8, 3))
def kl_gauss(lib, m1, l1, m2, l2):
    return (l2 - l1 + (lib.exp(2 * l1) + (m1 - m2) ** 2) / (2 * lib.exp(2 * l2)) - 0.5).sum(1).mean()


@case(n(19, 4), n(19, 4), n(19, 4), n(19, g=False))
def mdn(lib, pi, mu, ls, y):
    lp = lib.log_softmax(pi, dim=1)
    z = (y.unsqueeze(1) - mu) / ls.exp()
    return -lib.logsumexp(lp - 0.5 * z * z - ls - 0.5 * math.log(2 * math.pi), dim=1).mean()


@case(n(17), n(17, g=False))
def ranking(lib, s, y):
    d = s.unsqueeze(0) - s.unsqueeze(1)
    m = (y.unsqueeze(0) > y.unsqueeze(1)).to(s.dtype)
    return (m * lib.nn.functional.softplus(-d)).sum() / m.sum()


@case(n(7, 5))
def spectral(lib, w):
    g = w.T @ w
    i = lib.eye(5)
    return ((g - i) ** 2).sum() + lib.diagonal(g).sum()


@case(n(11, 5), ints(4, 6, hi=11))
def embed(lib, w, i):
    e = lib.nn.functional.embedding(i, w)
    return (e.mean(1) ** 2).sum()


@case(n(5, 9), bits(5, 9))
def masked_mean(lib, x, m):
    return ((x * m).sum(1) / m.sum(1).clamp(min=1)).pow(2).sum()


@case(n(23, 3), ints(23, hi=6))
def segsum(lib, x, i):
    oh = (i.unsqueeze(1) == lib.arange(6)).to(x.dtype)
    return (oh.T @ x).tanh().sum()


@case(n(31), n(31, g=False))
def quantile(lib, p, y):
    e = y - p
    return lib.maximum(0.9 * e, -0.1 * e).mean()


@case(n(8, 3, 5), n(3), n(3))
def bn_train(lib, x, g, b):
    m = x.mean(dim=(0, 2), keepdim=True)
    v = x.var(dim=(0, 2), keepdim=True, unbiased=False)
    h = (x - m) / lib.sqrt(v + 1e-05) * g.view(1, 3, 1) + b.view(1, 3, 1)
    return (h.relu() ** 2).mean() + h.sin().mean()


@case(n(2, 6, 5, 5), n(6), n(6))
def groupnorm(lib, x, g, b):
    y = x.reshape(2, 3, 2, 5, 5)
    m = y.mean(dim=(2, 3, 4), keepdim=True)
    v = ((y - m) ** 2).mean(dim=(2, 3, 4), keepdim=True)
    h = ((y - m) * lib.rsqrt(v + 1e-05)).reshape(2, 6, 5, 5) * g[None, :, None, None] + b[None, :, None, None]
    return lib.nn.functional.silu(h).square().mean()


@case(n(5, 5))
def cosine_sched(lib, w):
    l = 0.0
    for s in range(4):
        l = l + 0.5 * (1 + math.cos(math.pi * s / 4)) * (w * (s + 1)).sin().sum()
    return l


@case(n(1))
def one(lib, x):
    return (x * 2).sum()


@case(n(0, 4), n(4))
def empty(lib, x, w):
    return (x * w).sum() + w.sum()


@case(n(3, 5001))
def bigrow(lib, x):
    return -lib.log_softmax(x, -1)[:, 7].mean()


@case(n(6, 3), n(6, 3), n(3, 8), n(2, 8), n(8))
def lstmcell(lib, x, h, w, u, b):
    g = x @ w + h[:, :2] @ u + b
    i, f, o, c = g.chunk(4, dim=1)
    c2 = lib.sigmoid(f) * h[:, :2] + lib.sigmoid(i) * lib.tanh(c)
    return (lib.sigmoid(o) * lib.tanh(c2)).sum()


@case(n(7, 4), n(4, 4), n(4, 4))
def rnn(lib, x, w, u):
    h = lib.zeros(4)
    for t in range(7):
        h = lib.tanh(x[t] @ w + h @ u)
    return h.pow(2).sum()


@case(n(6, 5), n(5, 5))
def crf(lib, e, tr):
    a = e[0]
    for t in range(1, 6):
        a = lib.logsumexp(a.unsqueeze(1) + tr, dim=0) + e[t]
    return lib.logsumexp(a, dim=0) - e[:, 0].sum() - tr[0, 0] * 5


@case(n(4, 6))
def maxmin(lib, x):
    return (x.max(dim=1)[0] - x.min(dim=0)[0].sum()).pow(2).sum() + x.amax() + x.argmax().to(x.dtype)


@case(n(5, 3), n(5, 3))
def inplace(lib, x, y):
    z = x * 2
    z[1:3] += y[1:3]
    z[:, 0] = y[:, 1] * x[:, 2]
    z.mul_(y)
    z[0].add_(1.0)
    z[z > 0.5] = 0.0
    return (z**2).sum()


@case(pos(4, 5))
def prods(lib, x):
    return x.prod(dim=1).sum() + x.prod() + lib.cumprod(x, dim=1).sum()


@case(n(6, 5), ints(6, 1, hi=5))
def gath(lib, x, i):
    return x.gather(1, i).pow(2).sum() + x[lib.arange(6), i.squeeze(1)].sum()


@case(n(3, 4), n(3, 4), n(3, 4))
def stackcat(lib, a, b, c):
    s = lib.stack([a, b, c], dim=1)
    k = lib.cat([a, s[:, 1], c.flip(1)], dim=1)
    return (k.roll(1, 0) * k).sum() + s.std() + s.var(dim=2).sum()


@case(n(4, 4))
def detach(lib, x):
    with lib.no_grad():
        s = x.sum()
    return (x * s + x.detach() * x).mean()


@case(n(2, 3, 4))
def permview(lib, x):
    return (x.permute(2, 0, 1).reshape(4, 6).t() @ x.transpose(0, 2).contiguous().view(4, 6)).sum()


@case(n(6, 6))
def tri(lib, x):
    return lib.tril(x).exp().sum() + lib.triu(x, 1).sin().sum() + lib.trace(x)


@case(n(4, 3), n(5, 3))
def cdist(lib, a, b):
    d = ((a.unsqueeze(1) - b.unsqueeze(0)) ** 2).sum(-1)
    return lib.exp(-d / 2).mean()


@case(n(4, 3), n(5, 3))
def chamfer(lib, a, b):
    d = ((a[:, None] - b[None]) ** 2).sum(-1)
    return d.min(dim=1)[0].mean() + d.min(dim=0).values.mean()


@case(n(10, 3, scale=4), ints(10, hi=3))
def hinge(lib, x, y):
    c = x.gather(1, y.view(-1, 1))
    m = lib.relu(x - c + 1)
    return (m.sum(1) - 1).mean()


@case(n(3, 8, 8))
def tv2(lib, x):
    return ((x[:, 1:, :-1] - x[:, :-1, :-1]) ** 2 + (x[:, :-1, 1:] - x[:, :-1, :-1]) ** 2 + 1e-06).sqrt().mean()


@case(n(4, 2, 6), n(3, 2, 3))
def conv_unfold(lib, x, w):
    p = lib.stack([x[:, :, i : i + 4] for i in range(3)], dim=-1)
    return lib.einsum("ncli,oci->nol", p, w).relu().mean()


@case(n(4, 6), n(6))
def wnorm(lib, v, g):
    w = g * v / v.norm(dim=0, keepdim=True)
    return (w.sum(1) ** 2).mean() + v.norm() + v.abs().max()


@pytest.mark.parametrize("executor", ["reference", "tiled", "triton-interpreter"])
@pytest.mark.parametrize("name", list(CASES))
def test_value_and_gradients(name, executor):
    loss, specs = CASES[name]
    rng = np.random.default_rng(SEED)
    arrays = [draw(rng) for draw, _ in specs]
    tensors = [torch.tensor(a, requires_grad=grad) for a, (_, grad) in zip(arrays, specs, strict=True)]
    want = loss(torch, *tensors)
    want.sum().backward()
    typed = [gc.spec(a, requires_grad=grad) for a, (_, grad) in zip(arrays, specs, strict=True)]
    program = gc.build(lambda *a: loss(gc, *a), *typed, name=name)
    value, grads = program(*arrays, executor=executor)
    close("value", value, want)
    for i, (got, t) in enumerate(zip(grads, tensors, strict=True)):
        assert (got is None) == (t.grad is None)
        if got is not None:
            close(f"gradient {i}", got, t.grad)


def close(what, got, want):
    want = want.detach().numpy()
    assert got.shape == want.shape, what
    assert got.dtype == want.dtype, what
    largest = np.abs(want).max(initial=1e-6)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5 * largest, err_msg=f"{what} (seed {SEED})")
