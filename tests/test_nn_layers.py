"""Layers and losses: text, values and gradients of torch, eager and compiled; initial values; dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gradc as gc

torch = pytest.importorskip("torch", reason="the oracle")

FLAT = (5, 6)
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    **{
        name: (lambda nn, name=name: getattr(nn, name)(), FLAT)
        for name in (
            *("ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "Sigmoid", "Tanh", "LogSigmoid"),
            *("Softsign", "Tanhshrink", "GELU", "LeakyReLU", "ELU", "CELU", "Hardtanh", "Softplus", "Hardshrink"),
            *("Softshrink", "PReLU", "Identity", "Flatten"),
        )
    },
    "GELU tanh": (lambda nn: nn.GELU("tanh"), FLAT),
    "ReLU inplace": (lambda nn: nn.ReLU(inplace=True), FLAT),
    "LeakyReLU inplace": (lambda nn: nn.LeakyReLU(0.3, inplace=True), FLAT),
    "ELU 2": (lambda nn: nn.ELU(2.0, True), FLAT),
    "Hardtanh 2": (lambda nn: nn.Hardtanh(-0.5, 0.25, True), FLAT),
    "Threshold": (lambda nn: nn.Threshold(0.1, 20), FLAT),
    "Softplus 2": (lambda nn: nn.Softplus(2, 1), FLAT),
    "PReLU 6": (lambda nn: nn.PReLU(6, 0.1), FLAT),
    "Softmax": (lambda nn: nn.Softmax(dim=1), FLAT),
    "LogSoftmax": (lambda nn: nn.LogSoftmax(dim=-1), FLAT),
    "Softmin": (lambda nn: nn.Softmin(dim=0), FLAT),
    "Linear": (lambda nn: nn.Linear(6, 3), FLAT),
    "Linear no bias": (lambda nn: nn.Linear(6, 3, bias=False), (2, 3, 6)),
    "Flatten 0": (lambda nn: nn.Flatten(0, 1), (2, 3, 4)),
    "Unflatten": (lambda nn: nn.Unflatten(1, (2, 3)), FLAT),
    "LayerNorm": (lambda nn: nn.LayerNorm(6), FLAT),
    "LayerNorm 2": (lambda nn: nn.LayerNorm([5, 6], eps=1e-3, bias=False), (3, 5, 6)),
    "LayerNorm plain": (lambda nn: nn.LayerNorm((6,), elementwise_affine=False), FLAT),
    "RMSNorm": (lambda nn: nn.RMSNorm(6), FLAT),
    "RMSNorm eps": (lambda nn: nn.RMSNorm([6], eps=1e-3, elementwise_affine=False), FLAT),
    "GroupNorm": (lambda nn: nn.GroupNorm(2, 6), (3, 6, 4)),
    "GroupNorm plain": (lambda nn: nn.GroupNorm(3, 6, affine=False), (3, 6, 5)),
    "BatchNorm1d": (lambda nn: nn.BatchNorm1d(6), FLAT),
    "BatchNorm1d L": (lambda nn: nn.BatchNorm1d(6, momentum=None), (3, 6, 4)),
    "BatchNorm2d": (lambda nn: nn.BatchNorm2d(3, eps=1e-3, momentum=0.3), (4, 3, 2, 2)),
    "BatchNorm2d plain": (lambda nn: nn.BatchNorm2d(3, affine=False), (4, 3, 2, 2)),
    "BatchNorm1d untracked": (lambda nn: nn.BatchNorm1d(6, track_running_stats=False, bias=False), FLAT),
    "InstanceNorm1d": (lambda nn: nn.InstanceNorm1d(6), (3, 6, 4)),
    "InstanceNorm1d single": (lambda nn: nn.InstanceNorm1d(5, affine=True), (5, 6)),
    "InstanceNorm2d": (lambda nn: nn.InstanceNorm2d(3, affine=True, eps=1e-3), (4, 3, 3, 2)),
    "Dropout eval": (lambda nn: nn.Dropout(0.3).eval(), FLAT),
    "Dropout2d eval": (lambda nn: nn.Dropout2d(0.3, inplace=True).eval(), (2, 3, 2, 2)),
}


def load(ours: Any, theirs: Any, rng: np.random.Generator) -> None:
    """The same random values in both."""
    state = {}
    for name, value in theirs.state_dict().items():
        if value.is_floating_point() and "running" not in name:
            state[name] = rng.standard_normal(tuple(value.shape)).astype(np.float32)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=False)
    ours.load_state_dict({k: gc.tensor(v) for k, v in state.items()}, strict=False)


def close(ours: Any, theirs: Any) -> None:
    assert ours.dtype.torch_name == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_torchs(name: str, rng: np.random.Generator) -> None:
    make, shape = LAYERS[name]
    ours, theirs = make(gc.nn), make(torch.nn)
    assert repr(ours) == repr(theirs)
    load(ours, theirs, rng)
    tracking = any("running_mean" in k for k in theirs.state_dict())
    for _ in range(2):
        x = rng.standard_normal(shape).astype(np.float32)
        a, b = gc.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        out, want = ours(a * 1), theirs(b * 1)
        close(out, want)
        direction = rng.standard_normal(tuple(want.shape)).astype(np.float32)
        out.backward(gc.tensor(direction))
        want.backward(torch.tensor(direction))
        close(a.grad, b.grad)
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            close(p.grad, q.grad)
        for p, q in zip(ours.buffers(), theirs.buffers(), strict=True):
            close(p, q)
    if tracking:
        ours.eval()
        theirs.eval()
    x = rng.standard_normal(shape).astype(np.float32)
    want = theirs(torch.tensor(x) * 1)
    close(ours(gc.tensor(x) * 1), want)
    ours.zero_grad()
    a = gc.tensor(x, requires_grad=True)
    compiled = gc.compile(lambda t: ours(t * 1))(a)
    close(compiled, want)
    if any(p.requires_grad for p in (a, *ours.parameters())):
        b = torch.tensor(x, requires_grad=True)
        theirs.zero_grad()
        direction = rng.standard_normal(tuple(want.shape)).astype(np.float32)
        theirs(b * 1).backward(torch.tensor(direction))
        compiled.backward(gc.tensor(direction))
        close(a.grad, b.grad)
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            close(p.grad, q.grad)


def test_embedding_and_bilinear(rng: np.random.Generator) -> None:
    table = rng.standard_normal((7, 3)).astype(np.float32)
    index = rng.integers(0, 7, (4, 2))
    ours = gc.nn.Embedding(7, 3, padding_idx=-1, _weight=gc.tensor(table))
    theirs = torch.nn.Embedding(7, 3, padding_idx=-1, _weight=torch.tensor(table))
    assert repr(ours) == repr(theirs)
    index[0, 0] = 6
    out, want = ours(gc.tensor(index)), theirs(torch.tensor(index))
    close(out, want)
    (out * out).sum().backward()
    (want * want).sum().backward()
    close(ours.weight.grad, theirs.weight.grad)
    assert not gc.nn.Embedding(5, 2, padding_idx=1).weight[1].any()
    assert gc.nn.Embedding(5, 2).weight.std() > 0.3
    frozen = gc.nn.Embedding.from_pretrained(gc.tensor(table))
    assert not frozen.weight.requires_grad
    assert repr(frozen) == "Embedding(7, 3)"
    with pytest.raises(gc.GradcError, match="Padding_idx must be within num_embeddings"):
        gc.nn.Embedding(3, 2, padding_idx=3)
    with pytest.raises(NotImplementedError, match="max_norm, scale_grad_by_freq and sparse"):
        gc.nn.Embedding(3, 2, sparse=True)

    left, right = gc.nn.Bilinear(3, 4, 2), torch.nn.Bilinear(3, 4, 2)
    assert repr(left) == repr(right)
    load(left, right, rng)
    x, y = rng.standard_normal((5, 3)).astype(np.float32), rng.standard_normal((5, 4)).astype(np.float32)
    close(left(gc.tensor(x), gc.tensor(y)), right(torch.tensor(x), torch.tensor(y)))


def test_distances(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 5, 4)).astype(np.float32)
    for make in (
        lambda nn: nn.CosineSimilarity(),
        lambda nn: nn.CosineSimilarity(dim=0, eps=1e-3),
        lambda nn: nn.PairwiseDistance(),
        lambda nn: nn.PairwiseDistance(p=1.0, keepdim=True),
    ):
        ours, theirs = make(gc.nn), make(torch.nn)
        assert repr(ours) == repr(theirs)
        close(ours(gc.tensor(x), gc.tensor(y)), theirs(torch.tensor(x), torch.tensor(y)))


REAL = ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "PoissonNLLLoss", "KLDivLoss")
LOSSES: dict[str, tuple[Any, str]] = {
    **{name: (lambda nn, t, name=name, **kw: getattr(nn, name)(**kw), "real") for name in REAL},
    "SmoothL1Loss beta": (lambda nn, t, **kw: nn.SmoothL1Loss(beta=0.3, **kw), "real"),
    "HuberLoss delta": (lambda nn, t, **kw: nn.HuberLoss(delta=0.3, **kw), "real"),
    "KLDivLoss log": (lambda nn, t, **kw: nn.KLDivLoss(log_target=True, **kw), "real"),
    "PoissonNLLLoss full": (lambda nn, t, **kw: nn.PoissonNLLLoss(full=True, **kw), "real"),
    "BCELoss": (lambda nn, t, **kw: nn.BCELoss(**kw), "unit"),
    "BCELoss weight": (lambda nn, t, **kw: nn.BCELoss(t([1.0, 0.5, 2.0, 0.0]), **kw), "unit"),
    "BCEWithLogitsLoss": (lambda nn, t, **kw: nn.BCEWithLogitsLoss(**kw), "labels"),
    "BCEWithLogitsLoss pos": (
        lambda nn, t, **kw: nn.BCEWithLogitsLoss(pos_weight=t([1.0, 0.5, 2.0, 3.0]), **kw),
        "labels",
    ),
    "MultiLabelSoftMarginLoss": (lambda nn, t, **kw: nn.MultiLabelSoftMarginLoss(**kw), "labels"),
    "NLLLoss": (lambda nn, t, **kw: nn.NLLLoss(**kw), "classes"),
    "NLLLoss weight": (lambda nn, t, **kw: nn.NLLLoss(t([1.0, 0.5, 2.0, 3.0]), ignore_index=1, **kw), "classes"),
    "CrossEntropyLoss": (lambda nn, t, **kw: nn.CrossEntropyLoss(**kw), "classes"),
    "CrossEntropyLoss all": (
        lambda nn, t, **kw: nn.CrossEntropyLoss(
            weight=t([1.0, 0.5, 2.0, 3.0]), ignore_index=2, label_smoothing=0.1, **kw
        ),
        "classes",
    ),
    "CrossEntropyLoss soft": (lambda nn, t, **kw: nn.CrossEntropyLoss(label_smoothing=0.2, **kw), "labels"),
    "SoftMarginLoss": (lambda nn, t, **kw: nn.SoftMarginLoss(**kw), "signs"),
    "HingeEmbeddingLoss": (lambda nn, t, **kw: nn.HingeEmbeddingLoss(0.5, **kw), "signs"),
    "CosineEmbeddingLoss": (lambda nn, t, **kw: nn.CosineEmbeddingLoss(0.1, **kw), "pair"),
    "MarginRankingLoss": (lambda nn, t, **kw: nn.MarginRankingLoss(0.1, **kw), "pair of numbers"),
    "TripletMarginLoss": (lambda nn, t, **kw: nn.TripletMarginLoss(0.7, **kw), "triplet"),
    "GaussianNLLLoss": (lambda nn, t, **kw: nn.GaussianNLLLoss(full=True, **kw), "variance"),
}


def operands(kind: str, rng: np.random.Generator) -> list[Any]:
    x = rng.standard_normal((6, 4)).astype(np.float32)
    y = rng.standard_normal((6, 4)).astype(np.float32)
    signs = np.sign(rng.standard_normal(6)).astype(np.float32)
    return {
        "real": [x, np.abs(y)],
        "unit": [1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-y))],
        "labels": [x, (y > 0).astype(np.float32)],
        "classes": [x, np.array([0, 1, 2, 3, 0, 1])],
        "signs": [x, np.sign(y)],
        "pair": [x, y, signs],
        "pair of numbers": [x[:, 0], y[:, 0], signs],
        "triplet": [x, y, rng.standard_normal((6, 4)).astype(np.float32)],
        "variance": [x, y, np.exp(rng.standard_normal((6, 4))).astype(np.float32)],
    }[kind]


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_torchs(name: str, reduction: str, rng: np.random.Generator) -> None:
    make, kind = LOSSES[name]
    ours, theirs = make(gc.nn, gc.tensor, reduction=reduction), make(torch.nn, torch.tensor, reduction=reduction)
    assert repr(ours) == repr(theirs)
    assert [n for n, _ in ours.named_buffers()] == [n for n, _ in theirs.named_buffers()]
    first, *rest = operands(kind, rng)
    a, b = gc.tensor(first, requires_grad=True), torch.tensor(first, requires_grad=True)
    out = ours(a, *map(gc.tensor, rest))
    want = theirs(b, *map(torch.tensor, rest))
    close(out, want)
    assert type(out.grad_fn).__name__ == type(want.grad_fn).__name__
    out.sum().backward()
    want.sum().backward()
    close(a.grad, b.grad)


def test_old_spellings_of_reduction_warn() -> None:
    with pytest.warns(UserWarning, match="please use reduction='sum' instead"):
        assert gc.nn.MSELoss(size_average=False).reduction == "sum"
    with pytest.warns(UserWarning, match="please use reduction='none' instead"):
        assert gc.nn.NLLLoss(reduce=False).reduction == "none"


def test_dropout_drops_the_same_in_forward_backward_and_compiled(seed: int) -> None:
    drop = gc.nn.Dropout(0.25)
    x = gc.ones(200, 50, requires_grad=True)
    gc.manual_seed(seed)
    first, second = drop(x), drop(x)
    assert set(np.unique(first.detach().numpy())) == {np.float32(0), np.float32(4 / 3)}
    assert abs(float((first == 0).float().mean()) - 0.25) < 0.02
    assert not gc.equal(first, second)
    first.sum().backward()
    assert gc.equal(x.grad, first.detach())
    assert repr(first).endswith("grad_fn=<MulBackward0>)")
    for executor in ("reference", "tiled", "triton-interpreter"):
        if executor == "triton-interpreter":
            pytest.importorskip("triton", reason="the triton interpreter")
        compiled = gc.compile(lambda t: drop(t), executor=executor)
        gc.manual_seed(seed)
        x.grad = None
        out = compiled(x)
        assert gc.equal(out, first)
        assert gc.equal(compiled(x), second)
        out.sum().backward()
        assert gc.equal(x.grad, first.detach())


def test_dropout_of_features_edges_and_refusals() -> None:
    gc.manual_seed(0)
    x = gc.ones(8, 16, 3, 3)
    out = gc.nn.Dropout2d(0.5)(x)
    per_channel = out.reshape(8, 16, 9)
    assert bool((per_channel == per_channel[:, :, :1]).all())
    assert {0.0, 2.0} == set(np.unique(out.numpy()))
    assert gc.nn.Dropout(0.0)(x) is x
    assert not gc.nn.Dropout(1.0)(x).any()
    assert gc.nn.functional.dropout(x, training=False) is x
    again = gc.ones(100)
    assert gc.nn.functional.dropout(again, 0.5, inplace=True) is again
    assert bool((again == 0).any())
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"dropout probability has to be between 0 and 1, but got {p}"):
            gc.nn.Dropout(p)
        with pytest.raises(gc.GradcError, match="dropout probability"):
            gc.nn.functional.dropout(x, p)


def test_batch_norm_refuses_inputs_of_another_rank() -> None:
    norm = gc.nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match=r"expected 2D or 3D input \(got 1D input\)"):
        norm(gc.ones(3))


def test_frozen_layers_get_no_gradient_compiled(rng: np.random.Generator) -> None:
    net = gc.nn.Sequential(gc.nn.Linear(3, 4), gc.nn.Tanh(), gc.nn.Linear(4, 1))
    x = gc.tensor(rng.standard_normal((5, 3)).astype(np.float32))
    run = gc.compile(lambda t: net(t).square().mean())
    net[0].requires_grad_(False)
    run(x).backward()
    assert [p.grad is None for p in net.parameters()] == [True, True, False, False]
    compiled = [net[2].weight.grad.clone(), net[2].bias.grad.clone()]
    net.zero_grad()
    net(x).square().mean().backward()
    for a, p in zip(compiled, net[2].parameters(), strict=True):
        assert gc.allclose(a, p.grad, rtol=1e-5)
    net.requires_grad_(True)
    net.zero_grad()
    run(x).backward()
    assert all(p.grad is not None for p in net.parameters())
    net.requires_grad_(False)
    assert not run(x).requires_grad


def test_initial_values_have_torchs_distribution(seed: int) -> None:
    gc.manual_seed(seed)
    linear = gc.nn.Linear(400, 300)
    bound = 1 / math.sqrt(400)
    for p in linear.parameters():
        values = p.detach().numpy()
        assert np.abs(values).max() <= bound
        assert abs(values.std() - bound / math.sqrt(3)) < bound * 0.1
    weight = gc.empty(300, 400)
    init = gc.nn.init
    for fill, deviation in (
        (lambda: init.xavier_uniform_(weight, gain=2.0), 2 * math.sqrt(2 / 700)),
        (lambda: init.xavier_normal_(weight), math.sqrt(2 / 700)),
        (lambda: init.kaiming_uniform_(weight, nonlinearity="relu"), math.sqrt(2 / 400)),
        (lambda: init.kaiming_normal_(weight, mode="fan_out", nonlinearity="tanh"), 5 / 3 / math.sqrt(300)),
        (lambda: init.normal_(weight, 0.0, 0.5), 0.5),
        (lambda: init.uniform_(weight, -1.0, 1.0), 1 / math.sqrt(3)),
    ):
        assert fill() is weight
        assert abs(weight.numpy().std() - deviation) < 0.02 * deviation
    assert float(init.trunc_normal_(weight, std=2.0).abs().max()) <= 2.0
    square = init.orthogonal_(gc.empty(5, 8), gain=2.0).numpy()
    np.testing.assert_allclose(square @ square.T, 4 * np.eye(5), atol=1e-5)
    assert init.eye_(gc.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert init.constant_(gc.empty(2), 3.0).tolist() == [3, 3]
    assert init.zeros_(init.ones_(gc.empty(2))).tolist() == [0, 0]
    for name, param in (("relu", None), ("tanh", None), ("selu", None), ("leaky_relu", 0.3), ("leaky_relu", None)):
        assert init.calculate_gain(name, param) == torch.nn.init.calculate_gain(name, param)
    with pytest.raises(ValueError, match="Unsupported nonlinearity swish"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="can not be computed for tensor with fewer than 2 dimensions"):
        init.xavier_normal_(gc.empty(3))
    gc.manual_seed(3)
    first = gc.nn.Linear(3, 2).weight
    gc.manual_seed(3)
    assert gc.equal(first, gc.nn.Linear(3, 2).weight)


@pytest.mark.parametrize("order", [2.0, 1.0, 3.0, 0.5, float("inf")])
def test_clipping_and_vectors(order: float, rng: np.random.Generator) -> None:
    shapes = [(3, 4), (5,), ()]
    ours, theirs = [], []
    for shape in shapes:
        value, grad = rng.standard_normal(shape), rng.standard_normal(shape) * 5
        for module, out in ((gc, ours), (torch, theirs)):
            p = module.nn.Parameter(module.tensor(value, dtype=module.float32))
            p.grad = module.tensor(grad, dtype=module.float32)
            out.append(p)
    a = gc.nn.utils.clip_grad_norm_(ours, 1.5, norm_type=order)
    b = torch.nn.utils.clip_grad_norm_(theirs, 1.5, norm_type=order)
    close(a, b)
    gc.nn.utils.clip_grad_value_(ours, 0.2)
    torch.nn.utils.clip_grad_value_(theirs, 0.2)
    for p, q in zip(ours, theirs, strict=True):
        close(p.grad, q.grad)
    vector = gc.nn.utils.parameters_to_vector(ours)
    close(vector, torch.nn.utils.parameters_to_vector(theirs))
    gc.nn.utils.vector_to_parameters(vector.detach() * 2, ours)
    close(ours[0], theirs[0] * 2)
    ours[0].grad.fill_(float("nan"))
    with pytest.raises(RuntimeError, match="is non-finite, so it cannot be clipped"):
        gc.nn.utils.clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)
    assert gc.nn.utils.clip_grad_norm_([gc.ones(2)], 1.0).item() == 0
