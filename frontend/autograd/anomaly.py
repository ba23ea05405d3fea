"""torch's anomaly mode: backward names the function that gave a NaN."""

from __future__ import annotations

from .grad_mode import MODES


class set_detect_anomaly:  # noqa: N801 - torch's name
    """Switches the check on or off at once; as a context manager it switches back at the end."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.before = MODES.anomaly
        MODES.anomaly = mode and check_nan

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        MODES.anomaly = self.before


class detect_anomaly:  # noqa: N801 - torch's name
    """Checks every gradient for NaN inside."""

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan, self.before = check_nan, False

    def __enter__(self) -> None:
        self.before, MODES.anomaly = MODES.anomaly, self.check_nan

    def __exit__(self, *error: object) -> None:
        MODES.anomaly = self.before
