"""Learning rates that change from epoch to epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from gradc.ir.errors import GradTypeError, GradValueError, UnsupportedError

from .optimizer import Optimizer


class LRScheduler:
    """Sets the learning rate of every group from its first one and the number of `step()` calls so far."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise GradTypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if last_epoch != -1:
            raise UnsupportedError("last_epoch other than -1 is not supported: resume with load_state_dict()")
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._last_lr: list[float] = []
        self.step()

    def factors(self, epoch: int) -> list[float]:
        """What every group's first learning rate is multiplied by."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        """The learning rates of this epoch."""
        factors = self.factors(self.last_epoch)
        return [lr * factor for lr, factor in zip(self.base_lrs, factors, strict=True)]

    def get_last_lr(self) -> list[float]:
        """The learning rates that were set last."""
        return self._last_lr

    def step(self) -> None:
        """Go on to the next epoch: to be called after the optimiser's steps of the last one."""
        self.last_epoch += 1
        self._last_lr = self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = lr

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.__dict__.update(state_dict)


class _Chained(LRScheduler):
    """A schedule that multiplies the learning rates there are, so that several schedules may act on one optimiser."""

    def factor(self, epoch: int) -> float:
        """What the rates of the epoch before are multiplied by (in epoch 0, those the optimiser came with)."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        factor = self.factor(self.last_epoch)
        return [group["lr"] * factor for group in self.optimizer.param_groups]


class LambdaLR(LRScheduler):
    """Factors that functions of the epoch give: one, or one per group."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]
    ) -> None:
        n = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * n
        if len(self.lr_lambdas) != n:
            raise GradValueError(f"Expected {n} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer)

    def factors(self, epoch: int) -> list[float]:
        return [f(epoch) for f in self.lr_lambdas]  # type: ignore[operator]

    def state_dict(self) -> dict[str, Any]:
        return {k: v for k, v in super().state_dict().items() if k != "lr_lambdas"}


class StepLR(_Chained):
    """Times `gamma` every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        return self.gamma if epoch and epoch % self.step_size == 0 else 1.0


class MultiStepLR(_Chained):
    """Times `gamma` at every milestone."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        return self.gamma ** self.milestones.count(epoch)


class ExponentialLR(_Chained):
    """Times `gamma` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        return self.gamma if epoch else 1.0


class LinearLR(_Chained):
    """From `start_factor` to `end_factor` in `total_iters` epochs."""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        if not 0.0 < start_factor <= 1.0:
            raise GradValueError("Starting multiplicative factor expected to be greater than 0 and less or equal to 1.")
        if not 0.0 <= end_factor <= 1.0:
            raise GradValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def factor(self, epoch: int) -> float:
        if epoch == 0:
            return self.start_factor
        if epoch > self.total_iters:
            return 1.0
        step = self.end_factor - self.start_factor
        return 1.0 + step / (self.total_iters * self.start_factor + (epoch - 1) * step)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the first learning rate to `eta_min` in `T_max` epochs, and back in as many."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        epoch, least, rates = self.last_epoch, self.eta_min, [g["lr"] for g in self.optimizer.param_groups]
        if epoch == 0:
            return rates
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            up = (1 - math.cos(math.pi / self.T_max)) / 2
            return [lr + (base - least) * up for lr, base in zip(rates, self.base_lrs, strict=True)]
        part = (1 + math.cos(math.pi * epoch / self.T_max)) / (1 + math.cos(math.pi * (epoch - 1) / self.T_max))
        return [part * (lr - least) + least for lr in rates]
