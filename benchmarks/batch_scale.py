"""Memory, planning and resumption of a batch of many small pictures; used by `batch.py`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeinfer.readers.batch_list import STATE_FOLDER

FACE = Path(__file__).parents[1] / "tests" / "assets" / "face.jpg"
SIDE = 96
DISTINCT = 8
PER_FOLDER = 1000
STEP = 10_000
"""Number of finished sources over which the growth of memory is reported."""
POLL_S = 0.05
PLAN = """
import sys, time
from pathlib import Path
from edgeinfer.batch.planning import plan_batch
started = time.perf_counter()
plan = plan_batch([sys.argv[1]], Path(sys.argv[2]), per_picture=True)
print(len(plan.sources), time.perf_counter() - started)
"""


def make_pictures(folder: Path, number: int) -> None:
    """Write small JPEG files of a face in different brightness, 1,000 to a folder."""
    face = cv2.resize(np.asarray(cv2.imread(str(FACE)), np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    images = [np.clip(face * (0.6 + 0.1 * step), 0, 255).astype(np.uint8) for step in range(DISTINCT)]
    contents = [cv2.imencode(".jpg", image)[1].tobytes() for image in images]
    for start in range(0, number, PER_FOLDER):
        part = folder / f"{start // PER_FOLDER:04d}"
        part.mkdir(parents=True)
        for index in range(start, min(number, start + PER_FOLDER)):
            (part / f"{index:06d}.jpg").write_bytes(contents[index % DISTINCT])


@dataclass
class Run:
    """One call of `edgeinfer batch`, and samples of its progress.

    Attributes:
        pictures: Folder of the pictures.
        out: Folder of the results.
        samples: (seconds since the start, number of finished sources, resident memory of the parent in MiB).
        first_result_s: Time from the start until the first new result, or None.
        elapsed_s: Duration of the call.
    """

    pictures: Path
    out: Path
    samples: list[tuple[float, int, float]] = field(default_factory=list)
    first_result_s: float | None = None
    elapsed_s: float = 0.0

    def execute(self, *, kill_at: int | None = None) -> None:
        """Run the command to its end, or kill it when a number of sources is finished."""
        command = [sys.executable, "-m", "edgeinfer", "batch", str(self.pictures), "--per-picture", "--quiet"]
        finished = _line_counter(self.out / STATE_FOLDER / "manifest.jsonl")
        before, started_s = finished(), time.perf_counter()
        with subprocess.Popen([*command, "--out", str(self.out)]) as process:
            while process.poll() is None:
                time.sleep(POLL_S)
                number, now_s = finished(), time.perf_counter() - started_s
                if number > before and self.first_result_s is None:
                    self.first_result_s = now_s
                if (memory_mb := _memory_mb(process.pid)) is not None:
                    self.samples.append((now_s, number, memory_mb))
                if kill_at is not None and number >= kill_at:
                    process.send_signal(signal.SIGKILL)
                    kill_at = None
        self.elapsed_s = time.perf_counter() - started_s
        if process.returncode not in (0, -signal.SIGKILL):
            raise SystemExit(f"the batch ended with the exit code {process.returncode}")

    def growth_mb(self) -> list[float]:
        """Return the growth of memory over each 10,000 sources that were finished, and over the last part."""
        working = [sample for sample in self.samples if self.first_result_s and sample[0] >= self.first_result_s]
        marks = [working[0]]
        for sample in working:
            if sample[1] >= marks[-1][1] + STEP:
                marks.append(sample)
        if working[-1][1] > marks[-1][1] + STEP // 2 or len(marks) == 1:
            marks.append(working[-1])
        return [(after[2] - before[2]) * STEP / max(1, after[1] - before[1]) for before, after in pairwise(marks)]


def _line_counter(path: Path) -> Callable[[], int]:
    """Return a function that counts the complete lines of a growing file."""
    position = lines = 0

    def count() -> int:
        nonlocal position, lines
        if path.exists():
            with path.open("rb") as file:
                file.seek(position)
                new = file.read()
            position += new.rfind(b"\n") + 1
            lines += new.count(b"\n")
        return lines

    return count


def _memory_mb(process: int) -> float | None:
    """Return the resident memory of a process in MiB, or None if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), None)


def _thinned(samples: list[tuple[float, int, float]]) -> list[tuple[float, ...]]:
    """Return about 50 of the samples, rounded, for the results file."""
    step = max(1, len(samples) // 50)
    return [tuple(round(value, 2) for value in sample) for sample in samples[::step]]


def measure_scale(work: Path, number: int) -> dict[str, Any]:
    """Plan, process, kill, resume and repeat a batch of small pictures; print and return the figures."""
    pictures, out = work / "pictures", work / "out"
    make_pictures(pictures, number)
    planned = subprocess.run(
        [sys.executable, "-c", PLAN, str(pictures), str(out)], capture_output=True, text=True, check=True
    ).stdout.split()
    if int(planned[0]) != number:
        raise SystemExit(f"{number} sources expected, but the plan has {planned[0]}")
    killed, resumed, idle = (Run(pictures, out) for _ in range(3))
    killed.execute(kill_at=number // 2)
    resumed.execute()
    idle.execute()
    rows = (out / "batch.csv").read_text(encoding="utf-8").count("\n") - 1
    if rows != number or idle.first_result_s is not None:
        raise SystemExit(f"{number} rows expected, but batch.csv has {rows}")
    growth_mb = [*killed.growth_mb(), *resumed.growth_mb()]
    figures = {
        "pictures": number,
        "planning_s": float(planned[1]),
        "first_result_s": killed.first_result_s,
        "first_result_after_kill_s": resumed.first_result_s,
        "nothing_to_do_s": idle.elapsed_s,
        "growth_mb_per_10000": max(growth_mb),
        "pictures_per_s": number / (killed.elapsed_s + resumed.elapsed_s),
        "raw": {
            "growth_mb": growth_mb,
            "samples": {"killed": _thinned(killed.samples), "resumed": _thinned(resumed.samples)},
        },
    }
    print(f"planning {number} pictures: {figures['planning_s']:.2f} s")
    print(f"first result: {killed.first_result_s:.2f} s after the start, {resumed.first_result_s:.2f} s after a kill")
    print(f"nothing to do: {idle.elapsed_s:.2f} s")
    print(f"memory of the parent per {STEP} finished sources: {', '.join(f'{mb:+.2f}' for mb in growth_mb)} MB")
    return figures
