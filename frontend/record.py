"""One run of a function in a trace: its arguments as values, its results as the graph's outputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from gradc.ir.errors import GradcError, GradTypeError, TraceError
from gradc.ir.graph import Loc
from gradc.ir.types import DType

from .derive import used_up
from .effects import Effects, effects_of
from .guards import Guards
from .pytree import Fixed, Structure, flatten, paths, unflatten
from .specs import Spec
from .tensor import Tensor
from .tracing import LIMIT, Trace

RETURNS = "a compiled function returns a tensor or a nest of tensors"
CONSTANT = frozenset({type(None), bool, int, float, str, DType})
"""What a result may hold beside tensors: it is the same in every call with the same signature."""


def name_of(fn: Any) -> str:
    name = getattr(fn, "__name__", None) or type(fn).__name__
    return "lambda_" if name == "<lambda>" else str(name)


def parameter_names(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """A name for every leaf of the arguments, from the names of the function's parameters."""
    target = inspect.unwrap(fn) if callable(fn) else fn
    target = getattr(target, "forward", target) if hasattr(target, "_parameters") else target
    names: list[str] = []
    try:
        for p in inspect.signature(target).parameters.values():
            if p.kind is p.VAR_POSITIONAL:
                names.extend(f"{p.name}_{i}" for i in range(len(args)))
            elif p.kind is not p.VAR_KEYWORD:
                names.append(p.name)
    except (TypeError, ValueError):
        pass
    names.extend(f"arg{i}" for i in range(len(names), len(args)))
    out = [n for name, a in zip(names, args, strict=False) for n in paths(flatten(a)[1], name)]
    return out + [n for k, a in kwargs.items() for n in paths(flatten(a)[1], k)]


def trace_function(
    fn: Callable[..., Any],
    leaves: Sequence[Any],
    structure: Structure,
    names: Sequence[str],
    *,
    name: str,
    outer: Trace | None = None,
    limit: int = LIMIT,
    guards: Guards | None = None,
) -> tuple[Trace, list[Tensor], Structure, Effects]:
    """Run `fn` once on traced values: Specs and tensors among the leaves become graph inputs, the rest is passed as is.
    Returns the ended trace, the results (still values of the trace), their structure, and what the function leaves
    behind beside them."""
    trace = Trace(name, outer=outer, limit=limit, guards=guards)
    made: list[Any] = []
    for leaf, label in zip(leaves, names, strict=True):
        if isinstance(leaf, Spec):
            made.append(trace.argument(leaf.type, label, leaf.requires_grad))
        elif isinstance(leaf, Tensor):
            strides = None if leaf._traced is not None or leaf.is_contiguous() else leaf.stride()
            made.append(trace.argument(leaf._type, label, bool(leaf.requires_grad), strides))
            if leaf._grad is not None:
                trace.grads.unread.add(id(made[-1]))
        else:
            made.append(leaf)
    args, kwargs = unflatten(structure, iter(made))
    try:
        out = trace.run(fn, args, kwargs)
    except (TypeError, AttributeError) as e:
        fine = (Spec, Tensor, bool, int, float)
        odd = [(n, x) for n, x in zip(names, leaves, strict=True) if not isinstance(x, fine)]
        if isinstance(e, GradcError) or not odd:
            raise
        label, x = odd[0]
        raise GradTypeError(
            f"{name}: {label} must be a tensor, not {type(x).__name__} ({e})",
            loc=trace.locator.of_traceback(e.__traceback__),
        ) from e
    results, out_structure = flatten(out, CONSTANT)
    where = _definition(fn, trace)
    if out is None:
        results, out_structure = [], Fixed(None)
    elif isinstance(out_structure, Fixed):
        results = [out]
    tensors = [_checked_result(name, r, where) for r in results]
    gone = used_up(trace)
    for i, t in enumerate(tensors):
        v = trace.value(t)
        attrs = {"requires_grad": True} if v in trace.active or t._requires_grad else {}
        if v in gone:
            attrs["freed"] = True
        trace.graph.add_output(v, role="value", index=i, **attrs)
    effects = effects_of(trace, len(tensors))
    if not tensors and not effects:
        what = "nothing where a tensor is expected" if out is None else "no tensor"
        raise TraceError(f"{name} returns {what}", loc=where, hint=RETURNS)
    if guards is not None:
        for c in trace.captured:
            if id(c.tensor) in guards.readers:
                trace.name_input(c.value, guards.readers[id(c.tensor)][0])
    return trace, tensors, out_structure, effects


def _definition(fn: Any, trace: Trace) -> Loc | None:
    """The line on which the function is defined."""
    code = getattr(inspect.unwrap(fn), "__code__", None)
    if code is None:
        return None
    return Loc(trace.locator.file_of(code.co_filename, getattr(fn, "__module__", None)), code.co_firstlineno)


def _checked_result(name: str, r: Any, where: Loc | None) -> Tensor:
    if not isinstance(r, Tensor):
        what = "nothing" if r is None else f"a value of type {type(r).__name__}"
        raise TraceError(f"{name} returns {what} where a tensor is expected", loc=where, hint=RETURNS)
    return r
