"""Heat: a loop that looks less often rather than melts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edgeinfer.results import Result
from edgeinfer.system.hardware import hottest_c

CHECK_EVERY_S = 5.0
COOLER_BY_C = 5.0
"""How far below the limit it must be before more is done again, so that the pace does not swing."""
LEAST = 1 / 8

_log = logging.getLogger(__name__)


class ThermalGovernor:
    """Sleeps between frames while the processor is too hot.

    At each check above the limit the share of time at work halves, down to an eighth; it doubles at each one at least
    five degrees below. A live source gives its newest frame afterwards, so nothing queues.

    Attributes:
        share: of time at work, from 1/8 to 1.
    """

    def __init__(
        self,
        max_c: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        thermometer: Callable[[], float | None] = hottest_c,
    ) -> None:
        """Set a limit.

        Args:
            max_c: in degrees Celsius.
            clock: seconds.
            sleep: takes seconds.
            thermometer: degrees Celsius; None where nobody tells.
        """
        self.share = 1.0
        self._max_c = max_c
        self._clock, self._sleep, self._thermometer = clock, sleep, thermometer
        self._due_s = clock()
        self._warned = False

    def rest(self, result: Result) -> None:
        """Sleep as long as the work on a frame asks for."""
        if self._clock() >= self._due_s:
            self._check()
            self._due_s = self._clock() + CHECK_EVERY_S
        if self.share < 1:
            self._sleep(sum(result.stages_ms.values()) / 1000 * (1 / self.share - 1))

    def _check(self) -> None:
        found_c = self._thermometer()
        if found_c is None:
            if not self._warned:
                _log.warning("no thermometer here; the limit of %g °C is not kept", self._max_c)
            self._warned = True
            return
        before = self.share
        if found_c > self._max_c:
            self.share = max(LEAST, before / 2)
        elif found_c <= self._max_c - COOLER_BY_C:
            self.share = min(1.0, before * 2)
        if self.share != before:
            _log.warning("%.1f °C, limit %g °C: now %g of the time at work", found_c, self._max_c, self.share)
