"""`torch.nn.functional`: the functions that the op table offers under this name, and dropout."""

from __future__ import annotations

from typing import Any

from gradc import methods

from .drop import dropout, feature_dropout

globals().update(methods.functions_under("nn.functional"))
tanh = methods.FUNCTIONS["tanh"]
dropout2d = dropout3d = feature_dropout

__all__ = ["dropout", "dropout2d", "dropout3d", "feature_dropout", "tanh"]


def __getattr__(name: str) -> Any:
    from ..refused import MissingNameError

    raise MissingNameError(__name__, name, lambda: globals())
