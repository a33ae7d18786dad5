"""Latency measurement of several sessions."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeinfer.diagnostics.latency import measure_latencies_ms

IMAGES = [np.full((3, 4, 4, 1), number, np.uint8) for number in range(2)]


class RecordingSession:
    """Session stub that appends its name and the first pixel of its input to a shared list."""

    def __init__(self, name: str, calls: list[tuple[str, int]]) -> None:
        self._name, self._calls = name, calls

    def run(self, _outputs: None, inputs: dict[str, Any]) -> None:
        (image,) = inputs.values()
        assert image.shape == (1, 4, 4, 1)
        self._calls.append((self._name, int(image[0, 0, 0, 0])))


def test_sessions_take_turns_and_warm_up_is_excluded() -> None:
    calls: list[tuple[str, int]] = []
    sessions: Any = [RecordingSession(name, calls) for name in "ab"]
    times = measure_latencies_ms(sessions, IMAGES, warm_up=2, min_rounds=3, max_rounds=5)
    assert times.shape == (2, 5)
    assert times.dtype == np.float64
    assert (times >= 0).all()
    assert calls == [("a", 0), ("b", 1)] * 7


def test_measurement_over_budget_stops_after_the_minimum_of_rounds() -> None:
    sessions: Any = [RecordingSession("a", [])]
    assert measure_latencies_ms(sessions, IMAGES[:1], min_rounds=4, budget_s=0.0).shape == (1, 4)
