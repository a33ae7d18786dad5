"""Reduction of the processing rate while the processor is too hot."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edgeinfer.results import Result
from edgeinfer.system.hardware import hottest_c

CHECK_INTERVAL_S = 5.0
HYSTERESIS_C = 5.0
"""Degrees below the limit at which the duty cycle may rise again, so that it does not oscillate."""
MIN_DUTY_CYCLE = 1 / 8

_log = logging.getLogger(__name__)


class ThermalGovernor:
    """Governor that sleeps between frames while the processor is too hot.

    Each check above the limit halves the duty cycle, down to 1/8; each check at least five degrees below the limit
    doubles it. A live source returns its newest frame after the pause, so no backlog builds up.

    Attributes:
        duty_cycle: Share of time spent on frames, 1/8..1.
    """

    def __init__(
        self,
        max_c: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        thermometer: Callable[[], float | None] = hottest_c,
    ) -> None:
        """Set the temperature limit.

        Args:
            max_c: Limit in degrees Celsius.
            clock: Function that returns the time in seconds.
            sleep: Function that sleeps for the given number of seconds.
            thermometer: Function that returns degrees Celsius, or None without a sensor.
        """
        self.duty_cycle = 1.0
        self._max_c = max_c
        self._clock, self._sleep, self._thermometer = clock, sleep, thermometer
        self._next_check_s = clock()
        self._warned = False

    def pause(self, result: Result) -> None:
        """Sleep in proportion to the processing time of a frame."""
        if self._clock() >= self._next_check_s:
            self._check()
            self._next_check_s = self._clock() + CHECK_INTERVAL_S
        if self.duty_cycle < 1:
            self._sleep(sum(result.stages_ms.values()) / 1000 * (1 / self.duty_cycle - 1))

    def _check(self) -> None:
        now_c = self._thermometer()
        if now_c is None:
            if not self._warned:
                _log.warning("temperature limit of %g °C ignored: this system has no temperature sensor", self._max_c)
            self._warned = True
            return
        before = self.duty_cycle
        if now_c > self._max_c:
            self.duty_cycle = max(MIN_DUTY_CYCLE, before / 2)
        elif now_c <= self._max_c - HYSTERESIS_C:
            self.duty_cycle = min(1.0, before * 2)
        if self.duty_cycle != before:
            level = logging.WARNING if self.duty_cycle < before else logging.INFO
            _log.log(
                level, "processor at %.1f °C (limit %g °C): duty cycle now %g", now_c, self._max_c, self.duty_cycle
            )
