"""torch.cuda, as far as eager programs ask: eager tensors never live on a GPU."""

from __future__ import annotations


def is_available() -> bool:
    """False: eager tensors live on the CPU. Compiled programs have executors of their own (`gradc.build`)."""
    return False


def device_count() -> int:
    """0: see `is_available`."""
    return 0
