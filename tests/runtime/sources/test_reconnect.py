"""Sources that stall, die and come back: on fakes without a clock, and on a real server over loopback."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import Box, EmotionClassifier, Pipeline, SourceError, SourceLostError, open_source, run
from edgeinfer.results import Frame, Result, SourceState
from edgeinfer.sources.base import Source
from edgeinfer.sources.connection import open_within
from edgeinfer.sources.live import MAX_STUCK_READS, LiveSource
from edgeinfer.sources.retry import Patience, Retries
from tools.fakes import FakeDetector, FakeSource
from tools.mjpeg_server import Behaviour, MjpegServer
from tools.patience import PATIENCE
from tools.programs import running

PICTURE = np.full((60, 80, 3), 250, np.uint8)
SMALL = np.full((30, 40, 3), 250, np.uint8)
LOST = SourceLostError("the cable is loose")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.sources.live.backoff_s", lambda failures: 0.01)


class HangingSource(FakeSource):
    """Gives a frame, then never returns from the next read until it is let go."""

    released = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(PICTURE, 0, 0.0, time.monotonic())
        self.released.wait()
        yield Frame(PICTURE, 1, 0.0, time.monotonic())


class Plug:
    """Opens one prepared source after the other; an error in their place is raised."""

    def __init__(self, *lives: Source | Exception) -> None:
        self._lives, self.opened = list(lives), 0

    def __call__(self) -> Source:
        self.opened += 1
        life = self._lives.pop(0) if self._lives else SourceError("nothing is plugged in")
        if isinstance(life, Exception):
            raise life
        return life


def live(
    plug: Callable[[], Source], first: Source | None, *, retries: Retries | None = 3, stall_s: float = 20.0
) -> tuple[LiveSource, list[str]]:
    states: list[str] = []
    source = LiveSource(first, name="door", reopen=plug, patience=Patience(stall_s=stall_s, retries=retries))
    source.listener = lambda state: states.append(state.state)
    return source, states


def lossy(frames: int = 2, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = PICTURE) -> FakeSource:
    return FakeSource([image] * frames, error=LOST)


def last_indices(source: LiveSource) -> tuple[list[Frame], SourceError]:
    given: list[Frame] = []
    with source, pytest.raises(SourceError) as error:
        given.extend(source)
    return given, error.value


def test_what_is_lost_is_opened_again_and_counts_on() -> None:
    plug = Plug(lossy(), SourceError("still booting"), lossy(3, SMALL))
    source, states = live(plug, lossy(), retries=2)
    given, error = last_indices(source)
    assert isinstance(error, SourceLostError)
    assert error.exit_code == 7
    assert "could not be reopened" in str(error)
    assert source.reconnects == 2
    assert len(given) + source.dropped == 7
    assert given[-1].index == 6
    assert given[-1].image.shape == SMALL.shape
    times = [frame.timestamp_s for frame in given]
    assert times == sorted(times)
    good, bad = ["connecting", "live", "lost"], ["connecting", "lost"]
    assert states == good + good + bad + good + bad + bad
    assert plug.opened == 5


def test_good_frames_renew_the_tries() -> None:
    plug = Plug(*(life for _ in range(5) for life in (SourceError("no"), lossy())))
    source, _ = live(plug, lossy(), retries=2)
    last_indices(source)
    assert source.reconnects == 5


@pytest.mark.parametrize(("retries", "tries"), [(0, 0), (2, 2)])
def test_a_source_that_never_opened_is_no_lost_one(retries: int, tries: int) -> None:
    plug = Plug()
    source, states = live(plug, None, retries=retries)
    given, error = last_indices(source)
    assert (given, error.exit_code) == ([], 4)
    assert plug.opened == max(1, tries)
    assert states[0] == "lost"
    assert source.reconnects == 0


def test_a_source_that_opens_late_is_waited_for() -> None:
    source, states = live(Plug(SourceError("booting"), SourceError("booting"), lossy(1)), None, retries="forever")
    with source:
        assert next(iter(source)).index == 0
    assert states == ["lost", "connecting", "lost", "connecting", "lost", "connecting", "live"]
    assert source.reconnects == 0


def test_a_read_that_never_returns_is_noticed_left_behind_and_thrown_away() -> None:
    HangingSource.released.clear()
    hanging = HangingSource([])
    source, states = live(Plug(lossy(1)), hanging, retries=0, stall_s=0.2)
    given: list[int] = []
    with source, pytest.raises(SourceLostError):
        given.extend(frame.index for frame in source)
    assert given == [0]
    assert states == ["connecting", "live", "stalled"]
    source, states = live(Plug(lossy(1)), HangingSource([]), retries=1, stall_s=0.2)
    with source:
        frames = iter(source)
        assert [next(frames).index, next(frames).index] == [0, 1]
        HangingSource.released.set()  # what it gives now belongs to nobody
        with pytest.raises(SourceLostError):
            next(frames)
    assert states[:5] == ["connecting", "live", "stalled", "connecting", "live"]


def test_reads_that_hang_do_not_pile_up() -> None:
    HangingSource.released.clear()
    lives = [HangingSource([]) for _ in range(20)]
    plug = Plug(*lives)
    source, _ = live(plug, HangingSource([]), retries="forever", stall_s=0.05)
    before = threading.active_count()
    with source:
        frames = iter(source)
        for _ in range(MAX_STUCK_READS):
            next(frames)
        ended = threading.Timer(0.5, HangingSource.released.set)
        ended.start()
        next(frames)  # only when one of them came back
        ended.join()
    assert plug.opened == MAX_STUCK_READS
    assert threading.active_count() <= before + MAX_STUCK_READS + 1


def test_opening_that_never_returns_is_given_up() -> None:
    never = threading.Event()

    def opening() -> Source:
        never.wait()
        return lossy()

    with pytest.raises(SourceError, match=r"door could not be opened within 0\.1 s"):
        open_within(0.1, opening, "door")
    never.set()


def test_a_bug_is_not_retried() -> None:
    source, _ = live(Plug(lossy()), FakeSource([PICTURE], error=ZeroDivisionError()))
    with source, pytest.raises(ZeroDivisionError):
        list(source)


class FaceLocator:
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def start(self, *_: object) -> None:
        self.told.append("start")

    def write(self, frame: Frame, _: Result) -> None:
        self.told.append("x".join(map(str, frame.image.shape[1::-1])))

    def source_state(self, state: SourceState) -> None:
        self.told.append(state.state)

    def __enter__(self) -> FaceLocator:
        return self

    def __exit__(self, *_: object) -> None:
        self.told.append("end")


def test_a_run_goes_on_at_another_size_and_tells_its_sinks(classifier: EmotionClassifier) -> None:
    source, _ = live(Plug(lossy(1, SMALL)), lossy(1), retries=0)
    source.patience = Patience(retries=1)
    sink = FaceLocator()
    pipeline = Pipeline(FakeDetector([Box(5, 5, 20, 20)]), classifier)
    with source, pytest.raises(SourceLostError):
        run(source, pipeline, [sink])
    assert sink.told == [
        "start", "connecting", "live", "80x60", "lost", "connecting", "live", "40x30", "lost", "connecting", "lost",
        "end",
    ]  # fmt: skip


def test_a_server_that_fails_in_every_way_is_read_again(classifier: EmotionClassifier, tmp_path: Path) -> None:
    pipeline = Pipeline(FakeDetector([Box(5, 5, 20, 20)]), classifier)
    waited = threading.Event()
    with MjpegServer() as server:
        patience = Patience(stall_s=1.0 * PATIENCE, open_s=10.0 * PATIENCE, retries=100)
        with open_source(server.url, patience=patience) as source:
            assert isinstance(source, LiveSource)
            failures = iter(["die", "stall", "garbage", "refuse"])
            sizes: set[tuple[int, int]] = set()

            def fail(frame: Frame, _: Result) -> None:
                """Break the server off five frames into each connection."""
                sizes.add((frame.image.shape[1], frame.image.shape[0]))
                seen.append(frame.index)
                if len(seen) % 5 == 0:
                    behaviour = next(failures, None)
                    server.behaviour = behaviour or "play"  # type: ignore[assignment]
                    if behaviour is None:
                        waited.set()
                    else:
                        threading.Timer(1.5 * PATIENCE, restore).start()

            def restore() -> None:
                server.size_wh = (server.size_wh[0] + 16, server.size_wh[1])
                server.behaviour = "play"

            seen: list[int] = []
            states: list[str] = []
            source.listener = lambda state: states.append(state.state)
            for frame in source:
                fail(frame, pipeline(frame.image, timestamp_s=frame.timestamp_s))
                if waited.is_set():
                    break
    assert source.reconnects >= 3  # refusing does not break a connection that is there
    assert "stalled" in states
    assert "lost" in states
    assert len(sizes) >= 3
    assert seen == sorted(seen)


def edgeinfer(*arguments: str, retries: str) -> AbstractContextManager[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "edgeinfer", "run", *arguments, "--detector", "none", "--retries", retries]
    return running(command, stderr=subprocess.PIPE)


def lines_of(path: Path, kind: str) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [line for line in map(json.loads, text.splitlines()) if line["type"] == kind]


def wait_for(condition: Callable[[], object]) -> None:
    until_s = time.monotonic() + 30 * PATIENCE
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_the_command_ends_with_4_where_nothing_was_ever_there(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    with edgeinfer("http://127.0.0.1:9/none", "--out", str(out), retries="1") as run:
        errors = run.communicate(timeout=60 * PATIENCE)[1]
    assert run.returncode == 4
    assert "cannot be opened" in errors.splitlines()[-1]
    assert "Traceback" not in errors


def test_the_command_ends_with_7_and_whole_outputs_when_a_server_is_gone(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    with MjpegServer() as server, edgeinfer(server.url, "--out", str(out), retries="1") as run:
        wait_for(lambda: lines_of(out, "frame"))
        server.behaviour = "die"
        errors = run.communicate(timeout=60 * PATIENCE)[1]
    assert run.returncode == 7
    assert "could not be reopened" in errors.splitlines()[-1]
    assert [line["state"] for line in lines_of(out, "source")] == ["connecting", "live", "lost", "connecting", "lost"]
    summary = lines_of(out, "summary")[0]
    assert summary["frames"] == len(lines_of(out, "frame"))
    assert summary["reconnects"] == 0


@pytest.mark.parametrize("behaviour", ["stall", "die"], ids=["while-a-read-hangs", "while-it-waits-to-try-again"])
def test_a_signal_ends_the_command_at_once(tmp_path: Path, behaviour: Behaviour) -> None:
    out = tmp_path / "x.jsonl"
    with MjpegServer() as server, edgeinfer(server.url, "--out", str(out), retries="forever") as run:
        wait_for(lambda: lines_of(out, "frame"))
        server.behaviour = behaviour
        if behaviour == "die":
            wait_for(lambda: len(lines_of(out, "source")) >= 4)
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=30 * PATIENCE)
    assert run.returncode == 130
    assert len(lines_of(out, "summary")) == 1


def test_a_camera_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    with MjpegServer() as server:
        server.behaviour = "refuse"
        with edgeinfer(server.url, "--out", str(out), "--max-frames", "3", retries="forever") as run:
            wait_for(lambda: len(lines_of(out, "source")) >= 2)
            server.behaviour = "play"
            run.communicate(timeout=60 * PATIENCE)
    assert run.returncode == 0
    assert len(lines_of(out, "frame")) == 3


def test_credentials_never_come_up(caplog: pytest.LogCaptureFixture) -> None:
    with MjpegServer() as server:
        url = server.url.replace("http://", "http://me:secret@") + "?key=secret"
        with open_source(url, patience=Patience(retries=0)) as source:
            assert "secret" not in source.name
            server.behaviour = "die"
            with caplog.at_level("DEBUG"), pytest.raises(SourceLostError) as error:
                list(source)
    assert "secret" not in caplog.text + str(error.value) + repr(error.value.__cause__)
    assert "lost" in caplog.text
