"""When to look: which part of the frame's search is due, and which face deserves a closer look."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeinfer.detection.base import Step
from edgeinfer.tracking.tracker import Track

LOOK_EVERY_S = 0.25
"""How often a followed face is looked at closely."""
LOOK_AGAIN_S = 0.1
"""How often a hidden or doubtful one is."""
COVERED_S = 0.03
"""How often one that went out of sight beside another, which will soon have passed."""
QUICK_S = 0.2
"""How often a step is repeated in a new scene, in seconds; as the scene grows older, ever less, down to its period."""
PAUSE_S = 0.2
"""Least time between two urgent searches, so that a flickering scene does not cost one a frame."""


class Scheduler:
    """Spreads the search of the frame over time; more frames a second do not mean more searching."""

    def __init__(self, steps: Sequence[Step]) -> None:
        """Start with everything due."""
        self._steps = tuple(steps)
        self._done_s: list[float | None] = [None] * len(self._steps)
        self._urgent_s = self._scene_s = -math.inf

    def due(self, now_s: float, elapsed_s: float, *, cut: bool, covered: bool = False) -> list[tuple[int, bool]]:
        """The steps to do in this frame, and whether it is the first time in this scene; they count as done.

        Args:
            now_s: time of the frame.
            elapsed_s: since the frame before.
            cut: whether the scene is another one.
            covered: whether a face went out of sight beside another, so that twice as many searches are due.
        """
        if cut and now_s - self._urgent_s >= PAUSE_S - 1e-6:
            self._urgent_s = self._scene_s = now_s
            self._done_s = [None] * len(self._steps)
        waits = sorted(((self._wait(number, now_s), -number) for number in range(len(self._steps))), reverse=True)
        most, least = 1 + int(elapsed_s / 0.1), 0.5 if covered else 1.0
        chosen = [-number for wait, number in waits if wait >= least - 1e-6][:most]
        due = [(number, self._done_s[number] is None) for number in chosen]
        for number in chosen:
            self._done_s[number] = now_s
        return due

    def _wait(self, number: int, now_s: float) -> float:
        last_s, step = self._done_s[number], self._steps[number]
        if last_s is None:
            return math.inf
        settled_s = max(QUICK_S, (now_s - self._scene_s) / 2)
        return (now_s - last_s) / min(step.period_s, settled_s)

    def deserves_look(self, track: Track, now_s: float) -> bool:
        """Whether a face should be looked at closely now."""
        calm = track.visible and track.patience_s > 0.5 and now_s - track.sure_s < 0.3
        every_s = LOOK_EVERY_S if calm else COVERED_S if track.covered else LOOK_AGAIN_S
        return now_s - track.looked_s >= every_s - 1e-6
