"""Names of torch that gradc does not have, refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gradc.ir.errors import GradAttributeError, GradcError

SAID = {
    "save": "numpy.savez keeps a state_dict: np.savez(path, **{k: v.numpy() for k, v in module.state_dict().items()})",
    "load": "module.load_state_dict takes a dictionary of tensors: {k: gradc.from_numpy(v) for k, v in np.load(path)}",
    "vmap": "write the batch dimension out: most functions take any number of leading dimensions",
    "jit": "gradc.compile traces a function; gradc.build gives its whole program",
    "fx": "gradc.build(...).stages has the graph after every pass",
    "complex": "complex numbers are not covered",
    "fft": "complex numbers are not covered",
    "sparse": "sparse tensors are not covered",
    "distributed": "one process and one device are what gradc knows of",
    "autocast": "convert the tensors: x.to(gradc.bfloat16)",
}
"""What to do instead, by name."""


class MissingNameError(GradAttributeError):
    """`module.name` does not exist. What comes nearest is looked for when the message is read: Python asks a package
    for every submodule before it imports it."""

    def __init__(self, module: str, name: str, known: Callable[[], Iterable[str]]) -> None:
        super().__init__(f"module {module!r} has no attribute {name!r}")
        self.module, self.missing, self.known = module, name, known

    def __str__(self) -> str:
        return str(self.explained())

    def at(self, loc: object) -> GradcError:
        return self.explained(loc)

    def explained(self, loc: object = None) -> GradAttributeError:
        """The same error with its hint."""
        import difflib

        hint = SAID.get(self.missing)
        if hint is None:
            known = [k for k in self.known() if not k.startswith("_")]
            near = difflib.get_close_matches(self.missing, known, 1, 0.7)
            hint = f"the nearest name is {self.module}.{near[0]}" if near else "nothing comes near"
        place = self.module.replace("gradc", "torch", 1)
        return GradAttributeError(self.bare, loc=loc, hint=f"gradc has no {place}.{self.missing}; {hint}")
