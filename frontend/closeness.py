"""Whether numbers are close, in torch's words and by torch's tolerances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gradc.ir.errors import GradValueError

from .interop import is_array, to_tensor

TOLERANCES = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}
"""Relative and absolute, by dtype: those of torch.testing.assert_close."""


class Options(NamedTuple):
    """What `assert_close` was asked."""

    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_dtype: bool


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """torch.testing.assert_close for tensors, arrays, numbers, and sequences and dictionaries of them."""
    if (rtol is None) != (atol is None):
        raise GradValueError("assert_close: rtol and atol must both be given, or neither")
    message = _differs(actual, expected, Options(rtol, atol, equal_nan, check_dtype), "")
    if message is not None:
        raise AssertionError(msg(message) if callable(msg) else msg if msg is not None else message)


def _differs(actual: Any, expected: Any, options: Options, at: str) -> str | None:
    if isinstance(expected, dict) and isinstance(actual, dict):
        if set(actual) != set(expected):
            return f"The keys of the mappings do not match: {sorted(map(str, set(actual) ^ set(expected)))}{at}"
        pairs = [(k, actual[k], expected[k]) for k in expected]
    elif isinstance(expected, (list, tuple)) and isinstance(actual, (list, tuple)):
        if len(actual) != len(expected):
            return f"The length of the sequences mismatch: {len(actual)} != {len(expected)}{at}"
        pairs = [(i, a, e) for i, (a, e) in enumerate(zip(actual, expected, strict=True))]
    else:
        return _arrays_differ(actual, expected, options, at)
    found = (_differs(a, e, options, f"{at or 'The failure occurred for item '}[{k!r}]") for k, a, e in pairs)
    return next((m for m in found if m is not None), None)


def _array(x: Any) -> Any:
    return to_tensor(x)._array if is_array(x) else np.asarray(x)


def _arrays_differ(actual: Any, expected: Any, options: Options, at: str) -> str | None:
    rtol, atol, equal_nan, check_dtype = options
    at = at and f"\n\n{at}"
    if actual is None or expected is None:
        return None if actual is expected else f"None mismatch: {actual!r} is not {expected!r}{at}"
    numbers = isinstance(actual, (int, float)) or isinstance(expected, (int, float))
    a, e = _array(actual), _array(expected)
    if a.shape != e.shape:
        return f"The values for attribute 'shape' do not match: {a.shape} != {e.shape}.{at}"
    if check_dtype and not numbers and a.dtype != e.dtype:
        return f"The values for attribute 'dtype' do not match: {a.dtype} != {e.dtype}.{at}"
    defaults = [TOLERANCES.get(x.dtype.name, (0.0, 0.0)) for x in (a, e)]
    if rtol is None or atol is None:
        rtol, atol = (max(d[k] for d in defaults) for k in (0, 1))
    x, y = a.astype(np.float64), e.astype(np.float64)
    with np.errstate(all="ignore"):
        difference = np.abs(x - y)
        good = (x == y) | (np.isfinite(y) & (difference <= atol + rtol * np.abs(y)))
        if equal_nan:
            good |= np.isnan(x) & np.isnan(y)
        relative = difference / np.abs(y)
    if good.all():
        return None
    bad = int((~good).sum())
    return "\n".join(
        [
            "Tensor-likes are not close!",
            "",
            f"Mismatched elements: {bad} / {good.size} ({100 * bad / good.size:.1f}%)",
            f"Greatest absolute difference: {_greatest(difference, good)} (up to {atol} allowed)",
            f"Greatest relative difference: {_greatest(relative, good)} (up to {rtol} allowed)",
        ]
    ) + at


def _greatest(what: Any, good: Any) -> str:
    masked = np.where(good, -1.0, np.where(np.isnan(what), np.inf, what))
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(masked)), masked.shape))
    return f"{what[where]} at index {where}"
