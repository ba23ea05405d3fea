"""Activations: modules that apply one function of `nn.functional`."""

from __future__ import annotations

from typing import Any

from ..creation import full
from ..tensor import Tensor
from . import functional as F  # noqa: N812 - torch's customary name
from .module import Module
from .parameter import Parameter


class _Switch(Module):
    """An activation whose only setting is `inplace`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


def _tail(inplace: bool) -> str:
    return ", inplace=True" if inplace else ""


class ReLU(_Switch):
    def forward(self, input: Tensor) -> Any:
        return F.relu(input, inplace=self.inplace)


class ReLU6(_Switch):
    def forward(self, input: Tensor) -> Any:
        return F.relu6(input, inplace=self.inplace)


class SELU(_Switch):
    def forward(self, input: Tensor) -> Any:
        return F.selu(input, inplace=self.inplace)


class SiLU(_Switch):
    def forward(self, input: Tensor) -> Any:
        return F.silu(input, inplace=self.inplace)


class Mish(_Switch):
    def forward(self, input: Tensor) -> Any:
        return F.mish(input, inplace=self.inplace)


class Hardswish(_Switch):
    def forward(self, input: Tensor) -> Any:
        return F.hardswish(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        return ""


class Hardsigmoid(_Switch):
    def forward(self, input: Tensor) -> Any:
        return F.hardsigmoid(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        return ""


class Sigmoid(Module):
    def forward(self, input: Tensor) -> Any:
        return F.sigmoid(input)


class Tanh(Module):
    def forward(self, input: Any) -> Any:
        return input.tanh()


class LogSigmoid(Module):
    def forward(self, input: Tensor) -> Any:
        return F.logsigmoid(input)


class Softsign(Module):
    def forward(self, input: Tensor) -> Any:
        return F.softsign(input)


class Tanhshrink(Module):
    def forward(self, input: Tensor) -> Any:
        return F.tanhshrink(input)


class GELU(Module):
    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Any:
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class LeakyReLU(Module):
    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Tensor) -> Any:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}{_tail(self.inplace)}"


class _Alpha(Module):
    """An activation with a scale `alpha`."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}{_tail(self.inplace)}"


class ELU(_Alpha):
    def forward(self, input: Tensor) -> Any:
        return F.elu(input, self.alpha, self.inplace)



class CELU(_Alpha):
    def forward(self, input: Tensor) -> Any:
        return F.celu(input, self.alpha, self.inplace)


class Hardtanh(Module):
    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, input: Tensor) -> Any:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}{_tail(self.inplace)}"


class Threshold(Module):
    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Tensor) -> Any:
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}{_tail(self.inplace)}"


class Softplus(Module):
    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Any:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class _Lambda(Module):
    """An activation with a bound `lambd`."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Hardshrink(_Lambda):
    def forward(self, input: Tensor) -> Any:
        return F.hardshrink(input, self.lambd)



class Softshrink(_Lambda):
    def forward(self, input: Tensor) -> Any:
        return F.softshrink(input, self.lambd)


class PReLU(Module):
    """A leaky ReLU whose slope is trained."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(full((num_parameters,), float(init), device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Any:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class _Along(Module):
    """An activation along one dimension."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_Along):
    def forward(self, input: Tensor) -> Any:
        return F.softmax(input, self.dim, _stacklevel=5)



class LogSoftmax(_Along):
    def forward(self, input: Tensor) -> Any:
        return F.log_softmax(input, self.dim, _stacklevel=5)


class Softmin(_Along):
    def forward(self, input: Tensor) -> Any:
        return F.softmin(input, self.dim, _stacklevel=5)
