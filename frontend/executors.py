"""From a module to something that runs on arrays: the passes it still needs, then one of the executors."""

from __future__ import annotations

from collections.abc import Sequence

from gradc.ir.errors import GradcError, GradIndexError, GradRuntimeError
from gradc.ir.graph import Module
from gradc.passes.pipeline import between, run_pipeline
from gradc.runtime.executors import EXECUTORS, Array, Runner, check_executor

DEFAULT = "tiled"


def runner(module: Module, executor: str | None = None) -> Runner:
    """Prepare a module at any state once; what is returned runs it many times."""
    prepare = EXECUTORS[check_executor(executor or DEFAULT)]
    if executor != "reference" and module.state in ("traced", "joint"):
        rows = between(module.state, "planned")
        module = run_pipeline(module, [row for row in rows if row.leaves != "joint"]).module
    return checked(module, prepare(module))


def checked(module: Module, run: Runner) -> Runner:
    """The runner without the flags of checks: a flag that is set raises the error it stands for."""
    checks = [a if a.get("role") == "check" else None for a in module.main.output_attrs]
    if not any(checks):
        return run

    def checked_run(arrays: Sequence[Array]) -> list[Array]:
        results = []
        for attrs, result in zip(checks, run(arrays), strict=True):
            if attrs is None:
                results.append(result)
            elif result:
                raise ERRORS[attrs["error"]](attrs["message"])
        return results

    return checked_run


ERRORS: dict[str, type[GradcError]] = {"index": GradIndexError, "runtime": GradRuntimeError}

__all__ = ["DEFAULT", "EXECUTORS", "Array", "Runner", "check_executor", "runner"]
