"""The examples learn what torch learns from the same start, run from anywhere, and are what `gradc build` takes."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tree

import gradc as gc

torch = pytest.importorskip("torch", reason="the oracle")
pytest.importorskip("sklearn", reason="the examples' data")
EXAMPLES = tree.ROOT / "examples"
if not EXAMPLES.is_dir():
    pytest.skip("the examples are not part of the wheel", allow_module_level=True)
LIMIT = 1e-4


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports an example as `python examples/NAME.py` would."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name: str) -> ModuleType:
        return __import__(name)

    return load


def deviation(ours: list[float], theirs: list[float]) -> float:
    """The largest relative difference over a whole run."""
    a, b = np.array(ours), np.array(theirs)
    assert a.shape == b.shape
    return float((np.abs(a - b) / np.abs(b)).max())


def torch_sgd(params: Any, module: ModuleType) -> Any:
    return torch.optim.SGD(
        params, lr=module.LEARNING_RATE, momentum=module.MOMENTUM, weight_decay=module.WEIGHT_DECAY
    )


def test_logistic_converges_on_the_curve_of_torch(example: Any) -> None:
    logistic = example("logistic")
    given = logistic.data()
    history, w, b = logistic.train(given, 1000)
    assert history.converged
    assert history.column("held_accuracy")[-1] > 0.97
    x, y = torch.tensor(given.x), torch.tensor(given.y)
    tw = torch.zeros(x.shape[1], requires_grad=True)
    tb = torch.zeros((), requires_grad=True)
    optimizer = torch_sgd([tw, tb], logistic)
    losses = []
    for _ in history.rows:
        if losses:
            optimizer.step()
        optimizer.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(x @ tw + tb, y)
        value.backward()
        losses.append(value.item())
    off = deviation(history.column("loss"), losses)
    print(f"{len(losses)} steps, largest relative deviation {off:.2e}")
    assert off < LIMIT
    assert np.allclose(w.detach().numpy(), tw.detach().numpy(), rtol=1e-3, atol=1e-5)
    assert np.allclose(b.item(), tb.item(), rtol=1e-3)


def test_digits_learns_along_the_curve_of_torch(example: Any) -> None:
    digits = example("digits")
    epochs = 40
    given = digits.data()
    gc.manual_seed(0)
    network = digits.Network()
    start = {k: torch.tensor(v.numpy().copy()) for k, v in network.state_dict().items()}
    history = digits.train(given, network, epochs)
    assert history.column("held_accuracy")[-1] > 0.95
    assert history.column("accuracy")[-1] > 0.99

    x, y = torch.tensor(given.x), torch.tensor(given.y)
    first, second = torch.nn.Linear(64, digits.HIDDEN), torch.nn.Linear(digits.HIDDEN, 10)
    theirs = torch.nn.ModuleDict({"first": first, "second": second})
    theirs.load_state_dict(start)
    optimizer = torch_sgd(theirs.parameters(), digits)
    losses = []
    for _, _, chosen in digits.batches(len(x), epochs):
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(second(first(x[chosen]).relu()), y[chosen])
        value.backward()
        optimizer.step()
        losses.append(value.item())
    off = deviation(history.batch_losses, losses)
    print(f"{len(losses)} steps, largest relative deviation {off:.2e}, last loss {losses[-1]:.4f}")
    assert off < LIMIT


def test_the_function_that_is_built_is_the_loss_of_the_network(example: Any) -> None:
    digits = example("digits")
    gc.manual_seed(1)
    network = digits.Network()
    given = digits.data()
    x, y = gc.from_numpy(given.x[:8]), gc.from_numpy(given.y[:8])
    whole = gc.nn.CrossEntropyLoss()(network(x), y)
    assert digits.loss(*network.parameters(), x, y).item() == whole.item()


@pytest.mark.parametrize("name", ["logistic", "digits"])
def test_examples_run_from_anywhere_and_draw(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture")
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--steps", "2", "--out", "curves/picture.png"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "held out" in run.stdout
    assert "held-out accuracy" in run.stderr
    assert sorted(p.name for p in (tmp_path / "curves").iterdir()) == ["picture.csv", "picture.png"]
    assert (tmp_path / "curves" / "picture.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((tmp_path / "curves" / "picture.csv").read_text().splitlines()))
    assert len(rows) == 2
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "expected a number above 0, got 0"),
        (["--steps", "many"], "invalid whole number value"),
        (["--out"], "expected one argument"),
        (["--out", "picture.txt"], "expected a file name that ends in .png, .svg, .pdf, got 'picture.txt'"),
        (["--out", "/dev/null/picture.png"], "cannot make the folder of '/dev/null/picture.png'"),
    ],
)
def test_bad_options_are_usage_errors(options: list[str], message: str) -> None:
    command = [sys.executable, str(EXAMPLES / "logistic.py"), *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert message in run.stderr


@pytest.mark.parametrize("name", ["logistic", "digits"])
def test_losses_build(name: str, tmp_path: Path) -> None:
    from gradc.cli import main

    out = tmp_path / name
    assert main(["build", f"{EXAMPLES / name}.py:loss", "--target", "cpu", "-o", str(out)]) == 0
    written = {p.name for p in out.iterdir()}
    assert {"kernels", "memory.json", "report.txt"} <= written
    assert any(n.endswith("_planned.mlir") for n in written)
