"""The text of tensors, character by character as torch prints them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parity import same

import gradc

torch = pytest.importorskip("torch", reason="torch is the reference")

EXTENTS, CHANCES = [0, 1, 2, 3, 4, 7, 8, 30, 130], [0.03, 0.2, 0.2, 0.2, 0.1, 0.1, 0.07, 0.06, 0.04]
DTYPES = ["float32", "float64", "float16", "int64", "int32", "bool", "uint8"]
OPTIONS: list[dict[str, Any]] = [
    {"precision": 2},
    {"sci_mode": True},
    {"sci_mode": False},
    {"edgeitems": 1, "threshold": 5},
    {"linewidth": 40},
    {"profile": "short"},
    {"profile": "full"},
]


def drawn(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """An array of any rank, dtype and range, with zeros, NaN, infinities, integers among the floats."""
    shape = tuple(int(d) for d in rng.choice(EXTENTS, size=rng.integers(0, 5), p=CHANCES))
    while np.prod(shape) > 5000:
        shape = shape[1:]
    a = np.asarray(rng.standard_normal(shape))
    kind = rng.integers(0, 8)
    if kind == 1:
        a = a * 10.0 ** rng.integers(-10, 12)
    elif kind == 2:
        a = np.round(a * 10)
    elif kind == 3:
        a = np.where(rng.random(shape) < 0.3, np.nan, a)
    elif kind == 4:
        a = np.where(rng.random(shape) < 0.3, np.where(rng.random(shape) < 0.5, np.inf, -np.inf), a)
    elif kind == 5:
        a = a * 0
    elif kind == 6:
        a = np.round(a * 1e5)
    elif kind == 7:
        a = np.round(a * 4) / 4
    dtype = str(rng.choice(DTYPES))
    if not dtype.startswith("float"):
        a = np.clip(
            np.nan_to_num(a, posinf=1, neginf=0), 0 if dtype == "uint8" else -1e6, 200 if dtype == "uint8" else 1e6
        )
    with np.errstate(all="ignore"):
        return np.asarray(a).astype(dtype)


def assert_same_text(rng: np.random.Generator) -> None:
    a = drawn(rng)
    t, g = torch.from_numpy(a.copy()), gradc.from_numpy(a.copy())
    if a.dtype.kind == "f" and rng.random() < 0.4:
        t, g = t.requires_grad_(), g.requires_grad_()
        if rng.random() < 0.5:
            t, g = t * 1, g * 1
    assert repr(g) == repr(t), f"{a.dtype} {a.shape}"


def test_random_tensors(rng: np.random.Generator) -> None:
    for _ in range(300):
        assert_same_text(rng)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options: dict[str, Any], rng: np.random.Generator) -> None:
    try:
        torch.set_printoptions(**options)
        gradc.set_printoptions(**options)
        for _ in range(40):
            assert_same_text(rng)
    finally:
        torch.set_printoptions(profile="default")
        gradc.set_printoptions(profile="default")


def test_notable_cases() -> None:
    same("""
torch.tensor(1.), torch.tensor(-0.), torch.tensor(float('nan')), torch.tensor([float('inf'), 1])
torch.tensor([1e-5, 1])
torch.tensor([1e9, 1.]), torch.tensor([123456.789]), torch.tensor([1., 1000.5]), torch.tensor([0.00001]), torch.zeros(3)
torch.arange(2000), torch.arange(2000.).reshape(40, 50), torch.ones(2, 2, 2), torch.zeros(1, 0, 3), torch.ones(30)
torch.ones(30, requires_grad=True), torch.ones(12, dtype=torch.float64, requires_grad=True) * 1.5
torch.ones(2, 2, dtype=torch.bool), torch.ones(2, dtype=torch.bfloat16), torch.tensor([1.5, 2.25], dtype=torch.float16)
torch.ones(2).shape, torch.tensor(1.).shape, [torch.ones(1)], {"a": torch.ones(1)}, str(torch.ones(1))
""")


def test_subclasses_print_their_name() -> None:
    class Mine(gradc.Tensor):
        pass

    assert repr(Mine([1.0])) == "Mine([1.])"


def test_unknown_profile_is_refused() -> None:
    with pytest.raises(TypeError, match="profile"):
        gradc.set_printoptions(profile="tall")
