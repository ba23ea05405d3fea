"""torch.linalg: the table's functions under that name."""

from __future__ import annotations

from .methods import functions_under

globals().update(functions_under("linalg"))
