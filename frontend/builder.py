"""`gc.build`: a function and the types of its arguments become a Program."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Sequence
from typing import Any

from gradc.ir.errors import GradRuntimeError, GradTypeError, GradValueError, TraceError
from gradc.ir.graph import Module
from gradc.runtime.target import target as find_target

from .autograd.grad_mode import enable_grad
from .checks import PLAIN
from .dispatch import tracing
from .guards import Guards
from .interop import is_array, to_tensor
from .program import Program
from .pytree import flatten
from .record import name_of, parameter_names, trace_function
from .signature import Argument, Signature
from .specs import Spec
from .tensor import Tensor
from .tracing import LIMIT


def as_spec(x: Any) -> Any:
    """An array's spec; specs and what is no array stay as they are. A torch tensor's requires_grad is kept."""
    if isinstance(x, Spec) or not is_array(x):
        return x
    if isinstance(x, Tensor) and x._traced is not None:
        raise GradTypeError("build: a traced value is no argument; build takes specs and arrays")
    grad = bool(getattr(x, "requires_grad", False))
    return Spec(to_tensor(x)._type, grad)


def build(
    fn: Callable[..., Any],
    *args: Any,
    target: str = "cpu",
    name: str | None = None,
    split: bool = False,
    cotangent: Any = None,
    donate: Sequence[int] = (),
    max_nodes: int = LIMIT,
    **kwargs: Any,
) -> Program:
    """Trace `fn` on specs or arrays and compile its value and the gradients of every argument that requires one.

    A function whose value is not a scalar needs `cotangent=gc.spec(...)`, the type of the gradient that will come in.
    `donate` are the numbers of positional arguments whose memory the program may put its results in: a result of the
    same type takes the place of a donated tensor where the kernel that writes it reads that tensor last. What a donated
    array holds after a call is not defined; `prog.donated` says which result took which place.
    """
    if not callable(fn):
        raise GradTypeError(f"build: expected a function, got {type(fn).__name__}")
    goal = find_target(target)
    label = name or name_of(fn)
    if not label.isidentifier() or keyword.iskeyword(label):
        raise GradValueError(f"build: a program's name must be an identifier, got {label!r}")
    leaves, structure = flatten((args, kwargs))
    leaves = [as_spec(x) for x in leaves]
    if cotangent is not None:
        cotangent = as_spec(cotangent)
        if not isinstance(cotangent, Spec):
            raise GradTypeError(f"build: cotangent must be a spec or an array, got {type(cotangent).__name__}")
    names = parameter_names(fn, args, kwargs)
    gives = _donated(label, args, donate, split)
    guards = Guards(fn, label)
    for n, leaf in zip(names, leaves, strict=True):
        if not isinstance(leaf, (Spec, *PLAIN)):
            guards.follow(n, leaf)
    with enable_grad(), tracing(None):
        trace, results, out, effects = trace_function(
            fn, leaves, structure, names, name=label, limit=max_nodes, guards=guards
        )
    if any(g.of >= len(trace.given) for g in effects.grads):
        raise TraceError(
            f"build: {label} changes the .grad of a captured tensor, and a program has no place for it",
            hint="return the gradients that autograd.grad gives, or compile the function with gc.compile",
        )
    captured = [(c.read or guards.reader(c.tensor), c.tensor) for c in trace.captured]
    trace.end()
    graph = trace.graph
    for i, on in enumerate(gives):
        if on:
            graph.input_attrs[i]["donated"] = True
    floats = [t for t in results if t.dtype.is_float]
    attrs: dict[str, Any] = {}
    if any(a.get("requires_grad") for a in graph.input_attrs):
        attrs["cotangents"] = _cotangents(label, floats, cotangent, split)
    elif split:
        raise GradValueError(f"build: split=True, but no argument of {label} requires grad")
    arguments = [
        Argument(n, leaf.type if isinstance(leaf, Spec) else None, isinstance(leaf, Spec) and leaf.requires_grad, leaf)
        for n, leaf in zip(names, leaves, strict=True)
    ]
    signature = Signature(tuple(arguments), structure, out, tuple(captured))
    return Program(Module("traced", {label: graph}, label, attrs), signature, target=goal, split=split)


def _donated(label: str, args: tuple[Any, ...], donate: Sequence[int], split: bool) -> list[bool]:
    """For each tensor among the positional arguments, whether it is donated."""
    if split and donate:
        raise GradValueError("build: donate= needs a joint program; a split one reads its arguments again")
    wrong = [n for n in donate if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n < len(args)]
    if wrong:
        raise GradValueError(f"build: donate={wrong[0]!r} is no number of one of the {len(args)} arguments of {label}")
    leaves = [(as_spec(x), n in donate) for n, a in enumerate(args) for x in flatten(a)[0]]
    return [on for x, on in leaves if isinstance(x, Spec)]


def _cotangents(label: str, floats: list[Tensor], cotangent: Spec | None, split: bool) -> str:
    """Where the cotangents come from: ones for a scalar value, an input where one is declared or the program split."""
    if cotangent is None:
        if len(floats) != 1 or floats[0].numel() != 1:
            shapes = ", ".join(str(t._type) for t in floats) or "nothing of floating point dtype"
            raise GradRuntimeError(
                f"grad can be implicitly created only for scalar outputs: {label} returns {shapes}",
                hint="give the type of the incoming gradient: build(..., cotangent=gc.spec(...))",
            )
        return "inputs" if split else "ones"
    if len(floats) != 1 or floats[0]._type != cotangent.type:
        shapes = ", ".join(str(t._type) for t in floats)
        raise GradValueError(f"build: the cotangent is {cotangent.type}, but {label} returns {shapes}")
    return "inputs"
