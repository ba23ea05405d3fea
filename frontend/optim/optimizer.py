"""The base of all optimisers: parameter groups, their state, and steps."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from gradc.ir.errors import GradTypeError, GradValueError, UnsupportedError

from ..autograd.grad_mode import enable_grad, no_grad
from ..dispatch import current_trace
from ..nn.module import zero_grad
from ..nn.typename import typename
from ..tensor import Tensor
from .steps import Steps
from .traced import traced_steps


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer:
    """Groups of parameters with options; `state` holds what is remembered of each parameter between steps."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise GradTypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                + typename(params)
            )
        self.defaults = defaults
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise GradValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own; options not given have their defaults."""
        if not isinstance(param_group, dict):
            raise GradTypeError(f"param_group must be a dict, but got {type(param_group)}")
        group = dict(param_group)
        params = group["params"]
        if isinstance(params, set):
            raise GradTypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        given = [params] if isinstance(params, Tensor) else list(params)
        names = [p[0] for p in given if isinstance(p, tuple)]
        if names and len(names) != len(given):
            raise GradValueError("all optimizer params should be with/without names. Some param names are missing")
        group["params"] = [p[1] if isinstance(p, tuple) else p for p in given]
        if names:
            group["param_names"] = names
        for param in group["params"]:
            if not isinstance(param, Tensor):
                raise GradTypeError(f"optimizer can only optimize Tensors, but one of the params is {typename(param)}")
            if not param.is_leaf and not param._retains:
                raise GradValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise GradValueError(
                    f"parameter group didn't specify a value of required optimization parameter {name}"
                )
            group.setdefault(name, default)
        own = [id(p) for p in group["params"]]
        if len(set(own)) != len(own):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        if not set(own).isdisjoint(id(p) for g in self.param_groups for p in g["params"]):
            raise GradValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters."""
        trace = current_trace()
        if trace is not None:
            traced_steps(trace, self)
        for group in self.param_groups:
            for p in group["params"]:
                zero_grad(p, set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step along the gradients. A closure computes the loss anew; its result is returned."""
        raise UnsupportedError(f"{type(self).__name__} does not define step()")

    def state_dict(self) -> dict[str, Any]:
        """Options and state, with numbers in place of parameters."""
        number: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                number.setdefault(id(p), len(number))
            packed = {k: v for k, v in group.items() if k != "params"}
            groups.append({**packed, "params": [number[id(p)] for p in group["params"]]})
        state = {number[id(k)] if isinstance(k, Tensor) else k: v for k, v in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over options and state; both sides must have the same groups."""
        saved = deepcopy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise GradValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(self.param_groups, saved, strict=True)):
            raise GradValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        owner: dict[int, Any] = {}
        for new, own in zip(saved, self.param_groups, strict=True):
            owner.update(zip(new["params"], own["params"], strict=True))
            new["params"] = own["params"]
            if "param_names" in own:
                new.setdefault("param_names", own["param_names"])
        self.param_groups = saved
        self.state = defaultdict(dict)
        for key, values in state_dict["state"].items():
            p = owner.get(key)
            self.state[key if p is None else p] = {k: _fitted(k, v, p) for k, v in values.items()}

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            options = "".join(f"    {k}: {group[k]}\n" for k in sorted(group) if k != "params")
            text += f"\nParameter Group {i}\n{options}"
        return text + ")"


class Single(Optimizer):
    """An optimiser that changes one parameter at a time, each by its own gradient and state."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step along the gradients. A closure computes the loss anew; its result is returned."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        trace = current_trace()
        steps = Steps() if trace is None else traced_steps(trace, self)
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    grad = p.grad
                    if grad is not None:
                        state = self.state[p]
                        self._update(p, grad, state, group, steps)
                        if not state:
                            del self.state[p]
        return loss

    def _update(self, p: Any, grad: Any, state: dict[str, Any], group: dict[str, Any], steps: Steps) -> None:
        """Change one parameter in place; numbers that differ from step to step come from `steps`."""
        raise UnsupportedError(f"{type(self).__name__} says nowhere how it changes a parameter")

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}


def _fitted(key: str, value: Any, p: Any) -> Any:
    """A copy of a state's value, in the dtype of its parameter (but for the count of steps)."""
    if not isinstance(value, Tensor):
        return deepcopy(value)
    copied: Any = value.clone()
    return copied if key == "step" or p is None or not value.is_floating_point() else copied.to(p.dtype)


def check(ok: Any, what: str, value: Any) -> None:
    """Refuse a bad option in torch's words."""
    if not ok:
        raise GradValueError(f"Invalid {what}: {value}")


def check_rate(lr: Any) -> None:
    """A learning rate is a number, or a tensor that holds one."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise GradValueError("Tensor lr must be 1-element")
    check(lr >= 0.0, "learning rate", lr)


def refuse(**options: bool) -> None:
    """Refuse what steps here do not do: be recorded, or be part of a captured graph of launches."""
    for name, on in options.items():
        if on:
            raise UnsupportedError(f"optimisers do not support {name}=True")


