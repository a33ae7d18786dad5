"""Efficiency of the workers of a batch, its overhead, and its cost with many sources.

    python benchmarks/batch.py [--seconds N] [--rounds N] [--work FOLDER]
    python benchmarks/batch.py --scale [N] [--work FOLDER]

The first form processes 24 clips of different lengths, cut from the demo clip and the clip of the tests, with one and
two workers, with Ray, and with a shell loop of `edgeinfer run`, alternately. Times are wall-clock times of the whole
command; the minimum of the rounds counts. For Ray and the local workers that it is compared with, the start-up is left
out: the time runs from the start of the first source to the end of the last one. The machine must be idle.

--scale processes N small pictures (default 100,000) with --per-picture, kills the batch with SIGKILL after a half,
and starts it again; see `batch_scale.py`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from batch_scale import measure_scale
from common import save_results
from edgeinfer import open_source
from edgeinfer.batch.manifest import Manifests
from edgeinfer.model.card import asset_path
from edgeinfer.readers.batch_list import STATE_FOLDER
from edgeinfer.results import Image

CLIPS = 24
FPS = 25
COMMAND = (sys.executable, "-m", "edgeinfer")
SAMPLES = (asset_path("demo.mp4"), Path(__file__).parents[1] / "tests" / "assets" / "clip.mp4")
LOOP = 'for clip in "$1"/*.mp4; do "$3" -m edgeinfer run "$clip" --out "$2/$(basename "$clip" .mp4).csv" --quiet; done'


@dataclass(frozen=True)
class Times:
    """Times of one command in seconds.

    Attributes:
        wall_s: Whole command.
        working_s: From the start of the first source to the end of the last one; NaN for a loop.
    """

    wall_s: float
    working_s: float = float("nan")


def make_clips(folder: Path, seconds: float) -> None:
    """Write clips of 0.4 to 1.6 times the given mean duration; each plays a sample forward and backward."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(1)
    samples = [_frames(path) for path in SAMPLES]
    for number in range(CLIPS):
        frames = samples[0 if number % 3 else 1]
        length = max(2, round(FPS * seconds * generator.uniform(0.4, 1.6)))
        size_wh = (frames[0].shape[1], frames[0].shape[0])
        writer = cv2.VideoWriter(str(folder / f"{number:02d}.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), FPS, size_wh)
        for index in _back_and_forth(len(frames), length):
            writer.write(frames[index])
        writer.release()


def _frames(path: Path) -> list[Image]:
    with open_source(str(path)) as source:
        return [np.array(frame.image) for frame in source]


def _back_and_forth(frames: int, length: int) -> Iterator[int]:
    period = 2 * (frames - 1)
    for number in range(length):
        yield min(number % period, period - number % period)


def run_batch(clips: Path, out: Path, *options: str) -> Times:
    """Process all clips with `edgeinfer batch` and return the times."""
    with _emptied(out):
        started_s = time.perf_counter()
        subprocess.run([*COMMAND, "batch", str(clips), "--out", str(out), "--quiet", *options], check=True)
        wall_s = time.perf_counter() - started_s
        manifests = Manifests(out / STATE_FOLDER, "manifest.jsonl")
        manifests.open()
        entries = list(manifests.values())
        manifests.close()
    if len(entries) != CLIPS or any(entry.failed for entry in entries):
        raise SystemExit(f"{CLIPS} sources expected, but the batch has {entries}")
    first_s = min(entry.finished_s - entry.outcome.elapsed_s for entry in entries)
    return Times(wall_s, max(entry.finished_s for entry in entries) - first_s)


def run_loop(clips: Path, out: Path, *options: str) -> Times:
    """Process all clips with a shell loop of `edgeinfer run` and return the time."""
    with _emptied(out):
        out.mkdir()
        started_s = time.perf_counter()
        script = LOOP.replace("--quiet", " ".join(("--quiet", *options)))
        subprocess.run(["bash", "-ec", script, "loop", str(clips), str(out), sys.executable], check=True)
        return Times(time.perf_counter() - started_s)


@contextmanager
def _emptied(folder: Path) -> Iterator[None]:
    shutil.rmtree(folder, ignore_errors=True)
    yield
    shutil.rmtree(folder, ignore_errors=True)


def measure_speed(work: Path, seconds: float, rounds: int) -> dict[str, Any]:
    """Run all variants alternately, print the ratios, and return them with the raw times."""
    clips, out = work / "clips", work / "out"
    make_clips(clips, seconds)
    variants: dict[str, Callable[[], Times]] = {
        "one worker": lambda: run_batch(clips, out, "--workers", "1"),
        "two workers": lambda: run_batch(clips, out, "--workers", "2"),
        "loop": lambda: run_loop(clips, out),
        "loop, one thread": lambda: run_loop(clips, out, "--threads", "1"),
    }
    if importlib.util.find_spec("ray") is None:
        print("Ray is not installed and is left out; install it with: pip install 'edgeinfer[ray]'")
    else:
        variants["Ray, two workers"] = lambda: run_batch(clips, out, "--ray", "local", "--workers", "2")
    times: dict[str, list[Times]] = {name: [] for name in variants}
    for number in range(rounds):
        for name, variant in variants.items():
            times[name].append(variant())
            print(f"round {number + 1}: {name} {times[name][-1].wall_s:.1f} s", flush=True)
    return _ratios(times)


def _ratios(times: dict[str, list[Times]]) -> dict[str, Any]:
    wall_s = {name: min(each.wall_s for each in values) for name, values in times.items()}
    working_s = {name: min(each.working_s for each in values) for name, values in times.items()}
    figures: dict[str, Any] = {
        "efficiency": wall_s["one worker"] / (2 * wall_s["two workers"]),
        "overhead": wall_s["one worker"] / wall_s["loop"],
        "overhead_one_thread": wall_s["one worker"] / wall_s["loop, one thread"],
    }
    print(f"efficiency of two workers: {figures['efficiency']:.3f}")
    print(f"one worker relative to a loop of `edgeinfer run`: {figures['overhead']:.3f}")
    print(f"one worker relative to a loop with --threads 1: {figures['overhead_one_thread']:.3f}")
    if "Ray, two workers" in times:
        figures["ray"] = working_s["two workers"] / working_s["Ray, two workers"]
        print(f"speed of Ray relative to local workers, without start-up: {figures['ray']:.3f}")
    return figures | {"raw": {name: [asdict(each) for each in values] for name, values in times.items()}}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=12, help="mean duration of a clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=int, nargs="?", const=100_000, metavar="N", help="number of small pictures")
    parser.add_argument(
        "--work", type=Path, help="folder for the clips, pictures and results; default: a temporary one"
    )
    options = parser.parse_args()
    print(f"load average before the measurement: {os.getloadavg()[0]:.2f}")
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        if options.scale is None:
            save_results("batch", measure_speed(Path(folder), options.seconds, options.rounds))
        else:
            save_results("batch_scale", measure_scale(Path(folder), options.scale))


if __name__ == "__main__":
    main()
