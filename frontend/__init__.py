"""gradc: write the forward, get fused gradient kernels. Names are torch's wherever torch has a name."""

from __future__ import annotations

from importlib import import_module
from math import e, inf, nan, pi
from typing import Any

from gradc.ir.errors import GradAttributeError, GradcError
from gradc.ir.types import bf16 as bfloat16
from gradc.ir.types import f16 as float16
from gradc.ir.types import f32 as float32
from gradc.ir.types import f64 as float64
from gradc.ir.types import i1 as bool
from gradc.ir.types import i8 as int8
from gradc.ir.types import i16 as int16
from gradc.ir.types import i32 as int32
from gradc.ir.types import i64 as int64
from gradc.ir.types import u8 as uint8
from gradc.ir.types import u32 as uint32
from gradc.ir.types import u64 as uint64

from . import autograd, composed, counting, exchange, extras, functions, grids, methods, statistics
from .autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .creation import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from .defaults import get_default_dtype, set_default_dtype
from .device import device
from .from_data import as_tensor, asarray, from_dlpack, from_numpy, tensor
from .infos import finfo, iinfo, layout, strided
from .printing import set_printoptions
from .random import Generator, get_rng_state, initial_seed, manual_seed, set_rng_state
from .sampling import rand, rand_like, randint, randint_like, randn, randn_like, randperm
from .size import Size
from .tensor import Tensor

dtype = type(float32)
float = float32
double = float64
half = float16
long = int64
int = int32
short = int16
preserve_format, contiguous_format = "preserve", "contiguous"

for _names in (functions.FUNCTIONS, exchange.FUNCTIONS, extras.FUNCTIONS, methods.functions_under("")):
    globals().update(_names)
for _module in (composed, counting, statistics, grids):
    globals().update(_module.FUNCTIONS)
    for _name, _method in _module.METHODS.items():
        setattr(Tensor, _name, _method)

LAZY_MODULES = ("nn", "func", "optim", "special", "linalg", "cuda", "ir", "passes", "codegen", "runtime", "testing")
LAZY_NAMES = {
    "build": "builder",
    "compile": "compiled",
    "spec": "specs",
    "Program": "program",
    **dict.fromkeys(("grad", "hessian", "jacobian", "jvp", "value_and_grad", "vjp"), "transform"),
}
"""The compiler's names and their modules, imported when first used: eager programs do not wait for them."""


def __getattr__(name: str) -> Any:
    if name in LAZY_MODULES:
        return import_module(f"{__name__}.{name}")
    if name in LAZY_NAMES:
        value = globals()[name] = getattr(import_module(f"{__name__}.{LAZY_NAMES[name]}"), name)
        return value
    if name == "__version__":
        from importlib.metadata import version

        return version("gradc")
    if name.startswith("__"):
        raise GradAttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .refused import MissingNameError

    raise MissingNameError(__name__, name, __dir__)


def __dir__() -> list[str]:
    return sorted({*globals(), *LAZY_MODULES, *LAZY_NAMES})


__all__ = [
    "Generator",
    "GradcError",
    "Size",
    "Tensor",
    "arange",
    "as_tensor",
    "asarray",
    "autograd",
    "bfloat16",
    "bool",
    "contiguous_format",
    "device",
    "double",
    "dtype",
    "e",
    "empty",
    "empty_like",
    "enable_grad",
    "eye",
    "finfo",
    "float",
    "float16",
    "float32",
    "float64",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "get_default_dtype",
    "get_rng_state",
    "half",
    "iinfo",
    "inf",
    "inference_mode",
    "initial_seed",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "layout",
    "linspace",
    "logspace",
    "long",
    "manual_seed",
    "nan",
    "no_grad",
    "ones",
    "ones_like",
    "pi",
    "preserve_format",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "set_default_dtype",
    "set_grad_enabled",
    "set_printoptions",
    "set_rng_state",
    "short",
    "strided",
    "tensor",
    "uint8",
    "uint32",
    "uint64",
    "zeros",
    "zeros_like",
]
