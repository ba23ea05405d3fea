"""Runs the same code under gradc and under torch and compares all that it prints, warns and raises.

A snippet is Python that uses `torch`; its statements run one after another, and an exception is printed and does not
end
the snippet. Random draws are shared: `torch.randn` and its kin are replaced by the same NumPy draws for both.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import io
import re
import warnings
from typing import Any

import numpy as np

import gradc

KINDS = (NotImplementedError, RuntimeError, IndexError, KeyError, TypeError, ValueError, AttributeError)

ONCE = "Using backward() with create_graph=True"
"""torch gives this warning to the first caller of a process only; gradc's cycles are freed by Python."""


class Shared:
    """A torch-like module whose random functions draw from a NumPy generator of a given seed."""

    def __init__(self, module: Any, seed: int) -> None:
        self._module, self._rng = module, np.random.default_rng(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def _draw(self, draw: Any, size: Any, requires_grad: bool, dtype: Any) -> Any:
        shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else tuple(size)
        dtype = self._module.get_default_dtype() if dtype is None else dtype
        return self._module.tensor(draw(shape), dtype=dtype, requires_grad=requires_grad)

    def randn(self, *args: Any, size: Any = None, requires_grad: bool = False, dtype: Any = None) -> Any:
        return self._draw(self._rng.standard_normal, args if size is None else (size,), requires_grad, dtype)

    def rand(self, *args: Any, size: Any = None, requires_grad: bool = False, dtype: Any = None) -> Any:
        return self._draw(self._rng.random, args if size is None else (size,), requires_grad, dtype)


def printed(code: str, module: Any, seed: int = 0) -> str:
    """What the snippet prints under `module`, with its warnings and errors."""
    out = io.StringIO()
    space = {"torch": Shared(module, seed), "np": np, "copy": copy}
    for statement in ast.parse(code).body:
        whole = ast.Module([statement], [])
        run = compile(whole, "<snippet>", "exec")
        with contextlib.redirect_stdout(out), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                if isinstance(statement, ast.Expr):
                    value = eval(compile(ast.Expression(statement.value), "<snippet>", "eval"), space)
                    if value is not None:
                        print(repr(value))
                else:
                    exec(run, space)
            except KINDS as error:
                if module is gradc and not isinstance(error, gradc.GradcError):
                    print(f"{error!r} is not of gradc's own classes")
                kind = next(k for k in KINDS if isinstance(error, k))
                print(kind.__name__, str(error).split("\n")[0])
        for w in caught:
            if not issubclass(w.category, DeprecationWarning) and not str(w.message).startswith(ONCE):
                print(w.category.__name__, str(w.message).split("\n")[0][:80], file=out)
    text = re.sub(r"0x[0-9a-f]+", "0x", out.getvalue())
    return text.replace("module 'gradc'", "module 'torch'")


def same(code: str, seed: int = 0) -> None:
    """Assert that gradc prints what torch prints."""
    import torch

    torch.set_num_threads(1)
    expected = printed(code, torch, seed)
    got = printed(code, gradc, seed)
    assert got == expected, f"seed {seed}\n--- snippet\n{code}\n--- torch\n{expected}\n--- gradc\n{got}"
