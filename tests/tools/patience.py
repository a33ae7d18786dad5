"""How long tests wait for another program before they fail, in multiples of what is ample on a small PC."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
PATIENCE = float(os.environ.get("EDGEINFER_TEST_PATIENCE", "1"))


def until(condition: Callable[[], Value], within_s: float = 30.0) -> Value:
    """Wait until a condition holds, and give what it gave; fail when it does not in a multiple of `within_s`."""
    deadline_s = time.monotonic() + within_s * PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)
    return value
