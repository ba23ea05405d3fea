"""Module: a callable with parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gradc.ir.errors import GradAttributeError, GradTypeError, GradValueError, UnsupportedError
from gradc.ir.types import DType, bf16, f16, f32, f64
from gradc.ir.types import dtype as as_dtype

from ..autograd.grad_mode import no_grad
from ..autograd.hooks import RemovableHandle
from ..device import check_device, device
from ..tensor import Tensor
from .hooks import Hook, Hooks, call
from .parameter import Parameter
from .state import Stateful

Self = TypeVar("Self", bound="Module")


class Module(Stateful):
    """The base class of all layers: subclasses set attributes in `__init__` and define `forward`."""

    forward: Callable[..., Any]
    _forward_hooks: Hooks
    _forward_pre_hooks: Hooks
    _backward_hooks: Hooks
    _backward_pre_hooks: Hooks

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        if kwargs:
            raise GradTypeError(f"{name}.__init__() got an unexpected keyword argument '{next(iter(kwargs))}'")
        if args:
            raise GradTypeError(f"{name}.__init__() takes 1 positional argument but {len(args) + 1} were given")
        super().__init__()
        self.__dict__["_forward_hooks"] = Hooks()
        self.__dict__["_forward_pre_hooks"] = Hooks()
        self.__dict__["_backward_hooks"] = Hooks()
        self.__dict__["_backward_pre_hooks"] = Hooks()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(self, "forward"):
            raise UnsupportedError(f'Module [{type(self).__name__}] is missing the required "forward" function')
        if not (self._forward_hooks or self._forward_pre_hooks or self._backward_hooks or self._backward_pre_hooks):
            return self.forward(*args, **kwargs)
        return call(self, self._forward_pre_hooks, self._forward_hooks, args, kwargs)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before `forward`; what it returns replaces the arguments."""
        return self._forward_pre_hooks.add(Hook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, result)` after `forward`; what it returns replaces the result."""
        return self._forward_hooks.add(Hook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the arguments are there; what it returns
        replaces them. Not for compiled functions."""
        return self._backward_hooks.add(Hook(hook, False), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the gradients of the results are there; what it returns replaces
        them. Not for compiled functions."""
        return self._backward_pre_hooks.add(Hook(hook, False), prepend)

    # -- modes -------------------------------------------------------------------------------------------------------

    def train(self: Self, mode: bool = True) -> Self:
        """Switch to training (dropout drops, batch norm takes statistics of the batch)."""
        if not isinstance(mode, bool):
            raise GradValueError("training mode is expected to be boolean")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Switch to evaluation."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Freeze all parameters (False) or train them."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            zero_grad(p, set_to_none)

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module below this one, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # -- conversion --------------------------------------------------------------------------------------------------

    def _apply(self: Self, fn: Callable[[Tensor], Tensor]) -> Self:
        """Put `fn` of every parameter, gradient and buffer in its place."""
        for module in self.modules():
            for p in module._parameters.values():
                if p is not None:
                    with no_grad():
                        p.data = fn(p)  # type: ignore[attr-defined]
                        if p._grad is not None:
                            grad, p._grad = p._grad, None
                            p._grad = fn(grad)
            for name, b in module._buffers.items():
                if b is not None:
                    module._buffers[name] = fn(b)
        return self

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Convert floating-point parameters and buffers to a dtype."""
        want: DType | None = None
        for a in (*args, kwargs.get("dtype"), kwargs.get("device"), kwargs.get("tensor")):
            if isinstance(a, Tensor):
                want = a.dtype
            elif isinstance(a, (str, device)):
                check_device(a)
            elif a is not None and not isinstance(a, bool):
                want = as_dtype(a)
        if want is None:
            return self
        if not want.is_float:
            raise GradTypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={want!r}"
            )
        return self._cast(want)

    def _cast(self: Self, want: DType) -> Self:
        return self._apply(lambda t: t.to(want) if t.dtype.is_float else t)

    def float(self: Self) -> Self:
        """Convert to float32."""
        return self._cast(f32)

    def double(self: Self) -> Self:
        """Convert to float64."""
        return self._cast(f64)

    def half(self: Self) -> Self:
        """Convert to float16."""
        return self._cast(f16)

    def bfloat16(self: Self) -> Self:
        """Convert to bfloat16."""
        return self._cast(bf16)

    def cpu(self: Self) -> Self:
        """This module: eager tensors live on the CPU."""
        return self

    # -- look-up -----------------------------------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """The module with a dotted name."""
        module: Any = self
        for part in target.split(".") if target else ():
            module = _member(module, part)
            if not isinstance(module, Module):
                raise GradAttributeError(f"`{part}` is not an nn.Module")
        return module  # type: ignore[no-any-return]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with a dotted name."""
        path, _, name = target.rpartition(".")
        param = _member(self.get_submodule(path), name)
        if not isinstance(param, Parameter):
            raise GradAttributeError(f"`{name}` is not an nn.Parameter")
        return param

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with a dotted name."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        buffer = _member(module, name)
        if name not in module._buffers:
            raise GradAttributeError(f"`{name}` is not a buffer")
        return buffer  # type: ignore[no-any-return]

    # -- text --------------------------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the brackets."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        own = extra.split("\n") if extra else []
        children = [f"({k}): {indented(repr(m))}" for k, m in self._modules.items()]
        if not own and not children:
            return f"{self._get_name()}()"
        if len(own) == 1 and not children:
            return f"{self._get_name()}({own[0]})"
        return f"{self._get_name()}(\n  " + "\n  ".join(own + children) + "\n)"


def indented(text: str) -> str:
    """The lines after the first moved to the right."""
    return text.replace("\n", "\n  ")


def zero_grad(p: Any, set_to_none: bool) -> None:
    """Forget the gradient of one tensor, or overwrite it by zeros."""
    grad = p.grad
    if grad is None:
        return
    if set_to_none:
        p.grad = None
        return
    if grad.grad_fn is not None:
        grad.detach_()
    else:
        grad.requires_grad_(False)
    grad.zero_()


def _member(module: Module, name: str) -> Any:
    if not hasattr(module, name):
        raise GradAttributeError(f"{module._get_name()} has no attribute `{name}`")
    return getattr(module, name)
