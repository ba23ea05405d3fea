"""The op table. Importing this package imports every file of its folder, whose records `REGISTRY` then holds by full
name: adding an op touches one file."""

import gc
import os
from importlib import import_module

from gradc.ir.op import REGISTRY


def _load() -> None:
    collecting = gc.isenabled()
    # Thousands of functions are made and none is garbage: the collector would walk them, and NumPy's, several times.
    gc.disable()
    try:
        for file in sorted(os.listdir(__path__[0])):
            stem, _, ending = file.partition(".")
            if ending == "py" and stem != "__init__":
                import_module(f"{__name__}.{stem}")
    finally:
        if collecting:
            gc.enable()


_load()

__all__ = ["REGISTRY"]
