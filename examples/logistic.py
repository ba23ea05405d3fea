"""Logistic regression on scikit-learn's breast-cancer data, trained with gradients that gradc compiled.

The value of the loss and both gradients come from one compiled program; `gc.optim.SGD` makes the steps until the
gradient is zero. `gradc build examples/logistic.py:loss --target cuda:90 -o OUT` writes that program's kernels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from command import arguments, need
from history import History

import gradc as gc

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.5, 0.9, 1e-3
TOLERANCE = 1e-4
"""Training has converged when no element of the gradient (with the weight decay's share) is larger than this."""


def loss(w, b, x, y):
    """The mean cross entropy of labels 0 and 1 under the probabilities `sigmoid(x @ w + b)`."""
    return gc.nn.functional.binary_cross_entropy_with_logits(x @ w + b, y)


gradc_args = {"loss": ["f32[30]!", "f32[]!", "f32[455,30]", "f32[455]"]}


class Data(NamedTuple):
    """Measurements of tumours, standardised by the mean and deviation of the training part; 1 is benign."""

    x: Any
    y: Any
    held_x: Any
    held_y: Any


def data(seed: int = 0) -> Data:
    """Four fifths to train on, one fifth held out."""
    features, labels = need("sklearn.datasets").load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    held, kept = order[: len(order) // 5], order[len(order) // 5 :]
    mean, deviation = features[kept].mean(0), features[kept].std(0)
    x = ((features - mean) / deviation).astype(np.float32)
    y = labels.astype(np.float32)
    return Data(x[kept], y[kept], x[held], y[held])


def train(given: Data, steps: int, progress: Any = None) -> tuple[History, gc.Tensor, gc.Tensor]:
    """Full-batch gradient descent from zero; stops early once converged."""
    x, y, held_x, held_y = (gc.from_numpy(a) for a in given)
    w = gc.zeros(x.shape[1], requires_grad=True)
    b = gc.zeros((), requires_grad=True)
    optimizer = gc.optim.SGD([w, b], lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    value_and_grad = gc.value_and_grad(loss, argnums=(0, 1))
    held_loss = gc.compile(loss)
    history = History("step")
    for step in range(1, steps + 1):
        value, (w.grad, b.grad) = value_and_grad(w, b, x, y)
        with gc.no_grad():
            history.add(
                step=step,
                loss=value.item(),
                held_loss=held_loss(w, b, held_x, held_y).item(),
                accuracy=accuracy(w, b, x, y),
                held_accuracy=accuracy(w, b, held_x, held_y),
            )
            largest = max((p.grad + WEIGHT_DECAY * p).abs().max().item() for p in (w, b))
        if progress is not None:
            progress.advance(history)
        if largest < TOLERANCE:
            history.converged = True
            break
        optimizer.step()
    return history, w, b


def accuracy(w: gc.Tensor, b: gc.Tensor, x: gc.Tensor, y: gc.Tensor) -> float:
    """The part of the examples on the right side of the plane."""
    return ((x @ w + b > 0) == (y > 0.5)).float().mean().item()


def main() -> None:
    given = arguments(__doc__, steps=1000, out="out/logistic.png")
    examples = data(given.seed)
    with given.progress("training", "step") as progress:
        history, _, _ = train(examples, given.steps, progress)
    print(history.summary())
    history.save(given.out, "Logistic regression on breast cancer (30 measurements, 455 + 114 tumours)", log_steps=True)


if __name__ == "__main__":
    main()
