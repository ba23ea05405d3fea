"""Instance norm: every channel of every example brought to mean 0 and variance 1."""

from __future__ import annotations

from typing import Any

from . import functional
from .batch_norm import RunningNorm


class _InstanceNorm(RunningNorm):
    _version = 2

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Any) -> Any:
        self._check_input_dim(input)
        single = input.ndim == self._dims[0]
        out = functional.instance_norm(
            input.unsqueeze(0) if single else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return out.squeeze(0) if single else out


class InstanceNorm1d(_InstanceNorm):
    """Instance norm of [C, L] or [N, C, L]."""

    _dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance norm of [C, H, W] or [N, C, H, W]."""

    _dims = (3, 4)
