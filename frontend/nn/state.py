"""`state_dict` and `load_state_dict`: what a module has learned, as a flat dictionary of tensors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from gradc.ir.errors import GradRuntimeError, GradTypeError

from ..autograd.grad_mode import no_grad
from ..tensor import Tensor
from .parameter import Parameter
from .tree import Tree

EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` did not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class _Report:
    """What went wrong in one load."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []


class Stateful(Tree):
    """The state of a tree of modules."""

    _version: int = 1

    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """All parameters and persistent buffers by dotted name; detached, on the module's own memory. The dictionary's
        `_metadata` holds the version of every module."""
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = {"version": self._version}
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return destination

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for name, value in self._local_state().items():
            destination[prefix + name] = value if keep_vars else value.detach()
        if _has_extra(self, "get_extra_state"):
            destination[prefix + EXTRA] = self.get_extra_state()

    def _local_state(self) -> dict[str, Tensor]:
        buffers = {k: v for k, v in self._buffers.items() if k not in self._non_persistent_buffers_set}
        return {k: v for k, v in (*self._parameters.items(), *buffers.items()) if v is not None}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy the tensors of a state dictionary into this module's (`assign`: put them in their place)."""
        if not isinstance(state_dict, Mapping):
            raise GradTypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        metadata = getattr(state_dict, "_metadata", None) or {}
        report = _Report()
        state = dict(state_dict)
        for path, module in self.named_modules(remove_duplicate=False):
            prefix = f"{path}." if path else ""
            local = {**metadata.get(path, {}), **({"assign_to_params_buffers": True} if assign else {})}
            module._load_from_state_dict(
                state, prefix, local, True, report.missing, report.unexpected, report.errors
            )
        errors = report.errors
        if strict and report.unexpected:
            errors.insert(0, f"Unexpected key(s) in state_dict: {_quoted(report.unexpected)}. ")
        if strict and report.missing:
            errors.insert(0, f"Missing key(s) in state_dict: {_quoted(report.missing)}. ")
        if errors:
            listed = "\n\t".join(errors)
            raise GradRuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{listed}")
        return IncompatibleKeys(report.missing, report.unexpected)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own tensors, not those of its children."""
        own = self._local_state()
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, param in own.items():
            key = prefix + name
            if key not in state_dict:
                missing_keys.append(key)
                continue
            error = self._load_one(name, key, param, state_dict[key], assign)
            if error is not None:
                error_msgs.append(error)
        extra = prefix + EXTRA
        if _has_extra(self, "set_extra_state"):
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            else:
                missing_keys.append(extra)
        elif extra in state_dict:
            unexpected_keys.append(extra)
        for key in state_dict:
            if key.startswith(prefix) and key != extra:
                first, dot, _ = key[len(prefix) :].partition(".")
                if first not in (self._modules if dot else own):
                    unexpected_keys.append(key)

    def _load_one(self, name: str, key: str, param: Tensor, given: Any, assign: bool) -> str | None:
        """The error, if there is one."""
        if not isinstance(given, Tensor):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from '
                f"checkpoint but received {type(given)}"
            )
        if param.ndim == 0 and given.shape == (1,):
            given = given[0]
        if given.shape != param.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, the shape in "
                f"current model is {param.shape}."
            )
        with no_grad():
            if not assign:
                param.copy_(given)
            elif isinstance(param, Parameter):
                on = param.requires_grad
                setattr(self, name, given.requires_grad_(on) if isinstance(given, Parameter) else Parameter(given, on))
            else:
                setattr(self, name, given)
        return None


def _has_extra(module: Any, name: str) -> bool:
    return hasattr(type(module), name)


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{k}"' for k in keys)
