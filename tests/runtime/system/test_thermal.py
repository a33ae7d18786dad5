"""Thermal governor."""

from __future__ import annotations

import logging

import pytest

from edgeinfer.results import Result
from edgeinfer.system.thermal import ThermalGovernor

FRAME_S = 0.1
RESULT = Result((), 0.0, {"detect": 70.0, "track": 10.0, "classify": 20.0})


class SimulatedMachine:
    """Machine with prepared temperatures and a clock that advances with work and sleep only."""

    def __init__(self, *readings_c: float | None) -> None:
        self.now_s = self.slept_s = 0.0
        self.readings_c, self.reads = list(readings_c), 0
        self.governor = ThermalGovernor(70, clock=lambda: self.now_s, sleep=self.sleep, thermometer=self.thermometer)

    def thermometer(self) -> float | None:
        self.reads += 1
        return self.readings_c[min(self.reads, len(self.readings_c)) - 1]

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept_s += seconds

    def work_until_reads(self, times: int) -> None:
        while self.reads < times:
            self.now_s += FRAME_S
            self.governor.pause(RESULT)


@pytest.mark.parametrize(
    ("readings_c", "duty_cycle"),
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
def test_duty_cycle_follows_the_temperature(readings_c: list[float | None], duty_cycle: float) -> None:
    machine = SimulatedMachine(*readings_c)
    machine.work_until_reads(len(readings_c))
    assert machine.governor.duty_cycle == duty_cycle


@pytest.mark.parametrize(("readings_c", "pause_s"), [([50.0], 0.0), ([71.0], 0.1), ([71.0, 71.0, 71.0], 0.7)])
def test_pause_is_proportional_to_the_processing_time(readings_c: list[float], pause_s: float) -> None:
    machine = SimulatedMachine(*readings_c)
    machine.work_until_reads(len(readings_c))
    before_s = machine.slept_s
    machine.governor.pause(RESULT)
    assert machine.slept_s - before_s == pytest.approx(pause_s)


def test_thermometer_is_read_every_five_seconds() -> None:
    machine = SimulatedMachine(50)
    for _ in range(201):  # 20 s
        machine.governor.pause(RESULT)
        machine.now_s += FRAME_S
    assert machine.reads == pytest.approx(5, abs=1)


def test_changes_are_logged_and_a_missing_sensor_only_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        SimulatedMachine(71, 72, 60).work_until_reads(3)
        SimulatedMachine(None).work_until_reads(4)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "processor at 71.0 °C (limit 70 °C): duty cycle now 0.5"),
        ("WARNING", "processor at 72.0 °C (limit 70 °C): duty cycle now 0.25"),
        ("INFO", "processor at 60.0 °C (limit 70 °C): duty cycle now 0.5"),
        ("WARNING", "temperature limit of 70 °C ignored: this system has no temperature sensor"),
    ]
