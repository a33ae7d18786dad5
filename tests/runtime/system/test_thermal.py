from __future__ import annotations

import logging

import pytest

from edgeinfer.results import Result
from edgeinfer.system.thermal import ThermalGovernor

FRAME_S = 0.1
RESULT = Result((), 0.0, {"detect": 70.0, "track": 10.0, "classify": 20.0})


class Kettle:
    """A machine whose temperature a test sets; its time passes with work and sleep alone."""

    def __init__(self, *readings_c: float | None) -> None:
        self.now_s = self.slept_s = 0.0
        self.readings_c, self.read = list(readings_c), 0
        self.cooler = ThermalGovernor(70, clock=lambda: self.now_s, sleep=self.sleep, thermometer=self.thermometer)

    def thermometer(self) -> float | None:
        self.read += 1
        return self.readings_c[min(self.read, len(self.readings_c)) - 1]

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept_s += seconds

    def work_until_read(self, times: int) -> None:
        while self.read < times:
            self.now_s += FRAME_S
            self.cooler.rest(RESULT)


@pytest.mark.parametrize(
    ("readings_c", "share"),
    [
        pytest.param([69.9], 1, id="below"),
        pytest.param([70.1], 1 / 2, id="above"),
        pytest.param([71, 71, 71], 1 / 8, id="step-by-step"),
        pytest.param([90] * 6, 1 / 8, id="never-stops"),
        pytest.param([71, 71, 69], 1 / 4, id="not-yet-cool"),
        pytest.param([71, 71, 65], 1 / 2, id="back-one-step"),
        pytest.param([71, 65, 65, 65], 1, id="back"),
        pytest.param([71, None, None], 1 / 2, id="sensor-lost"),
    ],
)
def test_the_share_of_work_follows_the_heat(readings_c: list[float | None], share: float) -> None:
    kettle = Kettle(*readings_c)
    kettle.work_until_read(len(readings_c))
    assert kettle.cooler.share == share


@pytest.mark.parametrize(("readings_c", "pause_s"), [([50.0], 0.0), ([71.0], 0.1), ([71.0, 71.0, 71.0], 0.7)])
def test_the_pause_is_measured_by_the_work(readings_c: list[float], pause_s: float) -> None:
    kettle = Kettle(*readings_c)
    kettle.work_until_read(len(readings_c))
    before_s = kettle.slept_s
    kettle.cooler.rest(RESULT)
    assert kettle.slept_s - before_s == pytest.approx(pause_s)


def test_the_thermometer_is_read_every_five_seconds_at_most() -> None:
    kettle = Kettle(50)
    for _ in range(201):  # 20 s
        kettle.cooler.rest(RESULT)
        kettle.now_s += FRAME_S
    assert kettle.read == pytest.approx(5, abs=1)


def test_changes_are_logged_and_a_missing_thermometer_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Kettle(71, 72, 60).work_until_read(3)
        Kettle(None).work_until_read(4)
    assert [record.getMessage() for record in caplog.records] == [
        "71.0 °C, limit 70 °C: now 0.5 of the time at work",
        "72.0 °C, limit 70 °C: now 0.25 of the time at work",
        "60.0 °C, limit 70 °C: now 0.5 of the time at work",
        "no thermometer here; the limit of 70 °C is not kept",
    ]
