"""Program: what `gc.build` makes. Runs on every executor, shows every stage, kernel, buffer and remark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gradc.ir.errors import GradRuntimeError, GradTypeError
from gradc.ir.graph import Module
from gradc.ir.types import TensorType
from gradc.passes.pipeline import PIPELINE, Result, between, run_pipeline
from gradc.passes.remarks import Remark
from gradc.passes.split import split as cut
from gradc.runtime.target import Target

from .effects import check_apart
from .executors import Runner, runner
from .interop import GRADC, give, kind_of, own
from .kernels import Kernel, Memory, buffer_names, input_names, kernels_of
from .least import bytes_min
from .pytree import flatten, unflatten
from .signature import Outcome, Signature, as_array
from .tensor import Tensor

if TYPE_CHECKING:
    from .report import Report

STAGES = ("traced", "joint", "simplified", "scheduled", "planned")
_CUT = next(i for i, row in enumerate(PIPELINE, 1) if row.leaves == "joint")
TO_JOINT, FROM_JOINT = PIPELINE[:_CUT], PIPELINE[_CUT:]


class Stages(Mapping[str, str]):
    """The text of every stage, rendered when it is read."""

    def __init__(self, modules: dict[str, Module]) -> None:
        self.modules = {s: modules[s] for s in STAGES if s in modules}
        self._texts: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._texts:
            self._texts[name] = str(self.modules[name])
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.modules)

    def __len__(self) -> int:
        return len(self.modules)


def together(forward: Module, backward: Module) -> Module:
    """Both halves of a split program in one module, for its text."""
    return Module(forward.state, {**forward.graphs, **backward.graphs}, forward.entry, forward.attrs)


class Program:
    """A compiled function with its gradients."""

    def __init__(self, module: Module, signature: Signature, *, target: Target, split: bool = False) -> None:
        self.signature, self.target, self.split = signature, target, split
        self.name = module.entry
        head = run_pipeline(module, between("traced", "joint"))
        self.joint = head.module
        self.remarks: list[Remark] = head.remarks
        """Why no gradient, why not fused, why saved."""
        self.halves = list(cut(self.joint, head.remarks)) if split else [self.joint]
        results: list[Result] = [run_pipeline(m, between("joint", "planned")) for m in self.halves]
        self.modules = [r.module for r in results]
        self.seconds = head.seconds + [s for r in results for s in r.seconds]
        self.remarks += [m for r in results for m in r.remarks]
        stages = dict(head.stages)
        for state in results[0].stages:
            parts = [r.stages[state] for r in results if state in r.stages]
            if state != "joint":
                stages[state] = together(*parts) if len(parts) == 2 else parts[0]
        self.stages = Stages(stages)
        self._runners: dict[tuple[int, str], Runner] = {}

    # -- what it shows ------------------------------------------------------------------------------------------------

    @cached_property
    def kernels(self) -> list[Kernel]:
        """One entry per launch."""
        phases = ("forward", "backward") if self.split else ("joint",)
        names = input_names(self.joint.main)
        pairs = zip(self.modules, phases, strict=True)
        return [k for m, phase in pairs for k in kernels_of(m, phase, self.target, names)]

    @cached_property
    def memory(self) -> Memory:
        return Memory(self.modules, self.remarks)

    @cached_property
    def donated(self) -> dict[str, str]:
        """By result, the donated argument whose memory it takes."""
        main = self.modules[0].main
        names = buffer_names(main, input_names(self.joint.main))
        out = {}
        for node in main.nodes:
            slots = zip(node.results, node.attrs.get("slots", ()), node.attrs.get("in_place", ()), strict=False)
            out.update({names[r]: names[node.operands[d]] for r, offset, d in slots if offset < 0 <= d})
        return out

    @property
    def bytes_moved(self) -> int:
        return sum(k.bytes_moved for k in self.kernels)

    @cached_property
    def bytes_min(self) -> int:
        return bytes_min(self.joint)

    def report(self) -> Report:
        from .report import Report

        return Report(self)

    def to_json(self) -> dict[str, Any]:
        return self.report().to_json()

    def export(self, path: str) -> None:
        """Write the program as one Python file that needs triton (and torch for autograd) only."""
        from .export import export

        export(self, path)

    def __repr__(self) -> str:
        return f"<program {self.name} for {self.target.name}: {len(self.kernels)} launches>"

    # -- running ------------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, executor: str | None = None, cotangent: Any = None, **kwargs: Any) -> Outcome:
        """`(value, gradients)`: one gradient per argument, None where none is wanted or no path leads. What the
        function writes to arguments and captured tensors is given by name in `.written`, and not written."""
        wants = self._cotangent_type()
        if wants is not None and cotangent is None and len(args) == self.signature.arity + 1:
            *args, cotangent = args  # type: ignore[assignment]
        kind = kind_of([*flatten((args, kwargs))[0], cotangent])
        arrays = self.signature.arrays(self.name, tuple(args), kwargs)
        ct = self._cotangent(cotangent, wants)
        if self.split:
            value, residuals = self._forward(arrays, executor)
            grads = self._backward(ct, residuals, executor) if ct is not None else []
            return self._outcome([*value, *grads], kind)
        results = self._run(0, executor, [*arrays, *([] if ct is None else [ct])])
        return self._outcome(results, kind)

    def forward(self, *args: Any, executor: str | None = None, **kwargs: Any) -> tuple[Any, list[Any]]:
        """`(value, residuals)` of a split program; the residuals are what `backward` wants."""
        self._need_split("forward")
        kind = kind_of(flatten((args, kwargs))[0])
        value, residuals = self._forward(self.signature.arrays(self.name, args, kwargs), executor)
        n = sum(a.get("role") == "value" for a in self.modules[0].main.output_attrs)
        given = iter([give(Tensor._of(a), kind) for a in value[:n]])
        return unflatten(self.signature.results, given), [give(Tensor._of(a), kind) for a in residuals]

    def backward(self, cotangent: Any, residuals: Sequence[Any], *, executor: str | None = None) -> Any:
        """The gradients, one per argument, from the cotangent of the value and what `forward` saved."""
        self._need_split("backward")
        kind = kind_of([cotangent, *residuals])
        ct = self._cotangent(cotangent, self._cotangent_type())
        main = self.modules[1].main
        roles = zip(main.inputs, main.input_attrs, strict=True)
        wants: list[Any] = [main.types[v] for v, a in roles if a.get("role") == "residual"]
        if len(wants) != len(residuals):
            raise GradTypeError(f"{self.name}: backward needs {len(wants)} residuals, got {len(residuals)}")
        pairs = enumerate(zip(residuals, wants, strict=True))
        arrays = [as_array(self.name, f"residual {i}", r, t) for i, (r, t) in pairs]
        grads = self._backward(ct, arrays, executor)
        return self._outcome(grads, kind, values=False)[1]

    def _need_split(self, what: str) -> None:
        if not self.split:
            raise GradRuntimeError(f"{what}: the program was not built with split=True")

    def _run(self, which: int, executor: str | None, arrays: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        key = (which, executor or "")
        if key not in self._runners:
            # The oracle runs the graph before any pass but adjoint has touched it.
            module = self.halves[which] if executor == "reference" else self.modules[which]
            self._runners[key] = runner(module, executor)
        attrs = self.joint.main.input_attrs
        on = [not which and bool(a.get("donated")) for a, _ in zip(attrs, arrays, strict=False)]
        kept = [a for i, a in enumerate(arrays) if i >= len(on) or not on[i]]
        check_apart([a for a, d in zip(arrays, on, strict=False) if d], kept)
        return own(self._runners[key](arrays), kept)

    def _forward(
        self, arrays: list[np.ndarray[Any, Any]], executor: str | None
    ) -> tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]:
        out = self._run(0, executor, arrays)
        n = len(out) - sum(a.get("role") == "residual" for a in self.modules[0].main.output_attrs)
        return out[:n], [*(arrays[i] for i in self._handed()), *out[n:]]

    def _handed(self) -> tuple[int, ...]:
        return tuple(self.modules[1].main.attrs["handed"])

    def _backward(
        self, ct: np.ndarray[Any, Any] | None, residuals: Sequence[np.ndarray[Any, Any]], executor: str | None
    ) -> list[np.ndarray[Any, Any]]:
        return self._run(1, executor, [*([] if ct is None else [ct]), *residuals])

    def _cotangent_type(self) -> TensorType | None:
        graph = self.joint.main
        for v, a in zip(graph.inputs, graph.input_attrs, strict=True):
            if a.get("role") == "cotangent":
                return graph.types[v]  # type: ignore[return-value]
        return None

    def _cotangent(self, given: Any, want: TensorType | None) -> np.ndarray[Any, Any] | None:
        if want is None:
            if given is not None:
                raise GradTypeError(f"{self.name}: takes no cotangent")
            return None
        if given is None:
            if want.numel != 1:
                raise GradTypeError(f"{self.name}: needs a cotangent of {want}, as a last argument or as cotangent=")
            given = np.ones(want.shape, want.dtype.numpy)
        return as_array(self.name, "cotangent", given, want)

    def _outcome(self, arrays: Sequence[np.ndarray[Any, Any]], kind: str, values: bool = True) -> Outcome:
        results = [give(Tensor._of(a), kind or GRADC) for a in arrays]
        attrs = self.joint.main.output_attrs
        roles = [a for a in attrs if values or a.get("role") == "grad"]
        value = [r for r, a in zip(results, roles, strict=True) if a.get("role") == "value"]
        grads = {a["of"]: r for r, a in zip(results, roles, strict=True) if a.get("role") == "grad"}
        made = unflatten(self.signature.results, iter(value)) if values else None
        names = input_names(self.joint.main)
        written = {names[a["of"]]: r for r, a in zip(results, roles, strict=True) if a.get("role") == "write"}
        return Outcome(made, self.signature.gradients(grads), self.signature.hidden(grads, names), written)
