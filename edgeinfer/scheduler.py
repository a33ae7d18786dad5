"""When to look: which part of the frame's search is due, and which face deserves a closer look."""

from __future__ import annotations

from collections.abc import Sequence

from edgeinfer.search import Step
from edgeinfer.tracker import Track

LOOK_EVERY_S = 0.25
"""How often a followed face is looked at closely."""
LOOK_AGAIN_S = 0.06
"""How often a hidden or doubtful one is."""
PAUSE_S = 0.2
"""Least time between two urgent searches, so that a flickering scene does not cost one a frame."""


class Scheduler:
    """Spreads the search of the frame over time; more frames a second do not mean more searching."""

    def __init__(self, steps: Sequence[Step]) -> None:
        """Start with everything due."""
        self._steps = tuple(steps)
        self._done_s: list[float | None] = [None] * len(self._steps)
        self._urgent = False

    def due(self, now_s: float, elapsed_s: float, *, cut: bool) -> list[int]:
        """The steps to do in this frame; they count as done.

        Args:
            now_s: time of the frame.
            elapsed_s: since the frame before.
            cut: whether the scene is another one.
        """
        if cut:
            for number, step in enumerate(self._steps):
                last_s = self._done_s[number]
                if step.urgent and (last_s is None or now_s - last_s >= PAUSE_S):
                    self._done_s[number] = None
                elif not step.urgent and last_s is not None:
                    self._done_s[number] = min(last_s, now_s - step.period_s)
        waits = sorted(((self._wait(number, now_s), number) for number in range(len(self._steps))), reverse=True)
        most = 1 + int(elapsed_s / 0.1)
        chosen = [number for wait, number in waits if wait >= 1.0 - 1e-6][:most]
        for number in chosen:
            self._done_s[number] = now_s
        return chosen

    def _wait(self, number: int, now_s: float) -> float:
        last_s, step = self._done_s[number], self._steps[number]
        if last_s is None:
            return 1e9 if step.urgent else 1e6
        return (now_s - last_s) / step.period_s

    def deserves_look(self, track: Track, now_s: float) -> bool:
        """Whether a face should be looked at closely now."""
        calm = track.visible and track.number and now_s - track.sure_s < 0.7
        return now_s - track.looked_s >= (LOOK_EVERY_S if calm else LOOK_AGAIN_S) - 1e-6
