"""The tree of modules: registration of parameters, buffers and children, and walks over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gradc.ir.errors import GradAttributeError, GradKeyError, GradTypeError, GradValueError

from ..tensor import Tensor
from .parameter import Parameter
from .typename import typename

if TYPE_CHECKING:
    from .module import Module


class Tree:
    """What a module holds, and how to find it."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _non_persistent_buffers_set: set[str]
    _modules: dict[str, Module | None]

    def __init__(self) -> None:
        space = self.__dict__
        space["training"] = True
        space["_parameters"] = {}
        space["_buffers"] = {}
        space["_non_persistent_buffers_set"] = set()
        space["_modules"] = {}

    # -- registration ------------------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None is a parameter that is not there."""
        if "_parameters" not in self.__dict__:
            raise GradAttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise GradTypeError(
                f"cannot assign '{typename(param)}' object to parameter '{name}' (torch.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn:
            raise GradValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly. To "
                f"express '{name}' as a function of another Tensor, compute the value in the forward() method."
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the module's state and is not trained."""
        if "_buffers" not in self.__dict__:
            raise GradAttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise GradTypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        self._buffers[name] = tensor
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child under a name."""
        if not isinstance(module, Tree) and module is not None:
            raise GradTypeError(f"{typename(module)} is not a Module subclass")
        self._check_name("module", name, self._modules, f", got: {name}")
        self._modules[name] = module

    register_module = add_module

    def _check_name(self, what: str, name: Any, own: dict[str, Any], tail: str = "") -> None:
        if not isinstance(name, str):
            raise GradTypeError(f"{what} name should be a string. Got {typename(name)}")
        if "." in name:
            raise GradKeyError(f'{what} name can\'t contain "."{tail}')
        if name == "":
            raise GradKeyError(f'{what} name can\'t be empty string ""')
        if hasattr(self, name) and name not in own:
            raise GradKeyError(f"attribute '{name}' already exists")

    def __getattr__(self, name: str) -> Any:
        for space in ("_parameters", "_buffers", "_modules"):
            members = self.__dict__.get(space)
            if members is not None and name in members:
                return members[name]
        raise GradAttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            if "_parameters" not in self.__dict__:
                raise GradAttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, keep="_parameters")
            self.register_parameter(name, value)
        elif self._assign("_parameters", name, value, "parameter", "torch.nn.Parameter or None"):
            return
        elif isinstance(value, Tree):
            if "_modules" not in self.__dict__:
                raise GradAttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, keep="_modules")
            self._modules[name] = value  # type: ignore[assignment]
        elif not self._assign("_modules", name, value, "child module", "torch.nn.Module or None") and not self._assign(
            "_buffers", name, value, "buffer", "torch.nn.Buffer, torch.Tensor or None", Tensor
        ):
            object.__setattr__(self, name, value)

    def _assign(
        self, space: str, name: str, value: Any, what: str, expected: str, kind: type | tuple[()] = ()
    ) -> bool:
        """Put None (or a value of `kind`) where a member of this name is; False if there is none."""
        members = self.__dict__.get(space)
        if members is None or name not in members:
            return False
        if value is not None and not isinstance(value, kind):
            raise GradTypeError(f"cannot assign '{typename(value)}' as {what} '{name}' ({expected} expected)")
        members[name] = value
        return True

    def _forget(self, name: str, keep: str = "") -> bool:
        """Remove what goes by this name, except in one of the tables."""
        found = False
        for space in ("_parameters", "_buffers", "_modules"):
            if space != keep and name in self.__dict__.get(space, ()):
                del self.__dict__[space][name]
                found = True
        self._non_persistent_buffers_set.discard(name)
        if keep:
            self.__dict__.pop(name, None)
        return found

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__, *self._parameters, *self._buffers, *self._modules}
        return sorted(n for n in names if not n[0].isdigit())

    # -- walks -------------------------------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, with dotted names."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self  # type: ignore[misc]
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct children with their names, each once."""
        memo = set()
        for name, module in self._modules.items():
            if module is not None and module not in memo:
                memo.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct children."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self, members: Callable[[Any], Any], prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        memo: set[Any] = set()
        found: Any = [(prefix, self)]
        if recurse:
            found = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in found:
            for name, value in members(module):
                if value is None or value in memo:
                    continue
                if remove_duplicate:
                    memo.add(value)
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names, each once."""
        return self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters: what an optimiser is given."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with dotted names, each once."""
        return self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer
