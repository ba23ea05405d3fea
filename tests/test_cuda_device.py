"""On a machine with a CUDA device: launches, replays, whole programs, and every op of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from on_device import CHECKS, op_checks

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", CHECKS)
def test_on_the_device(name: str) -> None:
    reason = CHECKS[name]()
    if reason is not None:
        pytest.skip(reason)


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in op_checks()])
def test_ops_on_the_device(check: Callable[[], Any]) -> None:
    check()
