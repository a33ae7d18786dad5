"""Tests of the worker processes: jobs, errors, deaths and their end."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import edgeinfer
from edgeinfer.batch import local_pool
from edgeinfer.batch.jobs import Died, Finished, Kind, PoolEvent, Progress
from edgeinfer.batch.local_pool import LocalPool
from edgeinfer.batch.parallelism import choose_workers
from edgeinfer.batch.queue_depth import MAX_AHEAD
from edgeinfer.results import Image
from tools.batch_jobs import job, work_settings, write_pictures
from tools.batch_workers import end_at_start, report_tiny_jobs
from tools.patience import until


def events_of(pool: LocalPool) -> Callable[[], list[PoolEvent]]:
    """Return a function that returns all events so far, except progress."""
    events: list[PoolEvent] = []

    def collect() -> list[PoolEvent]:
        events.extend(event for event in pool.wait(0.05) if not isinstance(event, Progress))
        return events

    return collect


def processes(pool: LocalPool) -> list[int]:
    return [worker._process.pid or 0 for worker in pool._workers.values()]


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def long_video(tmp_path: Path, portrait: Image) -> Path:
    """Video that takes several seconds."""
    import cv2

    path = tmp_path / "long.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (256, 256))
    for _ in range(1500):
        writer.write(portrait)
    writer.release()
    return path


@pytest.mark.slow
def test_jobs_errors_and_deaths(
    tiny_model: Path, tmp_path: Path, clip: Path, portrait: Image, long_video: Path
) -> None:
    pictures = write_pictures(tmp_path, portrait, 3)
    with LocalPool(work_settings(tiny_model), 2) as pool:
        assert pool.capacity == 4
        assert pool.description == "2 workers"
        events = events_of(pool)
        pool.submit(job(tmp_path, clip, number=1))
        for number, picture in enumerate(pictures, 2):
            pool.submit(job(tmp_path, picture, number=number, kind="pictures"))
        until(lambda: len(events()) == 4)
        assert {event.job for event in events() if isinstance(event, Finished)} == {1, 2, 3, 4}
        assert all(isinstance(event, Finished) and event.outcome.status == "done" for event in events())
        workers = processes(pool)

        for number in workers:  # Ctrl-C reaches all processes of a terminal
            os.kill(number, signal.SIGINT)
        pool.submit(job(tmp_path, long_video, number=5))
        until(lambda: any(isinstance(event, Progress) for event in pool.wait(0.05)))
        running = next(worker for worker in pool._workers.values() if worker.jobs)
        for number in (6, 7, 8):
            pool.submit(job(tmp_path, pictures[0], number=number, kind="pictures"))
        os.kill(running._process.pid or 0, signal.SIGKILL)
        until(lambda: len(events()) == 8)
        assert [event for event in events() if isinstance(event, Died)] == [
            Died(5, "killed by SIGKILL, possibly out of memory")
        ]
        assert {event.job for event in events()[4:] if isinstance(event, Finished)} == {6, 7, 8}
        assert len(set(processes(pool)) - set(workers)) == 1

        pool.submit(job(tmp_path, long_video, number=9))
        until(lambda: any(isinstance(event, Progress) for event in pool.wait(0.05)))
        workers = processes(pool)
    assert not any(map(is_alive, workers))


@pytest.mark.slow
def test_errors_of_workers_end_the_batch(tiny_model: Path, tmp_path: Path, clip: Path) -> None:
    with (
        LocalPool(work_settings(tmp_path / "missing.onnx"), 1) as pool,
        pytest.raises(edgeinfer.ModelNotFoundError, match=r"missing\.onnx"),
    ):
        until(lambda: pool.wait(0.05))
    (tmp_path / "out").write_text("a file")
    with LocalPool(work_settings(tiny_model), 1) as pool:
        pool.submit(job(tmp_path / "out", clip))
        with pytest.raises(edgeinfer.OutputError, match="cannot write"):
            until(lambda: pool.wait(0.05))


def test_repeated_deaths_at_the_start_end_the_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(local_pool, "_serve", end_at_start)
    with LocalPool(work_settings(), 1) as pool:
        pool.submit(job(tmp_path, tmp_path))
        with pytest.raises(edgeinfer.CapabilityError, match=r"end while they start \(ended with exit code 3\)"):
            until(lambda: pool.wait(0.05))


@pytest.mark.parametrize("kind", ["video", "pictures"])
def test_tiny_jobs_are_sent_ahead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: Kind) -> None:
    monkeypatch.setattr(local_pool, "_serve", report_tiny_jobs)
    with LocalPool(work_settings(), 1) as pool:
        events = events_of(pool)
        pool.submit(job(tmp_path, tmp_path, number=0, kind=kind))
        until(events)
        assert pool.capacity == MAX_AHEAD["pictures"] + 2
        for number in range(1, 100):
            pool.submit(job(tmp_path, tmp_path, number=number, kind=kind))
        assert len(next(iter(pool._workers.values())).jobs) == MAX_AHEAD[kind] + 1
        until(lambda: len(events()) == 100)
        assert [event.job for event in events()] == list(range(100))


def test_process_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(local_pool, "_WorkerProcess", fail)
    with pytest.raises(edgeinfer.CapabilityError, match="Resource temporarily unavailable; use a smaller number"):
        LocalPool(work_settings(), 1).__enter__()


@pytest.mark.parametrize(
    "error", [edgeinfer.OutputError("cannot write x"), edgeinfer.ModelError("damaged"), edgeinfer.UsageError("`x`")]
)
def test_errors_survive_the_pipe(error: edgeinfer.EdgeInferError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.exit_code) == (type(error), str(error), error.exit_code)


def test_parent_loads_no_native_library(tmp_path: Path) -> None:
    script = (
        "import sys; import edgeinfer.batch.engine, edgeinfer.batch.local_pool, edgeinfer.batch.state\n"
        "print([name for name in ('cv2', 'onnxruntime', 'numpy', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "meminfo").write_text("MemTotal:  4000000 kB\nMemAvailable:  2000000 kB\n")
    return tmp_path


@pytest.mark.parametrize(
    ("cores", "group", "expected"),
    [
        (4, {}, "4 workers (4 cores, 2.0 GB of memory available)"),
        (64, {}, "6 workers (64 cores, 2.0 GB of memory available)"),
        (1, {}, "1 worker (1 core, 2.0 GB of memory available)"),
        (64, {"cpu.max": "250000 100000\n"}, "3 workers (3 cores, 2.0 GB of memory available)"),
        (4, {"cpu.max": "max 100000\n", "memory.max": "max\n"}, "4 workers (4 cores, 2.0 GB of memory available)"),
        (
            4,
            {"memory.max": "1000000000\n", "memory.current": "600000000\n", "memory.stat": "inactive_file 300000000\n"},
            "2 workers (4 cores, 0.7 GB of memory available)",
        ),
        (
            4,
            {"memory.max": "100000000\n", "memory.current": "200000000\n"},
            "1 worker (4 cores, 0.0 GB of memory available)",
        ),
    ],
)
def test_automatic_number_of_workers(
    machine: Path, monkeypatch: pytest.MonkeyPatch, cores: int, group: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr("edgeinfer.batch.parallelism.usable_cores", lambda: cores)
    for name, content in group.items():
        (machine / name).write_text(content)
    number, description = choose_workers(process=machine, group=machine)
    assert description == expected
    assert description.startswith(str(number))


def test_unknown_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.batch.parallelism.usable_cores", lambda: 2)
    assert choose_workers(process=tmp_path, group=tmp_path) == (2, "2 workers (2 cores)")
