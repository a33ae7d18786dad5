"""The time budget of live runs, on a clock that only simulated work advances."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest

from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.tracking.budget import MAX_WAIT, Task, TimeBudget
from tools.slow_board import ManualTime

PYRAMID = Pyramid(np.zeros((36, 64, 3), np.uint8))
REST_S = 0.02
"""Time of a frame without detection."""


class Machine:
    """Simulated machine that processes frames with a budget.

    Attributes:
        done: Names of the tasks that ran in each frame.
    """

    def __init__(self) -> None:
        self.time = ManualTime()
        self.budget = TimeBudget(self.time)
        self.done: list[list[str]] = []

    def task(self, name: str, cost_s: float, size: float = 1.0) -> Task:
        def run(_pyramid: Pyramid, _now_s: float) -> None:
            self.time.work(cost_s * size)
            self.done[-1].append(name)

        return Task(name, size, run)

    def frame(self, *tasks: Task) -> None:
        self.budget.start_frame()
        for task in tasks:
            self.budget.add(task)
        self.done.append([])
        while self.budget.run_next(PYRAMID, 0.0):
            pass
        self.time.work(REST_S)

    def counts(self, name: str) -> list[int]:
        return [frame.count(name) for frame in self.done]


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_cheap_tasks_run_at_once(machine: Machine) -> None:
    for _ in range(20):
        machine.frame(machine.task("a", 0.004), machine.task("b", 0.004))
    assert machine.done == [["a", "b"]] * 20


def test_expensive_tasks_are_spread_over_frames(machine: Machine) -> None:
    machine.frame(*(machine.task("a", 0.015) for _ in range(8)))
    for _ in range(19):
        machine.frame()
    assert sum(machine.counts("a")) == 8
    assert max(machine.counts("a")) <= 4


@pytest.mark.parametrize(("cost_s", "interval"), [(0.04, 2), (1.0, MAX_WAIT + 1)])
def test_task_above_the_allowance_runs_in_every_nth_frame(machine: Machine, cost_s: float, interval: int) -> None:
    for _ in range(60):
        machine.frame(*() if machine.budget.has("a") else [machine.task("a", cost_s)])
    frames = [n for n, count in enumerate(machine.counts("a")) if count][5:]
    assert set(np.diff(frames)) == {interval}


def test_detection_takes_half_of_the_time_at_most(machine: Machine) -> None:
    started_s = machine.time()
    for _ in range(200):
        machine.frame(*(machine.task(name, 0.009) for name in "abc"))
    assert sum(map(len, machine.done)) * 0.009 == pytest.approx((machine.time() - started_s) / 2, rel=0.1)


def test_pause_of_the_camera_does_not_extend_the_search(machine: Machine) -> None:
    for _ in range(20):
        machine.frame(*(machine.task("a", 0.015) for _ in range(2)))
    machine.time.work(10.0)
    machine.frame()
    machine.frame()
    assert max(machine.counts("a")[-2:]) <= 4


def test_discarded_queue_is_empty(machine: Machine) -> None:
    machine.frame(*(machine.task("a", 0.1) for _ in range(4)))
    assert machine.budget.has("a")
    machine.budget.restart()
    assert not machine.budget.has("a")


def notices(records: Sequence[logging.LogRecord]) -> list[str]:
    return [record.getMessage() for record in records if "too slow" in record.getMessage()]


def test_slow_machine_is_reported_once(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    for frame in range(1000):
        machine.frame(*() if machine.budget.has("a") else [machine.task("a", 0.05)] * 4)
        if machine.time() < 4.9:
            assert not notices(caplog.records), frame
    assert len(notices(caplog.records)) == 1
    assert "smaller frames" in notices(caplog.records)[0]


def test_machine_with_enough_time_is_not_reported(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    for frame in range(1000):
        machine.frame(*[machine.task("a", 0.05)] * (frame % 20 == 0))
    assert machine.time() > 10
    assert not notices(caplog.records)
