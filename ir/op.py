"""The op record: everything about an op in one place, and the registry of records.

A record's functions name what they need by parameter:

  infer(*types, **attrs) -> Type | tuple[Type, ...]         raises ShapeError / DTypeError with the op's wording
  numpy(*arrays, **attrs) -> ndarray | tuple                the reference meaning, NumPy's own functions
  formula(b, *vars, **attrs) -> Var                         elementwise only: the meaning in tile scalar ops
  decompose(b, *vars, **attrs) -> Var | tuple[Var, ...]     composite only: the meaning in other grad ops
  adjoint = {operand: rule}, rule(b, ct, <operand>, <result>, <attr>, <operand>_t, index)

A rule's parameters say what that gradient saves: an operand's name its value, `<operand>_t` only its type, a result's
name the value of the result, `index` the position within a variadic operand, `ct` the cotangent of the first result and
`ct_<result>` that of another (None when no path leads there). A rule returns the cotangent of its operand in any
shape and dtype that broadcasting and promotion made of it (`pullback.py` sums and converts), or None for a structural
zero. """

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

ELEMENTWISE, REDUCTION, VIEW, CONTRACTION = "elementwise", "reduction", "view", "contraction"
INDEXED, SCAN, RANDOM, COMPOSITE, SOURCE, CONTROL, TILE, PLAN = (
    "indexed",
    "scan",
    "random",
    "composite",
    "source",
    "control",
    "tile",
    "plan",
)


@dataclass(frozen=True, eq=False)
class Torch:
    """One spelling under which the frontend offers an op, with torch's signature.

    `call` has torch's parameter names and defaults after a first parameter `op`; it returns `op(*operands, **attrs)`,
    where operands are tensors (anything with .shape .dtype .ndim) or numbers; `op` also takes `grad_fn=` (torch's node
    name, e.g. "SumBackward1"), `record=` (another record to apply in this one's place, where torch has one name for
    several ops) and `inplace=True` (write the result into the first operand, as torch.nn.functional does). `names`
    are dotted paths under gradc ("sum", "nn.functional.gelu", "special.erf"); `methods` and `inplace` are Tensor
    methods, `properties` Tensor properties (`x.T`). `saved` maps torch's `_saved_*` names to operands, results or
    attributes.
    """

    call: Callable[..., Any]
    names: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    inplace: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Op:
    """One operation; see the module text for the shape of its functions."""

    name: str
    """Dialect and mnemonic: "grad.mul", "tile.load"."""
    kind: str
    """Structural class, one of the constants above."""
    operands: tuple[str, ...]
    """Operand names; a last name ending in `*` takes any number."""
    results: tuple[str, ...]
    infer: Callable[..., Any]
    attrs: Mapping[str, str] = field(default_factory=dict)
    """Attribute kinds: int, float, number, bool, str, ints, dtype, dense, any; a trailing `?` makes one optional."""
    numpy: Callable[..., Any] | None = None
    formula: Callable[..., Any] | None = None
    decompose: Callable[..., Any] | None = None
    adjoint: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    check: Callable[..., Any] | None = None
    """(b, *vars, **attrs) -> tuple of (bad: i1 Var, error: "index" | "runtime", message): what must hold of the data.
    The NumPy meaning raises at once; compiled programs return the flags and raise after the run."""
    grad_fn: str | None = None
    """torch's node name without a call's own choice: "MulBackward0"."""
    saved: Mapping[str, str] = field(default_factory=dict)
    """torch's `_saved_*` attribute -> the operand, result or attribute it shows."""
    edges: tuple[str, ...] | None = None
    """Operands in the order of torch's `next_functions`; None means as declared."""
    flops: int = 1
    """Floating-point operations per result element (per reduced element for reductions)."""
    torch: tuple[Torch, ...] = ()
    sample: Callable[..., Any] | None = None
    """rng -> list of (operand arrays, attrs): inputs for the tests that run over the table (tests/test_op_table.py).
    The expected values come from torch by the record's first spelling, called with the operands and the attributes by
    name. Where that does not fit, an entry has a third item: torch's dotted name to call instead ("lerp"), or a
    callable of the torch operands that gives the expected value. A list of arrays stands for a variadic operand's."""
    doc: str = ""
    traits: frozenset[str] = frozenset()
    """"commutative", "detach" (no cotangent passes), "dup" (cheap to recompute), "state:<name>" (allowed only there),
    "unrecorded" (by intent its adjoint is not that of its value), "opmath" (a Python number beside half tensors stays a
    float32, as torch's kernels read it), "region" (it runs one, though its results are not for that to say),
    "promotes" (operands are brought to a common dtype), "keeps:<operand>" (except this one; see promote.py)."""

    @cached_property
    def short(self) -> str:
        return self.name.split(".", 1)[1]

    @cached_property
    def operand_names(self) -> tuple[str, ...]:
        """The names of the operands, without `*`."""
        return tuple(o.rstrip("*") for o in self.operands)

    @property
    def variadic(self) -> bool:
        return bool(self.operands) and self.operands[-1].endswith("*")

    def operand_name(self, i: int) -> str:
        """The name of operand `i` (without `*`)."""
        names = self.operand_names
        return names[i] if i < len(names) else names[-1]

    def __reduce__(self) -> Any:
        return (lookup, (self.name,))

    def __repr__(self) -> str:
        return f"<op {self.name}>"


REGISTRY: dict[str, Op] = {}


def define(op: Op) -> Op:
    """Register a record; a second definition of the name, or a rule asking for what cannot be saved, is refused."""
    if op.name in REGISTRY:
        raise ValueError(f"op {op.name!r} is defined twice")
    known = {"b", "ct", "index"} | {f"ct_{r}" for r in op.results} | set(op.results) | set(op.attrs)
    for o in op.operands:
        known |= {o.rstrip("*"), o.rstrip("*") + "_t"}
    for operand, rule in op.adjoint.items():
        if operand not in {o.rstrip("*") for o in op.operands}:
            raise ValueError(f"op {op.name!r}: adjoint of unknown operand {operand!r}")
        wrong = [p for p in rule_parameters(rule) if p not in known]
        if wrong:
            raise ValueError(f"op {op.name!r}: adjoint of {operand!r} asks for {wrong}, known are {sorted(known)}")
    REGISTRY[op.name] = op
    return op


def lookup(name: str) -> Op:
    """The record of a full name; raises KeyError for an unknown one."""
    return REGISTRY[name]


def rule_parameters(rule: Callable[..., Any]) -> tuple[str, ...]:
    code = rule.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
