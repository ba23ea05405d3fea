"""Whether ops are recorded: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`. The modes belong to a
thread."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class _Modes(threading.local):
    grad = True
    inference = False
    anomaly = False
    saving: tuple[tuple[Callable[[Any], Any], Callable[[Any], Any]], ...] = ()


MODES = _Modes()


def is_grad_enabled() -> bool:
    """True where ops on tensors that require grad are recorded."""
    return MODES.grad


def is_inference_mode_enabled() -> bool:
    """True inside `inference_mode()`."""
    return MODES.inference


class ContextDecorator:
    """A context manager that also decorates functions, generator functions and (not recommended, as in torch)
    classes."""

    def clone(self) -> ContextDecorator:
        return type(self)()

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        raise NotImplementedError

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function):
            return self._wrap_generator(function)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]

    def _wrap_generator(self, function: F) -> F:
        # The mode must hold while the body runs and must not leak to the caller between two values.
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            generator = function(*args, **kwargs)
            resume: Callable[[], Any] = functools.partial(next, generator)
            while True:
                try:
                    with self.clone():
                        item = resume()
                except StopIteration as stop:
                    return stop.value
                try:
                    sent = yield item
                except GeneratorExit:
                    with self.clone():
                        generator.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - handed on to the generator
                    resume = functools.partial(generator.throw, error)
                else:
                    resume = functools.partial(generator.send, sent)

        return wrapped  # type: ignore[return-value]


class _Scope(ContextDecorator):
    """Sets the two modes on entry and restores what was there on exit; re-entrant, because it keeps a stack."""

    grad: bool | None = None
    inference: bool | None = None

    def __init__(self) -> None:
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._before.append((MODES.grad, MODES.inference))
        if self.grad is not None:
            MODES.grad = self.grad
        if self.inference is not None:
            MODES.inference = self.inference

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        MODES.grad, MODES.inference = self._before.pop()


class _CallableWithoutBrackets(_Scope):
    """`@no_grad` works like `@no_grad()`."""

    def __new__(cls, function: Any = None) -> Any:
        if function is None:
            return super().__new__(cls)
        return cls()(function)

    def __init__(self, function: Any = None) -> None:
        super().__init__()


class no_grad(_CallableWithoutBrackets):  # noqa: N801 - torch's name
    """Nothing computed inside requires grad."""

    grad = False


class enable_grad(_CallableWithoutBrackets):  # noqa: N801 - torch's name
    """Recording is on inside, also within `no_grad`."""

    grad = True


class set_grad_enabled(_Scope):  # noqa: N801 - torch's name
    """Switches recording at once; as a context manager it switches back at the end."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.grad = self.mode = bool(mode)
        self._before.append((MODES.grad, MODES.inference))
        MODES.grad = self.grad

    def __enter__(self) -> None:
        MODES.grad = self.mode

    def __call__(self, function: F) -> F:
        MODES.grad, MODES.inference = self._before[-1]
        return super().__call__(function)

    def clone(self) -> set_grad_enabled:
        return type(self)(self.mode)

    def __repr__(self) -> str:
        return f"torch.autograd.grad_mode.set_grad_enabled(mode={self.mode})"


class inference_mode(_Scope):  # noqa: N801 - torch's name
    """Like `no_grad`, and what is made inside can never be recorded later."""

    def __new__(cls, mode: Any = True) -> Any:
        if isinstance(mode, bool):
            return super().__new__(cls)
        return cls()(mode)

    def __init__(self, mode: Any = True) -> None:
        super().__init__()
        self.mode = self.inference = bool(mode)
        self.grad = False if self.inference else None

    def __enter__(self) -> None:
        super().__enter__()
        if not self.inference:
            MODES.grad = True

    def clone(self) -> inference_mode:
        return type(self)(self.mode)
