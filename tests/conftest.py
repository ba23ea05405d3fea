"""Shared fixtures: printed seeds, the skip of `gpu` tests, and the table of skips at the end of a run."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tree

BASE_SEED = int(os.environ.get("GRADC_SEED", "20260101"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="rewrite what tests/files expect and the README shows")


def pytest_report_header() -> list[str]:
    import gradc

    return [f"gradc: {Path(gradc.__file__).parent}", f"seed: GRADC_SEED={BASE_SEED} (mixed with each test's name)"]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """One number per test, the same from run to run; printed, so that a failure shows it."""
    value = zlib.crc32(request.node.nodeid.encode()) ^ BASE_SEED
    print(f"seed {value}")
    return value


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def pytest_configure(config: pytest.Config) -> None:
    lines = (Path(__file__).parent / "expected_failures.txt").read_text().splitlines()
    pairs = (line.partition("  ") for line in lines if line and not line.startswith("#"))
    config.stash[tree.EXPECTED_FAILURES] = {test: reason.strip() for test, _, reason in pairs}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    expected = config.stash[tree.EXPECTED_FAILURES]
    for item in items:
        if item.nodeid in expected:
            item.add_marker(pytest.mark.xfail(reason=expected[item.nodeid], strict=True))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    from gradc.runtime.cuda_driver import why_unavailable

    reason = why_unavailable()
    if reason is not None:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"no GPU: {reason}"))


def _reason(report: Any) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
    return str(text).removeprefix("Skipped: ").removeprefix("reason: ") or "no reason given"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for outcome in ("skipped", "xfailed", "xpassed"):
        counts = Counter(_reason(report) for report in terminalreporter.stats.get(outcome, ()))
        if counts:
            terminalreporter.write_sep("-", f"{counts.total()} {outcome}, by reason")
            for reason, count in counts.most_common():
                terminalreporter.write_line(f"{count:6} {reason}")
