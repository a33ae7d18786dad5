from __future__ import annotations

from collections import Counter

import pytest

from edgeinfer.detection.base import SearchStep
from edgeinfer.tracking.scheduler import MIN_RESTART_S, Scheduler, verification_period_s

STEPS = (SearchStep(0.4, 1.0), SearchStep(0.8, 1.0), SearchStep(1.2, 1.0))


def run_schedule(fps: float, seconds: float, *, cuts: bool = False) -> list[list[int]]:
    """Return the steps that are due in each frame."""
    scheduler = Scheduler(STEPS)
    return [
        [step for step, _ in scheduler.next_steps(n / fps, 1 / fps, cut=cuts or n == 0)]
        for n in range(int(fps * seconds))
    ]


@pytest.mark.parametrize("fps", [15.0, 30.0, 120.0])
def test_number_of_searches_is_independent_of_the_frame_rate(fps: float) -> None:
    counts = Counter(step for due in run_schedule(fps, 12.0)[int(6 * fps) :] for step in due)
    assert [counts[step] for step in range(3)] == pytest.approx([15, 7.5, 5], abs=1.5)


def test_one_step_per_frame_unless_the_frame_rate_is_low() -> None:
    assert max(len(due) for due in run_schedule(30.0, 6.0)) == 1
    assert max(len(due) for due in run_schedule(2.0, 6.0)) == 3


def test_new_scene_is_searched_immediately_and_more_often() -> None:
    due = run_schedule(30.0, 3.0)
    assert due[:3] == [[0], [1], [2]]
    assert sum(2 in steps for steps in due[:45]) > sum(2 in steps for steps in due[45:])


def test_flickering_scene_is_not_searched_every_frame() -> None:
    searches = sum(0 in due for due in run_schedule(30.0, 3.0, cuts=True))
    assert searches <= 3 / MIN_RESTART_S + 1


@pytest.mark.parametrize(
    ("stable", "occluded", "period_s"),
    [
        pytest.param(True, False, 0.25, id="stable"),
        pytest.param(False, False, 0.1, id="hidden"),
        pytest.param(False, True, 0.03, id="occluded"),
    ],
)
def test_unstable_tracks_are_verified_more_often(stable: bool, occluded: bool, period_s: float) -> None:
    assert verification_period_s(stable=stable, occluded=occluded) == period_s


def test_lost_face_doubles_the_searches() -> None:
    scheduler = Scheduler(STEPS[:1])
    scheduler.next_steps(0.0, 0.0, cut=True)
    assert scheduler.next_steps(0.1, 0.1, cut=False) == []
    assert scheduler.next_steps(0.1, 0.1, cut=False, lost=True) == [(0, False)]
