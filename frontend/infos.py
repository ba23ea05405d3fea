"""Facts about element types and memory: `finfo`, `iinfo`, `layout`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import GradTypeError
from gradc.ir.types import DType
from gradc.ir.types import dtype as as_dtype

from .defaults import DEFAULTS


class finfo:  # noqa: N801 - torch's name
    """The limits of a float dtype; of the default one if none is given."""

    def __init__(self, type: Any = None) -> None:
        d: DType = DEFAULTS.dtype if type is None else as_dtype(type)
        if not d.is_float:
            raise GradTypeError(
                "torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'"
            )
        import ml_dtypes

        info: Any = ml_dtypes.finfo(d.numpy)  # type: ignore[no-untyped-call]
        self.dtype, self.bits = d.torch_name, d.bits
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = float(f"{float(info.resolution):.0e}")

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        facts = ", ".join(f"{n}={getattr(self, n):g}" for n in names)
        return f"finfo({facts}, dtype={self.dtype})"


class iinfo:  # noqa: N801 - torch's name
    """The limits of an integer dtype."""

    def __init__(self, type: Any) -> None:
        d: DType = as_dtype(type)
        if d.kind != "int":
            raise GradTypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'")
        info = np.iinfo(d.numpy)
        self.dtype, self.bits, self.max, self.min = d.torch_name, d.bits, int(info.max), int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


class layout:  # noqa: N801 - torch's name
    """How elements lie in memory. There is one: `strided`."""

    def __repr__(self) -> str:
        return "torch.strided"

    def __reduce__(self) -> str:
        return "strided"


strided = layout()
