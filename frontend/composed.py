"""Functions of torch that are a few other functions: written once on tensors, so that they run, record and trace as
what they are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from gradc.ir.dim import normalize_axis
from gradc.ir.errors import GradRuntimeError
from gradc.ir.types import DType, promote_dtypes
from gradc.ir.types import dtype as as_dtype

from . import creation, extras, linalg
from .methods import FUNCTIONS as TABLE
from .tensor import Tensor


def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    if input.ndim != 2:
        raise GradRuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    total: Tensor = input.diagonal().sum()
    return total


def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements by their place in row-major order."""
    if index.dtype.name != "i64":
        raise GradRuntimeError(f"take(): Expected a long tensor for index, but got {_word(index)}")
    return input.reshape(-1)[index]  # type: ignore[no-any-return]


def _word(t: Tensor) -> str:
    from .autograd.saved import type_name

    return type_name(t.dtype)


def cross(input: Tensor, other: Tensor, dim: int = -1) -> Tensor:
    """The vector product along a dimension of extent 3."""
    d = normalize_axis(dim, input.ndim)
    if input.shape[d] != 3 or other.shape[d - input.ndim] != 3:
        raise GradRuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[d]} and "
            f"{other.shape[d - input.ndim]}"
        )
    e = d - input.ndim
    out: Tensor = input.roll(-1, d) * other.roll(-2, e) - input.roll(-2, d) * other.roll(-1, e)
    return out


def diff(input: Tensor, n: int = 1, dim: int = -1) -> Tensor:
    """Differences of neighbours, `n` times over."""
    if input.ndim == 0:
        raise GradRuntimeError("diff expects input to be at least one-dimensional")
    for _ in range(n):
        extent = input.shape[dim]
        if extent == 0:
            break
        later, earlier = input.narrow(dim, 1, extent - 1), input.narrow(dim, 0, extent - 1)
        input = later.logical_xor(earlier) if input.dtype.kind == "bool" else later - earlier
    return input


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of nearly equal length, or the parts between the given places."""
    if input.ndim == 0:
        raise GradRuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    extent = input.shape[normalize_axis(dim, input.ndim)]
    if isinstance(indices_or_sections, int):
        n = indices_or_sections
        if n <= 0:
            raise GradRuntimeError(f"number of sections must be larger than 0, got {n}")
        places = [i * (extent // n) + min(i, extent % n) for i in range(1, n)]
    else:
        places = [int(i) for i in indices_or_sections]
    ends = [slice(*pair).indices(extent) for pair in zip([None, *places], [*places, None], strict=True)]
    key = (slice(None),) * normalize_axis(dim, input.ndim)
    return tuple(input[(*key, slice(start, max(start, stop)))] for start, stop, _ in ends)


def _splitter(name: str, dim: int) -> Callable[..., Any]:
    def split(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        least = dim + 1
        if input.ndim < least:
            raise GradRuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension{'s' * (least > 1)}, but got a tensor "
                f"with {input.ndim} dimensions!"
            )
        axis = 0 if name == "hsplit" and input.ndim == 1 else dim
        n = indices_or_sections
        if isinstance(n, int) and (n <= 0 or input.shape[axis] % n):
            raise GradRuntimeError(
                f"torch.{name} attempted to split along dimension {axis}, but the size of the dimension "
                f"{input.shape[axis]} is not divisible by the split_size {n}!"
            )
        return tensor_split(input, n, axis)

    split.__name__ = name
    split.__doc__ = f"Parts along dimension {dim}."
    return split


def _at_least(rank: int) -> Callable[..., Any]:
    def grown(*tensors: Any) -> Any:
        given: Sequence[Any] = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
        out = []
        for t in given:
            if t.ndim == 0 and rank:
                t = t.reshape(1)
            if t.ndim == 1 and rank > 1:
                t = t.unsqueeze(0)
            if t.ndim == 2 and rank > 2:
                t = t.unsqueeze(-1)
            out.append(t)
        return out[0] if len(tensors) == 1 and given is tensors else tuple(out)

    grown.__name__ = f"atleast_{rank}d"
    grown.__doc__ = f"Dimensions of extent 1 are added until there are {rank}."
    return grown


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors behind one another along the third dimension."""
    return TABLE["cat"]([_at_least(3)(t) for t in tensors], 2)  # type: ignore[no-any-return]


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by `k` quarter turns in the plane of two dimensions."""
    a, b = (normalize_axis(d, input.ndim) for d in dims)
    turned: Tensor = input.clone()
    if k % 4 == 1:
        turned = input.flip(b).transpose(a, b)
    elif k % 4 == 2:
        turned = input.flip(a, b)
    elif k % 4 == 3:
        turned = input.flip(a).transpose(a, b)
    return turned


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Each of some vectors, spread over the grid that they span: "ij" as matrices are indexed, "xy" with the first two
    dimensions exchanged."""
    given = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else list(tensors)
    if indexing not in (None, "ij", "xy"):
        raise GradRuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if not given:
        raise GradRuntimeError("meshgrid expects a non-empty TensorList")
    for t in given:
        if t.ndim > 1:
            raise GradRuntimeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {_shown(t)}"
            )
    if any(t.dtype is not given[0].dtype for t in given):
        raise GradRuntimeError("meshgrid expects all tensors to have the same dtype")
    flip = indexing == "xy" and len(given) > 1
    if flip:
        given[:2] = given[1::-1]
    shape = [t.numel() for t in given]
    grids = [
        t.reshape([n if i == k else 1 for i in range(len(given))]).expand(shape)
        for k, (t, n) in enumerate(zip(given, shape, strict=True))
    ]
    if flip:
        grids[:2] = grids[1::-1]
    return tuple(grids)


def _shown(t: Tensor) -> str:
    return "a traced value" if t._traced is not None else str(t)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference."""
    return (input - other).norm(p)  # type: ignore[no-any-return]


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """The scalar product of two vectors."""
    return TABLE["dot"](input, other)  # type: ignore[no-any-return]


def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product."""
    rank = max(input.ndim, other.ndim)
    a = input.reshape((1,) * (rank - input.ndim) + tuple(input.shape))
    b = other.reshape((1,) * (rank - other.ndim) + tuple(other.shape))
    rows = a.reshape([n for d in a.shape for n in (d, 1)]) * b.reshape([n for d in b.shape for n in (1, d)])
    return rows.reshape([m * n for m, n in zip(a.shape, b.shape, strict=True)])  # type: ignore[no-any-return]


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The least and the greatest element."""
    dims = () if dim is None else (dim,)
    return input.amin(dims, keepdim=keepdim), input.amax(dims, keepdim=keepdim)


def where(condition: Tensor, *branches: Any, **named: Any) -> Any:
    """Elements of `input` where the condition holds, else of `other`; the places where it holds if there are none."""
    if not branches and not named:
        return extras.nonzero(condition, as_tuple=True)
    return TABLE["where"](condition, *branches, **named)


def float_power(input: Any, exponent: Any) -> Tensor:
    """A power computed in float64."""
    wide = [x.double() if isinstance(x, Tensor) else float(x) for x in (input, exponent)]
    return TABLE["pow"](*wide)  # type: ignore[no-any-return]


def is_inference(input: Tensor) -> bool:
    """True for tensors made in inference mode."""
    return input.is_inference()


def can_cast(from_: Any, to: Any) -> bool:
    """True if the conversion does not change the kind of number (float to int, number to bool)."""
    source, target = as_dtype(from_), as_dtype(to)
    return promote_dtypes(source, target).kind == target.kind


def scalar_tensor(s: Any, *, dtype: Any = None, requires_grad: bool = False, **kw: Any) -> Tensor:
    """A number as a tensor without dimensions, in the default dtype."""
    return creation.full((), s, dtype=creation.wanted(dtype, _default()), requires_grad=requires_grad)


def _default() -> DType:
    from .defaults import DEFAULTS

    return DEFAULTS.dtype


def map_(self: Tensor, other: Tensor, function: Callable[[Any, Any], Any]) -> Tensor:
    """Overwrite each element by a Python function of it and of the other tensor's."""
    if self.requires_grad or other.requires_grad:
        raise GradRuntimeError("Can't call map_() on Variable that requires grad. Use var.detach().map_() instead.")
    from .from_data import tensor

    pairs = zip(self.reshape(-1).tolist(), other.expand(self.shape).reshape(-1).tolist(), strict=True)
    values = [function(a, b) for a, b in pairs]
    return self.copy_(tensor(values, dtype=self.dtype).reshape(self.shape))  # type: ignore[no-any-return]


def _refused(name: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        from gradc.ir.errors import UnsupportedError

        raise UnsupportedError(f"{name}: gradc has no such function; compute it with NumPy on x.detach().numpy()")

    function.__name__ = name
    function.__doc__ = f"torch's {name}, which is refused by name."
    return function


_SHORT: dict[str, Callable[..., Any]] = {
    "deg2rad": lambda input: input * (math.pi / 180),
    "rad2deg": lambda input: input * (180 / math.pi),
    "isposinf": lambda input: input == math.inf,
    "isneginf": lambda input: input == -math.inf,
    "signbit": lambda input: (input < 0) | ((input == 0) & (1 / input < 0)),
    "argwhere": lambda input: extras.nonzero(input),
    "conj": lambda input: input,
    "real": lambda input: input,
    "msort": lambda input: input.sort(0)[0],
    "ldexp": lambda input, other: input * 2.0**other,
    "logaddexp2": lambda input, other: TABLE["logaddexp"](input * math.log(2), other * math.log(2)) / math.log(2),
    "diagflat": lambda input, offset=0: input.reshape(-1).diag(offset),
}
_BOTH: dict[str, Callable[..., Any]] = {
    **_SHORT,
    **{n: _refused(n) for n in ("pinverse", "cholesky", "as_strided")},
    "det": linalg.det,
    "logdet": linalg.logdet,
    "inverse": linalg.inv,
    **{f.__name__: f for f in (trace, take, cross, diff, tensor_split, rot90, dist, vdot, kron, aminmax, float_power)},
    **{n: _splitter(n, d) for n, d in (("vsplit", 0), ("hsplit", 1), ("dsplit", 2))},
}
METHODS: dict[str, Callable[..., Any]] = {**_BOTH, "map_": map_}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **_BOTH,
    **{f.__name__: f for f in (dstack, meshgrid, where, is_inference, can_cast, scalar_tensor)},
    **{f"atleast_{n}d": _at_least(n) for n in (1, 2, 3)},
}
