"""Live runs on simulated boards that are 10 and 30 times as slow, with and without the time budget.

    python benchmarks/slow_board.py [CLIP...] [--factors N...] [--seconds N]

The demo clip and the clip of the tests are always measured, then those named; each is played forwards and backwards
until it lasts --seconds. Time is simulated: processing takes its CPU time multiplied by the factor, and a camera
delivers the frames at the rate of the clip; it keeps the newest frame and drops the others, as `LiveSource` does.
Decoding is not included, because a live source decodes in a thread of its own, on another core. Latency is the time
from the capture of a frame to its result, in units of the mean interval between results within a second before and
after it.

The reference is YuNet at full size on every frame, see `face_runs.ground_truth`. The first found share compares each
result with its own frame. The second compares every frame of the camera with the latest result when the next one
arrives, so that it also counts late results ("streaming accuracy", Li et al. 2020, doi:10.1007/978-3-030-58536-5_28).
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import common
from edgeinfer import Box, Emotion, EmotionClassifier, Pipeline, Result, open_source
from edgeinfer.detection.factory import create_detector
from edgeinfer.detection.yunet_file import find_yunet
from edgeinfer.model.card import asset_path
from edgeinfer.results import Frame, Image
from face_runs import Boxes, frames, ground_truth, score

CLIPS = (asset_path("demo.mp4"), Path(__file__).parents[1] / "tests" / "assets" / "clip.mp4")
WINDOW_S = 1.0
"""Time to each side of a result over which the achieved frame rate is measured, in seconds."""
REFERENCE = np.random.default_rng(0).integers(0, 255, (180, 320), np.uint8)


def reference_s() -> float:
    """Return the CPU time of a fixed task in seconds."""
    started_s = time.thread_time()
    cv2.GaussianBlur(REFERENCE, (0, 0), 3)
    return time.thread_time() - started_s


class SlowClock:
    """Clock of a slower board: CPU time of this thread multiplied by a factor, plus the time spent waiting.

    Other programs slow this machine down. The CPU time is therefore divided by the current time of a fixed task,
    relative to its shortest time.
    """

    def __init__(self, factor: float) -> None:
        """Start at 0."""
        self._factor, self._now_s = factor, 0.0
        self._shortest_s = self._average_s = min(reference_s() for _ in range(100))
        self._last_s = time.thread_time()

    def __call__(self) -> float:
        """Return the time in seconds."""
        last_s, self._last_s = self._last_s, time.thread_time()
        self._now_s += self._factor * self._shortest_s / self._average_s * (self._last_s - last_s)
        return self._now_s

    def wait_until(self, due_s: float) -> None:
        """Advance the time without work, and measure the fixed task."""
        self._now_s = max(self(), due_s)
        self._average_s += 0.3 * (reference_s() - self._average_s)
        self._average_s = max(self._average_s, self._shortest_s)
        self._last_s = time.thread_time()


class Camera:
    """Camera with simulated time.

    Attributes:
        interval_s: Time between two frames in seconds.
        dropped: Number of frames that were replaced by newer ones.
    """

    def __init__(self, images: list[Image], fps: float, seconds: float, clock: SlowClock) -> None:
        """Show images forwards and backwards; the first one at the current time."""
        self._images, self._clock = images, clock
        self.interval_s, self.dropped = 1 / fps, 0
        self._count = round(seconds * fps)

    def order(self) -> list[int]:
        """Return the index of the image at each position."""
        there_and_back = itertools.chain(range(len(self._images)), range(len(self._images) - 2, 0, -1))
        return list(itertools.islice(itertools.cycle(list(there_and_back)), self._count))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frame each time; wait if there is none."""
        order, start_s, index = self.order(), self._clock(), -1
        while index + 1 < self._count:
            arrived = int((self._clock() - start_s) / self.interval_s)
            newest = min(max(arrived, index + 1), self._count - 1)
            self._clock.wait_until(start_s + newest * self.interval_s)
            self.dropped += newest - index - 1
            index = newest
            due_s = index * self.interval_s
            yield Frame(self._images[order[index]], index, due_s, start_s + due_s)


class CountingClassifier:
    """Classifier that counts the faces.

    Attributes:
        count: Number of classified faces.
    """

    def __init__(self, classifier: EmotionClassifier) -> None:
        """Wrap a classifier."""
        self._classifier, self.count = classifier, 0
        self.labels, self.margin = classifier.labels, classifier.margin

    def classify(self, crops: Any) -> list[Emotion]:
        """Classify faces."""
        self.count += len(crops)
        return self._classifier.classify(crops)


def play(camera: Camera, clock: SlowClock, pipeline: Pipeline) -> list[tuple[Frame, Result, float]]:
    """Return each processed frame with its result and the time at which it was complete."""
    results = []
    for frame in camera:
        result = pipeline(frame.image, timestamp_s=frame.timestamp_s)
        results.append((frame, result, clock()))
    return results


def measure(
    images: list[Image], fps: float, truth: tuple[Boxes, Boxes], detector: str, factor: float, *, budget: bool,
    seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """Return the figures of one run."""
    classifier = CountingClassifier(EmotionClassifier.load())
    pipeline = Pipeline(create_detector(detector), classifier)
    pipeline(np.zeros_like(images[0]))  # the first call initializes libraries
    pipeline.reset()
    clock = SlowClock(factor)
    pipeline.keep_pace(budget, clock=clock)
    camera = Camera(images, fps, seconds, clock)
    classifier.count = 0
    results = play(camera, clock, pipeline)
    order = camera.order()
    faces, candidates = ([boxes[index] for index in order] for boxes in truth)
    processed = [frame.index for frame, _, _ in results]
    own = score([_boxes(result) for _, result, _ in results],
                [faces[n] for n in processed], [candidates[n] for n in processed])  # fmt: skip
    shown = score(_shown(results, len(order)), faces, candidates)
    ends_s = [end_s for _, _, end_s in results]
    intervals_s = np.diff(ends_s)
    interval_s = (ends_s[-1] - ends_s[0]) / max(1, len(ends_s) - 1)
    latencies_s = np.array([end_s - (frame.captured_s or 0.0) for frame, _, end_s in results])
    relative = latencies_s / _local_intervals_s(np.array(ends_s), camera.interval_s)
    face_s = sum(len(result.faces) * gap_s for (_, result, _), gap_s in zip(results, intervals_s, strict=False))
    p50, p95, highest = (float(np.percentile(relative, q)) for q in (50, 95, 100))
    return {
        "found": own["recall"], "false_a_frame": own["false_a_frame"], "found_in_time": shown["recall"],
        "false_in_time": shown["false_a_frame"],
        "fps": 1 / interval_s, "camera_fps": fps, "frames": len(order), "dropped": camera.dropped,
        "latency_intervals": {"p50": p50, "p95": p95, "max": highest},
        "late_share": float(np.mean(relative > 2)),
        "latency_ms": {f"p{q}": 1000 * float(np.percentile(latencies_s, q)) for q in (50, 95)},
        "classifications_per_face_s": classifier.count / face_s if face_s else 0.0,
    }  # fmt: skip


def _local_intervals_s(ends_s: NDArray[np.float64], shortest_s: float) -> NDArray[np.float64]:
    """Return the mean interval around each result, over `WINDOW_S` and at least two results to both sides."""
    order = np.arange(len(ends_s))
    first = np.maximum(0, np.minimum(order - 2, np.searchsorted(ends_s, ends_s - WINDOW_S)))
    last = np.minimum(len(ends_s) - 1, np.maximum(order + 2, np.searchsorted(ends_s, ends_s + WINDOW_S)))
    return np.asarray(np.maximum(shortest_s, (ends_s[last] - ends_s[first]) / np.maximum(1, last - first)))


def _boxes(result: Result) -> list[Box]:
    return [face.box for face in result.faces]


def _shown(results: list[tuple[Frame, Result, float]], count: int) -> Boxes:
    """Return the boxes of the latest complete result for each frame of the camera, when the next one arrives."""
    start_s = (results[0][0].captured_s or 0.0) - results[0][0].timestamp_s
    interval_s = max(frame.timestamp_s for frame, _, _ in results) / max(1, results[-1][0].index)
    shown: Boxes = []
    latest, position = list[Box](), 0
    for index in range(count):
        while position < len(results) and results[position][2] <= start_s + (index + 1) * interval_s:
            latest, position = _boxes(results[position][1]), position + 1
        shown.append(latest)
    return shown


def row(figures: dict[str, Any]) -> str:
    """Return the figures of one run as a row of a Markdown table."""
    latency = figures["latency_intervals"]
    cells = (
        figures["clip"], figures["detector"], f"{figures['factor']:g}", "on" if figures["budget"] else "off",
        f"{figures['found']:.3f} ({figures['false_a_frame']:.2f})",
        f"{figures['found_in_time']:.3f} ({figures['false_in_time']:.2f})",
        f"{figures['fps']:.1f} of {figures['camera_fps']:.0f}", f"{figures['dropped']} of {figures['frames']}",
        f"{latency['p50']:.2f}, {latency['p95']:.2f}, {latency['max']:.1f} ({figures['late_share']:.1%})",
        f"{figures['classifications_per_face_s']:.1f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def table(results: dict[str, Any]) -> str:
    """Return the table of live runs on simulated slow boards, each without and with the time budget."""
    runs = results["slow_board"]["rows"]
    rows = []
    for off, on in zip(runs[::2], runs[1::2], strict=True):
        pairs = (
            [f"{run['found_in_time']:.2f} ({run['false_in_time']:.2f})" for run in (off, on)],
            [f"{run['fps']:.1f}" for run in (off, on)],
            [f"{run['latency_ms']['p95']:.0f}" for run in (off, on)],
            [f"{run['classifications_per_face_s']:.1f}" for run in (off, on)],
        )
        rows.append(
            (off["clip"], off["detector"], f"{off['factor']:g}", *(" → ".join(pair) for pair in pairs),
             f"{on['latency_intervals']['p95']:.1f}", f"{on['dropped'] / on['frames']:.0%}")
        )  # fmt: skip
    heads = ("found (false)", "results per s", "latency p95, ms", "classified per s", "in intervals", "dropped")
    return common.table(("clip", "detector", "times slower", *heads), rows)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clips", type=Path, nargs="*")
    parser.add_argument("--factors", type=float, nargs="+", default=[10, 30])
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    print("| clip | detector | times slower | budget | found (false) | in time (false) | frames/s | dropped | "
          "latency p50, p95, max in intervals (above 2) | classified per s |\n|" + " --- |" * 10)  # fmt: skip
    rows = []
    for clip in (*CLIPS, *options.clips):
        images, truth = list(frames(clip)), ground_truth(clip, find_yunet())
        with open_source(clip) as source:
            fps = source.fps or 30.0
        for detector, factor, budget in itertools.product(("haar", "yunet"), options.factors, (False, True)):
            figures = measure(images, fps, truth, detector, factor, budget=budget, seconds=options.seconds)
            rows.append({"clip": clip.stem, "detector": detector, "factor": factor, "budget": budget, **figures})
            print(row(rows[-1]), flush=True)
    common.save_results("slow_board", {"seconds": options.seconds, "rows": rows})


if __name__ == "__main__":
    main()
