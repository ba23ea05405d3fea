"""A two-layer network on scikit-learn's digits, trained in mini-batches by SGD with momentum.

The network is an `nn.Module`; its loss is one compiled function whose parameters are captured, and `backward()` of the
result puts the gradients where `gc.optim.SGD` looks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from command import arguments, need
from history import History

import gradc as gc
from gradc import nn

HIDDEN, BATCH = 64, 64
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.05, 0.9, 1e-4


class Network(nn.Module):
    """64 pixels to 10 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, HIDDEN)
        self.second = nn.Linear(HIDDEN, 10)

    def forward(self, images):
        return self.second(self.first(images).relu())


def loss(first_weight, first_bias, second_weight, second_bias, images, labels):
    """The network's cross entropy as a function of its parameters, for `gradc build examples/digits.py:loss`."""
    hidden = nn.functional.linear(images, first_weight, first_bias).relu()
    return nn.functional.cross_entropy(nn.functional.linear(hidden, second_weight, second_bias), labels)


PARAMETERS = [f"f32[{HIDDEN},64]!", f"f32[{HIDDEN}]!", f"f32[10,{HIDDEN}]!", "f32[10]!"]
gradc_args = {"loss": [*PARAMETERS, f"f32[{BATCH},64]", f"i64[{BATCH}]"]}


class Data(NamedTuple):
    """Images of 8 x 8 pixels from 0 to 1, and which digit each shows."""

    x: Any
    y: Any
    held_x: Any
    held_y: Any


def data(seed: int = 0) -> Data:
    """Four fifths to train on, one fifth held out."""
    images, labels = need("sklearn.datasets").load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    held, kept = order[: len(order) // 5], order[len(order) // 5 :]
    x, y = (images / 16).astype(np.float32), labels.astype(np.int64)
    return Data(x[kept], y[kept], x[held], y[held])


def batches(n: int, epochs: int, seed: int = 0) -> Iterator[tuple[int, bool, Any]]:
    """The epoch, whether it ends, and the examples of every batch; what is left over sits the epoch out."""
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        order = rng.permutation(n)
        starts = range(0, n - BATCH + 1, BATCH)
        for start in starts:
            yield epoch, start == starts[-1], order[start : start + BATCH]


def train(given: Data, network: Network, epochs: int, seed: int = 0, progress: Any = None) -> History:
    """Train the network in place."""
    x, y, held_x, held_y = (gc.from_numpy(a) for a in given)
    criterion = nn.CrossEntropyLoss()
    optimizer = gc.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    @gc.compile
    def batch_loss(images, labels):
        return criterion(network(images), labels)

    history = History("epoch")
    recent: list[float] = []
    for epoch, ends, chosen in batches(len(x), epochs, seed):
        index = gc.from_numpy(chosen)
        value = batch_loss(x[index], y[index])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        recent.append(value.item())
        if ends:
            with gc.no_grad():
                history.add(
                    epoch=epoch + 1,
                    loss=sum(recent) / len(recent),
                    held_loss=criterion(network(held_x), held_y).item(),
                    accuracy=accuracy(network, x, y),
                    held_accuracy=accuracy(network, held_x, held_y),
                )
            history.batch_losses += recent
            recent = []
            if progress is not None:
                progress.advance(history)
    return history


def accuracy(network: Network, x: gc.Tensor, y: gc.Tensor) -> float:
    """The part of the images whose digit gets the highest score."""
    return (network(x).argmax(1) == y).float().mean().item()


def main() -> None:
    given = arguments(__doc__, steps=40, out="out/digits.png", unit="epochs")
    gc.manual_seed(given.seed)
    network = Network()
    examples = data(given.seed)
    with given.progress("training", "epoch") as progress:
        history = train(examples, network, given.steps, given.seed, progress)
    print(network)
    print(history.summary())
    history.save(given.out, f"Two-layer network on digits (64-{HIDDEN}-10, batches of {BATCH})")


if __name__ == "__main__":
    main()
