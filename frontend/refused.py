"""Names of torch that gradc does not have, refused by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from gradc.ir.errors import GradAttributeError

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


def missing(module: str, name: str, known: Iterable[str]) -> GradAttributeError:
    """The error for `module.name`: it says what comes nearest. `module` is gradc's dotted name."""
    place = module.replace("gradc", "torch", 1)
    hint = SAID.get(name)
    if hint is None:
        near = difflib.get_close_matches(name, [k for k in known if not k.startswith("_")], 1, 0.7)
        hint = f"the nearest name is {module}.{near[0]}" if near else "nothing comes near"
    return GradAttributeError(
        f"module {module!r} has no attribute {name!r}", hint=f"gradc has no {place}.{name}; {hint}"
    )
