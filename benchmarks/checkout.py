"""Makes gradc importable from this checkout, installed or not: its packages are folders beside this one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def use() -> None:
    """`import gradc` is `frontend/` from here on; `gradc.ir` and the other folders lie beside it."""
    if "gradc" in sys.modules:
        return
    own = ROOT / "frontend"
    spec = importlib.util.spec_from_file_location(
        "gradc", own / "__init__.py", submodule_search_locations=[str(own), str(ROOT)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gradc"] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules["gradc"]
        raise
