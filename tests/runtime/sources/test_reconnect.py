"""Reconnection of live sources, on fakes without a real clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np
import pytest

from edgeinfer import Box, EmotionClassifier, Pipeline, SourceError, SourceLostError, run
from edgeinfer.results import Frame, Image, Result, SourceState
from edgeinfer.sources.base import Source
from edgeinfer.sources.connection import open_within
from edgeinfer.sources.live import MAX_STUCK_READS, LiveSource
from edgeinfer.sources.retry import Patience, Retries
from tools.fakes import FakeDetector, FakeSource
from tools.live_sources import PICTURE, HangingSource, ManualClock, SourceSequence

SMALL = np.full((30, 40, 3), 250, np.uint8)
LOST = SourceLostError("the cable is loose")


def live_source(
    opener: SourceSequence,
    initial: Source | None,
    *,
    retries: Retries | None = 3,
    clock: ManualClock | None = None,
    backoff: Callable[[int], float] = lambda _: 0.0,
) -> tuple[LiveSource, list[str]]:
    """Return a live source that reconnects without pauses, and the list of its states."""
    states: list[str] = []
    policy = Patience(stall_s=20.0, retries=retries)
    source = LiveSource(
        initial, name="door", reopen=opener, patience=policy, clock=clock or ManualClock(), backoff=backoff
    )
    source.listener = lambda change: states.append(change.state)
    return source, states


def failing_source(frames: int = 2, image: Image = PICTURE) -> FakeSource:
    """Return a source that is lost after some frames."""
    return FakeSource([image] * frames, error=LOST)


def read_until_error(source: LiveSource) -> tuple[list[Frame], SourceError]:
    received: list[Frame] = []
    with source, pytest.raises(SourceError) as error:
        received.extend(source)
    return received, error.value


def test_lost_source_is_reopened_and_keeps_counting() -> None:
    opener = SourceSequence(failing_source(), SourceError("still booting"), failing_source(3, SMALL))
    source, states = live_source(opener, failing_source(), retries=2)
    received, error = read_until_error(source)
    assert isinstance(error, SourceLostError)
    assert error.exit_code == 7
    assert "could not be reopened" in str(error)
    assert source.reconnects == 2
    assert len(received) + source.dropped == 7
    assert received[-1].index == 6
    assert received[-1].image.shape == SMALL.shape
    times = [frame.timestamp_s for frame in received]
    assert times == sorted(times)
    success, failure = ["connecting", "live", "lost"], ["connecting", "lost"]
    assert states == success + success + failure + success + failure + failure
    assert opener.opened == 5


def test_good_frame_resets_the_retry_count() -> None:
    failures: list[int] = []

    def backoff(count: int) -> float:
        failures.append(count)
        return 0.0

    opener = SourceSequence(*(outcome for _ in range(5) for outcome in (SourceError("no"), failing_source())))
    source, _ = live_source(opener, failing_source(), retries=2, backoff=backoff)
    read_until_error(source)
    assert source.reconnects == 5
    assert failures == [1, 2] * 6


@pytest.mark.parametrize(("retries", "attempts"), [(0, 0), (2, 2)])
def test_source_that_never_opened_ends_with_exit_code_4(retries: int, attempts: int) -> None:
    opener = SourceSequence()
    source, states = live_source(opener, None, retries=retries)
    received, error = read_until_error(source)
    assert (received, error.exit_code) == ([], 4)
    assert opener.opened == max(1, attempts)
    assert states[0] == "lost"
    assert source.reconnects == 0


def test_source_that_opens_late_is_awaited() -> None:
    opener = SourceSequence(SourceError("booting"), SourceError("booting"), failing_source(1))
    source, states = live_source(opener, None, retries="forever")
    with source:
        assert next(iter(source)).index == 0
    assert states == ["lost", "connecting", "lost", "connecting", "lost", "connecting", "live"]
    assert source.reconnects == 0


def test_backoff_waits_on_the_clock_before_the_source_is_reopened() -> None:
    clock = ManualClock()
    clock.expire_next_timeout()
    source, _ = live_source(SourceSequence(failing_source(1)), None, clock=clock, backoff=lambda _: 40.0)
    with source:
        next(iter(source))
    assert clock.now_s() == 1040.0


def test_closing_during_the_backoff_ends_the_iteration() -> None:
    source, states = live_source(SourceSequence(), failing_source(1), backoff=lambda _: 40.0)

    def close_after_loss(change: SourceState) -> None:
        if change.state == "lost":
            source.__exit__(None, None, None)

    source.add_state_listener(close_after_loss)
    with source:
        assert len(list(source)) == 1
    assert states == ["connecting", "live", "lost"]


def test_hanging_read_stalls_the_source_and_its_late_frames_are_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.sources.live.CLOSING_S", 0.01)
    clock, released = ManualClock(), threading.Event()
    source, states = live_source(
        SourceSequence(failing_source(1)), HangingSource(clock, released), retries=0, clock=clock
    )
    received: list[int] = []
    with source, pytest.raises(SourceLostError):
        received.extend(frame.index for frame in source)
    assert received == [0]
    assert states == ["connecting", "live", "stalled"]
    assert clock.now_s() == 1020.0
    released.set()

    clock, released = ManualClock(), threading.Event()
    source, states = live_source(
        SourceSequence(failing_source(1)), HangingSource(clock, released), retries=1, clock=clock
    )
    with source:
        frames = iter(source)
        assert [next(frames).index, next(frames).index] == [0, 1]
        released.set()  # the abandoned read returns a frame
        with pytest.raises(SourceLostError):
            next(frames)
    assert states[:5] == ["connecting", "live", "stalled", "connecting", "live"]


def test_number_of_hanging_reads_is_limited() -> None:
    clock, released = ManualClock(), threading.Event()
    refusals: list[int] = []

    def backoff(failures: int) -> float:
        """Release the hanging reads after several refusals to open another connection."""
        refusals.append(failures)
        if failures == 10:
            released.set()
        return 0.0

    opener = SourceSequence(*(HangingSource(clock, released) for _ in range(20)))
    source, _ = live_source(opener, HangingSource(clock, released), retries="forever", clock=clock, backoff=backoff)
    before = threading.active_count()
    with source:
        frames = iter(source)
        for _ in range(MAX_STUCK_READS):
            next(frames)
        assert not refusals or max(refusals) == 1
        next(frames)  # requires that a hanging read has returned
    assert max(refusals) >= 10
    assert opener.opened == MAX_STUCK_READS
    assert threading.active_count() <= before + MAX_STUCK_READS + 1


def test_opening_has_a_timeout() -> None:
    never = threading.Event()

    def opener() -> Source:
        never.wait()
        return failing_source()

    with pytest.raises(SourceError, match=r"door could not be opened within 0\.1 s"):
        open_within(0.1, opener, "door")
    never.set()


def test_source_that_opens_after_the_timeout_is_closed() -> None:
    proceed, late = threading.Event(), failing_source()

    def opener() -> Source:
        proceed.wait()
        return late

    with pytest.raises(SourceError):
        open_within(0.01, opener, "late door")
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "open late door"]
    proceed.set()
    thread.join()
    assert late.closed


def test_programming_error_is_not_retried() -> None:
    source, _ = live_source(SourceSequence(failing_source()), FakeSource([PICTURE], error=ZeroDivisionError()))
    with source, pytest.raises(ZeroDivisionError):
        list(source)


def test_losses_and_recoveries_are_logged_as_warnings_and_other_states_as_info(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source, _ = live_source(SourceSequence(failing_source(1)), failing_source(1), retries=1)
    with caplog.at_level(logging.INFO):
        read_until_error(source)
    logged = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert logged == [
        ("INFO", "connecting: opening fake"),
        ("INFO", "live: receiving frames from fake"),
        ("WARNING", "lost: the cable is loose"),
        ("INFO", "connecting: opening fake"),
        ("WARNING", "live: receiving frames from fake"),
        ("WARNING", "lost: the cable is loose"),
        ("INFO", "connecting: opening fake"),
        ("WARNING", "lost: nothing is connected"),
    ]


class RecordingSink:
    """Sink that records its calls: states, frame sizes, start and end."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self, *_: object) -> None:
        self.calls.append("start")

    def write(self, frame: Frame, _: Result) -> None:
        self.calls.append("x".join(map(str, frame.image.shape[1::-1])))

    def source_state(self, state: SourceState) -> None:
        self.calls.append(state.state)

    def __enter__(self) -> RecordingSink:
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append("end")


def test_run_continues_at_another_size_and_reports_states_to_its_sinks(classifier: EmotionClassifier) -> None:
    source, _ = live_source(SourceSequence(failing_source(1, SMALL)), failing_source(1), retries=0)
    source.patience = Patience(retries=1)
    sink = RecordingSink()
    pipeline = Pipeline(FakeDetector([Box(5, 5, 20, 20)]), classifier)
    with source, pytest.raises(SourceLostError):
        run(source, pipeline, [sink])
    assert sink.calls == [
        "start", "connecting", "live", "80x60", "lost", "connecting", "live", "40x30", "lost", "connecting", "lost",
        "end",
    ]  # fmt: skip
