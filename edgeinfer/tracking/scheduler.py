"""Schedule of search steps and track verifications."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeinfer.detection.base import SearchStep

VERIFY_STABLE_S = 0.25
"""Interval between verifications of a stable track, in seconds."""
VERIFY_UNSTABLE_S = 0.1
"""Interval between verifications of a hidden or unstable track, in seconds."""
VERIFY_OCCLUDED_S = 0.03
"""Interval between verifications of an occluded track, in seconds: most occlusions are brief."""
NEW_SCENE_PERIOD_S = 0.2
"""Longest period of a step in a new scene, in seconds. It grows with the age of the scene."""
MIN_RESTART_S = 0.2
"""Minimum interval between restarts of the schedule, in seconds; limits the searches of a flickering scene."""
CATCH_UP_S = 0.1
"""Time since the previous frame that allows one additional step, in seconds, so that low frame rates delay no step."""
EPSILON_S = 1e-6
"""Tolerance in comparisons of times, in seconds."""


class Scheduler:
    """Schedule that spreads the steps of a search over time, independently of the frame rate."""

    def __init__(self, steps: Sequence[SearchStep]) -> None:
        """Create a schedule on which every step is due."""
        self._steps = tuple(steps)
        self._last_run_s: list[float | None] = [None] * len(self._steps)
        self._restart_s = self._scene_s = -math.inf

    def next_steps(self, now_s: float, elapsed_s: float, *, cut: bool, lost: bool = False) -> list[tuple[int, bool]]:
        """Return the steps that are due in this frame, the most overdue first, and mark them as run.

        Args:
            now_s: Time of the frame in seconds.
            elapsed_s: Time since the previous frame in seconds.
            cut: True if the frame starts a new scene.
            lost: True if a face has been lost, for example behind another, which halves the periods.

        Returns:
            Pairs of a step's index and True if the step has not run in this scene before.
        """
        if cut and now_s - self._restart_s >= MIN_RESTART_S - EPSILON_S:
            self._restart_s = self._scene_s = now_s
            self._last_run_s = [None] * len(self._steps)
        waits = sorted(((self._relative_wait(step, now_s), -step) for step in range(len(self._steps))), reverse=True)
        max_steps, threshold = 1 + int(elapsed_s / CATCH_UP_S), 0.5 if lost else 1.0
        chosen = [-step for wait, step in waits if wait >= threshold - EPSILON_S][:max_steps]
        due = [(step, self._last_run_s[step] is None) for step in chosen]
        for step in chosen:
            self._last_run_s[step] = now_s
        return due

    def _relative_wait(self, step: int, now_s: float) -> float:
        """Return the time since a step's last run in units of its current period; infinity if it has not run."""
        last_s = self._last_run_s[step]
        if last_s is None:
            return math.inf
        scene_period_s = max(NEW_SCENE_PERIOD_S, (now_s - self._scene_s) / 2)
        return (now_s - last_s) / min(self._steps[step].period_s, scene_period_s)


def verification_period_s(*, stable: bool, occluded: bool) -> float:
    """Return the interval between verifications of a track in seconds.

    Args:
        stable: True if the track is visible and was detected recently.
        occluded: True if the track is hidden by another face.
    """
    return VERIFY_STABLE_S if stable else VERIFY_OCCLUDED_S if occluded else VERIFY_UNSTABLE_S
