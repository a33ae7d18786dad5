"""Timeouts for tests that wait for another thread or process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
PATIENCE = float(os.environ.get("EDGEINFER_TEST_PATIENCE", "1"))
"""Factor for all timeouts; 1 suits a small PC, larger values a slow or busy machine."""


def until(condition: Callable[[], Value], within_s: float = 30.0) -> Value:
    """Wait until a condition returns a true value and return that value.

    Args:
        condition: Function to poll.
        within_s: Timeout in seconds, multiplied by `PATIENCE`; an assertion fails when it expires.
    """
    deadline_s = time.monotonic() + within_s * PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline_s, "timeout: the condition did not become true"
        time.sleep(0.02)
    return value
