"""Detection rate and speed of a run with the cascade and with YuNet.

    python benchmarks/detectors.py [CLIP...] [--pictures FILE...] [--yunet FILE] [--enlarge HEIGHT...] [--rounds N]

The demo clip and the clip of the tests are always measured, then those named, then clips generated from --pictures (see
`made_clips.py`). The reference is YuNet at full size on every frame, see `face_runs.ground_truth` and `score`. --yunet
takes another model file than that of the extra `yunet`.

All variants take turns in one process, on one core, with their models loaded; the fastest round counts. The plain loop,
which takes the longest, runs once. Times are CPU times. --enlarge repeats the demo clip and the first CLIP in larger
versions and reports what their runs cost without decoding, relative to the original: the CPU time of the thread of the
run outside its source.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from common import save_results
from edgeinfer import Box, EmotionClassifier, Pipeline, load_pipeline
from edgeinfer.detection.yunet_file import find_yunet
from edgeinfer.model.card import asset_path
from face_runs import Boxes, boxes_of, frames, ground_truth, plain_detector, run_clocked, run_loop, score
from made_clips import make

CLIPS = (asset_path("demo.mp4"), Path(__file__).parents[1] / "tests" / "assets" / "clip.mp4")
TARGETS = {"found": 0.97, "false": 0.10, "geometric mean": 1.2, "every clip": 1.0}
"""Lowest share of the faces found, most false boxes per frame, and lowest speed relative to the cascade's run."""

START = """
import resource, sys, time
started = time.perf_counter()
import edgeinfer
from edgeinfer.model.card import asset_path
pipeline, first_s = edgeinfer.load_pipeline(detector=sys.argv[1]), None
with edgeinfer.open_source(asset_path("demo.mp4")) as source:
    for frame in source:
        pipeline(frame.image, timestamp_s=frame.timestamp_s)
        first_s = first_s or time.perf_counter() - started
print(first_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
"""Program that prints the seconds to the first result and the highest memory in MB."""


def enlarge(clip: Path, height: int, folder: Path) -> Path:
    """Write a larger version of a clip, with its frame rate, and return its path."""
    path = folder / f"{clip.stem}-{height}.mp4"
    capture = cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG)
    fps, width = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_WIDTH)
    size_wh = round(width * height / capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), height
    capture.release()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size_wh)
    for image in frames(clip):
        writer.write(cv2.resize(image, size_wh, interpolation=cv2.INTER_CUBIC))
    writer.release()
    return path


class Comparison:
    """Runs of all variants over clips, with their models loaded once."""

    def __init__(self, yunet: Path, out: Path, rounds: int) -> None:
        """Load the models; `out` is a temporary file for the results of runs."""
        self._yunet, self._rounds = yunet, rounds
        classifier, plain = EmotionClassifier.load(), plain_detector()
        haar, network = load_pipeline(), load_pipeline(detector="yunet", detector_model=yunet)
        self._variants: dict[str, Callable[[Path], Any]] = {
            "decoding": lambda clip: sum(1 for _ in frames(clip)),
            "plain": lambda clip: run_loop(clip, plain, classifier),
            "cascade": lambda clip: self._run("cascade", clip, haar),
            "yunet": lambda clip: self._run("yunet", clip, network),
        }
        self._out, self._processing_s = out, dict[str, list[float]]()

    def _run(self, name: str, clip: Path, pipeline: Pipeline) -> Boxes:
        lines, processing_s = run_clocked(clip, self._out, pipeline)
        self._processing_s.setdefault(name, []).append(processing_s)
        return boxes_of(lines)

    def measure(self, clip: Path, *names: str, original: Path | None = None) -> dict[str, Any]:
        """Return the milliseconds per frame and the scores of some variants; all of them without names.

        The cost of a run is its milliseconds per frame without decoding.

        The reference of an enlarged clip is that of its original, because YuNet misses faces of more than 300 pixels.
        """
        variants = {name: self._variants[name] for name in names or self._variants}
        raw: dict[str, list[float]] = {name: [] for name in variants}
        last: dict[str, Any] = {}
        self._processing_s.clear()
        for number in range(self._rounds):
            for name, function in variants.items():
                if number and name == "plain":
                    continue
                started = time.process_time()
                last[name] = function(clip)
                raw[name].append(time.process_time() - started)
        count = last.pop("decoding")
        zoom = 1.0 if original is None else _height(clip) / _height(original)
        truth, candidates = (_scaled(boxes, zoom) for boxes in ground_truth(original or clip, self._yunet))
        return {
            "frames": count,
            "ms": {name: 1000 * min(times) / count for name, times in raw.items()},
            "raw_seconds": raw,
            "cost": {name: 1000 * min(times) / count for name, times in self._processing_s.items()},
            "scores": {name: score(boxes, truth, candidates) for name, boxes in last.items()},
        }


def _height(clip: Path) -> float:
    return cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_HEIGHT)


def _scaled(boxes: Boxes, zoom: float) -> Boxes:
    return [[Box(*(round(zoom * side) for side in box.xywh)) for box in frame] for frame in boxes]


def row(clip: str, figures: dict[str, Any]) -> str:
    """Return the figures of one clip as a row of a Markdown table."""
    ms, scores = figures["ms"], figures["scores"]
    found = (f"{scores[name]['recall']:.3f} ({scores[name]['false_a_frame']:.2f})" if name in scores else "-"
             for name in ("plain", "cascade", "yunet"))  # fmt: skip
    faster = [f"{ms['plain'] / ms[name]:.0f}" if "plain" in ms else "-" for name in ("cascade", "yunet")]
    return (
        f"| {clip} | {scores['yunet']['faces']} | {' | '.join(found)} | {ms['decoding']:.2f} | {ms['cascade']:.2f} | "
        f"{ms['yunet']:.2f} | {' | '.join(faster)} | {ms['cascade'] / ms['yunet']:.2f} |"
    )


def compare_sizes(comparison: Comparison, clips: list[Path], heights: list[int], folder: Path) -> dict[str, Any]:
    """Print and return the cost of larger versions of clips, relative to the original and without decoding."""
    costs: dict[str, Any] = {}
    for clip in clips:
        for height in (None, *heights):
            path = clip if height is None else enlarge(clip, height, folder)
            figures = comparison.measure(path, "decoding", "cascade", "yunet", original=clip)
            print(row(path.stem, figures), flush=True)
            costs[path.stem] = figures
            for name, cost in figures["cost"].items() if height else ():
                print(f"    {name}: {cost / costs[clip.stem]['cost'][name]:.2f} times the cost of the original")
    return costs


def measure_start(detector: str, rounds: int) -> tuple[float, float]:
    """Return the shortest time to the first result of the demo clip in a new process, in seconds, and the memory in MB.

    The time includes all imports; the memory is the highest of the whole clip.
    """
    runs = [
        subprocess.run((sys.executable, "-c", START, detector), capture_output=True, text=True, check=True).stdout
        for _ in range(rounds)
    ]
    numbers = [tuple(map(float, run.split())) for run in runs]
    return min(seconds for seconds, _ in numbers), min(memory for _, memory in numbers)


def find_failures(results: dict[str, Any], mean: float) -> list[str]:
    """Return the targets that YuNet misses, as sentences."""
    failures = [] if mean >= TARGETS["geometric mean"] else [f"geometric mean {mean:.2f}"]
    for clip, figures in results.items():
        scores, ratio = figures["scores"]["yunet"], figures["ms"]["cascade"] / figures["ms"]["yunet"]
        if scores["recall"] < TARGETS["found"]:
            failures.append(f"{clip}: found {scores['recall']:.3f}")
        if scores["false_a_frame"] > TARGETS["false"]:
            failures.append(f"{clip}: {scores['false_a_frame']:.3f} false boxes per frame")
        if ratio <= TARGETS["every clip"]:
            failures.append(f"{clip}: {ratio:.2f} times the speed of the cascade's run")
    return failures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clips", type=Path, nargs="*")
    parser.add_argument("--pictures", type=Path, nargs="+", default=[])
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--enlarge", type=int, nargs="+", default=[], metavar="HEIGHT")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = [*CLIPS, *options.clips, *(make(folder, options.pictures) if options.pictures else [])]
        comparison = Comparison(options.yunet or find_yunet(), folder / "x.jsonl", options.rounds)
        print("| clip | faces | found (false) plain | cascade | yunet | decoding, ms | cascade, ms | yunet, ms | "
              "cascade / plain | yunet / plain | yunet / cascade |\n|" + " --- |" * 11)  # fmt: skip
        results = {}
        for clip in clips:
            results[clip.stem] = comparison.measure(clip)
            print(row(clip.stem, results[clip.stem]), flush=True)
        originals = [clips[0], *options.clips][:2] if options.enlarge else []
        sizes = compare_sizes(comparison, originals, options.enlarge, folder)
    mean = statistics.geometric_mean(r["ms"]["cascade"] / r["ms"]["yunet"] for r in results.values())
    print(f"geometric mean over {len(results)} clips: {mean:.2f} times as fast as with the cascade")
    plain = [r["ms"]["plain"] / r["ms"]["cascade"] for r in results.values()]
    print(f"cascade: {statistics.geometric_mean(plain):.1f} times as fast as the plain loop, at least {min(plain):.1f}")
    starts = {name: measure_start(name, options.rounds) for name in ("haar", "yunet")}
    for name, (seconds, memory) in starts.items():
        print(f"{name}: first result after {seconds:.2f} s, {memory:.0f} MB")
    for failure in find_failures(results, mean):
        print(f"misses its target: {failure}")
    save_results("detectors", {"ratio": mean, "clips": results, "sizes": sizes, "starts": starts})


if __name__ == "__main__":
    main()
