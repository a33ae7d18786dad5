"""How much of a run is ours: `edgeinfer run` against the loop that everyone writes.

    python benchmarks/plain_loop.py [CLIP] [--rounds N]

The plain loop decodes, searches every full frame with `detectMultiScale(grey, 1.1, 5)` and the frontal cascade, and
classifies each box with the bundled model; ours also tracks, smooths and writes JSONL. Both use the same number of
cores and take turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from common import keep
from edgeinfer import EmotionClassifier, JsonlSink, load_pipeline, open_source, run
from edgeinfer.detector import find_cascade
from edgeinfer.model import asset_path
from edgeinfer.preprocess import crop_face


def plain(clip: Path, classifier: EmotionClassifier, cascade: cv2.CascadeClassifier) -> tuple[int, float]:
    """Frames and seconds of the plain loop."""
    started, frames = time.perf_counter(), 0
    capture = cv2.VideoCapture(str(clip))
    while True:
        read, picture = capture.read()
        if not read:
            break
        frames += 1
        image = np.asarray(picture, dtype=np.uint8)
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        for x, y, w, h in cascade.detectMultiScale(grey, 1.1, 5):
            classifier.classify([crop_face(image, (int(x), int(y), int(w), int(h)), classifier.margin)])
    capture.release()
    return frames, time.perf_counter() - started


def ours(clip: Path, out: Path) -> tuple[int, float]:
    """Frames and seconds of our run."""
    pipeline = load_pipeline()
    with open_source(clip) as source:
        summary = run(source, pipeline, [JsonlSink(str(out))])
    return summary.frames, summary.elapsed_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip", type=Path, nargs="?", default=asset_path("demo.mp4"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    classifier, cascade = EmotionClassifier.load(), cv2.CascadeClassifier(str(find_cascade(None)))
    cv2.setNumThreads(1)
    raw: dict[str, list[float]] = {"plain_fps": [], "ours_fps": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for name, (frames, seconds) in (
                ("plain_fps", plain(options.clip, classifier, cascade)),
                ("ours_fps", ours(options.clip, Path(folder) / "x.jsonl")),
            ):
                raw[name].append(frames / seconds)
    ratio = statistics.median(raw["ours_fps"]) / statistics.median(raw["plain_fps"])
    print(f"{options.clip.name}: our run gives {ratio:.2f} times the frames a second of the plain loop")
    keep("plain_loop", {"clip": options.clip.name, "ratio": ratio, "raw": raw})


if __name__ == "__main__":
    main()
