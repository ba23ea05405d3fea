"""Random numbers: a generator per process, seeded by `manual_seed`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import GradTypeError

from . import refusals
from .dispatch import current_trace


class Generator:
    """A stream of random numbers with torch's methods. Its numbers are not torch's."""

    def __init__(self, device: Any = "cpu") -> None:
        self._seed = 0
        self._rng: Any = None

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream anew."""
        _not_in_trace("seeding")
        if not hasattr(seed, "__index__"):
            raise GradTypeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        self._seed = seed.__index__()
        self._rng = np.random.Generator(np.random.Philox(self._seed % (1 << 64)))
        return self

    def initial_seed(self) -> int:
        """The seed the stream was started with."""
        _not_in_trace("reading the seed")
        if self._rng is None:
            self.seed()
        return self._seed

    def seed(self) -> int:
        """Start the stream with a seed that the system draws."""
        import secrets

        self.manual_seed(secrets.randbits(63))
        return self._seed

    @property
    def rng(self) -> np.random.Generator:
        """NumPy's generator underneath, seeded by the system if nobody has seeded it."""
        _not_in_trace("a generator of random numbers")
        if self._rng is None:
            self.seed()
        rng: np.random.Generator = self._rng
        return rng

    def get_state(self) -> Any:
        return self.rng.bit_generator.state

    def set_state(self, state: Any) -> Generator:
        self.rng.bit_generator.state = state
        return self


def _not_in_trace(what: str) -> None:
    trace = current_trace()
    if trace is not None:
        hint = "seed and fill before the call; rand and its like without generator= draw anew at each call"
        refusals.once(what, hint, trace.loc())


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the generator that is used where none is given."""
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(state: Any) -> None:
    """Put the default generator into a state that `get_rng_state` gave."""
    default_generator.set_state(state)


def rng_of(generator: Generator | None) -> np.random.Generator:
    return (default_generator if generator is None else generator).rng
