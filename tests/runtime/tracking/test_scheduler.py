from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edgeinfer.detection.base import Step
from edgeinfer.geometry import Place
from edgeinfer.tracking.scheduler import PAUSE_S, Scheduler
from edgeinfer.tracking.tracker import Track

STEPS = (Step(0.4, 1.0), Step(0.8, 1.0), Step(1.2, 1.0))


def play(fps: float, seconds: float, *, cuts: bool = False) -> list[list[int]]:
    scheduler = Scheduler(STEPS)
    return [
        [step for step, _ in scheduler.due(n / fps, 1 / fps, cut=cuts or n == 0)] for n in range(int(fps * seconds))
    ]


@pytest.mark.parametrize("fps", [15.0, 30.0, 120.0])
def test_searching_goes_by_time_and_not_by_frames(fps: float) -> None:
    counts = Counter(step for due in play(fps, 12.0)[int(6 * fps) :] for step in due)
    assert [counts[step] for step in range(3)] == pytest.approx([15, 7.5, 5], abs=1.5)


def test_at_most_one_step_a_frame_unless_frames_are_rare() -> None:
    assert max(len(due) for due in play(30.0, 6.0)) == 1
    assert max(len(due) for due in play(2.0, 6.0)) == 3


def test_a_new_scene_is_searched_at_once_and_more_often() -> None:
    due = play(30.0, 3.0)
    assert due[:3] == [[0], [1], [2]]
    assert sum(2 in steps for steps in due[:45]) > sum(2 in steps for steps in due[45:])


def test_a_flickering_scene_does_not_cost_a_search_a_frame() -> None:
    searches = sum(0 in due for due in play(30.0, 3.0, cuts=True))
    assert searches <= 3 / PAUSE_S + 1


def test_doubtful_faces_are_looked_at_more_often() -> None:
    patch = np.zeros((20, 20), np.uint8)
    track = Track(1, Place(0, 0, 10, 10), patch, patch, 0.0, 0.0, 0.0, patience_s=1.0)
    scheduler = Scheduler(STEPS)
    assert not scheduler.deserves_look(track, 0.2)
    assert scheduler.deserves_look(track, 0.25)
    track.visible = False
    assert scheduler.deserves_look(track, 0.1)
    assert not scheduler.deserves_look(track, 0.05)
    track.crowded = True
    assert scheduler.deserves_look(track, 0.05)


def test_a_face_covered_by_another_doubles_the_searches() -> None:
    scheduler = Scheduler(STEPS[:1])
    scheduler.due(0.0, 0.0, cut=True)
    assert scheduler.due(0.1, 0.1, cut=False) == []
    assert scheduler.due(0.1, 0.1, cut=False, covered=True) == [(0, False)]
