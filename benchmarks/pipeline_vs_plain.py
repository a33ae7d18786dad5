"""How fast is a run, and what does it find, against the loop that everyone writes?

    taskset -c 0 python benchmarks/pipeline_vs_plain.py [CLIP...] [--pictures FILE...] [--yunet FILE] [--rounds N]

The plain loop decodes, searches every full frame with `detectMultiScale(grey, 1.1, 5)` and the frontal cascade, and
classifies each box with the bundled model. Ours is `edgeinfer.run` with a JSONL output. With --pictures clips are made
from them (see `made_clips.py`); without anything the demo clip is read. All take turns in one process on one thread,
models loaded; what counts is the processor's time, which other work on the machine disturbs least.

With --yunet the file of that detector (see the documents of OpenCV) gives the faces to find: those of 32 pixels and
more with a score of 0.7 in the full frame, met at an overlap of 0.3. A box is false if it overlaps by less than 0.2
with everything that scores 0.3. The detector is also run alone at 320x180 and at full size with the classifier, and
our run with it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import keep
from edgeinfer import Box, EmotionClassifier, JsonlSink, Pipeline, load_pipeline, open_source, run
from edgeinfer.detection.cascade_files import load_cascade
from edgeinfer.detection.yunet import YuNetDetector
from edgeinfer.expression.preprocess import crop_face
from edgeinfer.model.card import asset_path
from edgeinfer.results import Image
from made_clips import make

Boxes = list[list[Box]]
"""Of every frame."""


def frames(clip: Path) -> Iterator[Image]:
    """Every picture of a clip."""
    capture = cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG)
    while True:
        read, picture = capture.read()
        if not read:
            break
        yield np.asarray(picture, dtype=np.uint8)
    capture.release()


def looped(clip: Path, detect: Callable[[Image], list[Box]], classifier: EmotionClassifier | None) -> Boxes:
    """A loop that searches every frame."""
    found = []
    for image in frames(clip):
        boxes = detect(image)
        if classifier:
            for box in boxes:
                classifier.classify([crop_face(image, box.xywh, classifier.margin)])
        found.append(boxes)
    return found


def plain_detector() -> Callable[[Image], list[Box]]:
    """The search of the plain loop."""
    cascade = load_cascade(None)

    def detect(image: Image) -> list[Box]:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return [Box(*(int(v) for v in row)) for row in cascade.detectMultiScale(grey, 1.1, 5)]

    return detect


def small_yunet(path: Path) -> Callable[[Image], list[Box]]:
    """YuNet at 320x180, boxes not scaled back."""
    detector = YuNetDetector(path)
    return lambda image: detector.detect(np.asarray(cv2.resize(image, (320, 180)), np.uint8))


def ours(clip: Path, out: Path, pipeline: Pipeline) -> list[dict[str, Any]]:
    """The lines of our run."""
    pipeline.reset()
    with open_source(clip) as source:
        run(source, pipeline, [JsonlSink(str(out))])
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def boxes_of(lines: list[dict[str, Any]]) -> Boxes:
    """The boxes of a run."""
    return [[Box(*face["box"]) for face in line["faces"]] for line in lines if line["type"] == "frame"]


def truth(clip: Path, yunet: Path) -> tuple[Boxes, Boxes]:
    """Faces to find in every frame, and all that looks a little like one."""
    sure, maybe = YuNetDetector(yunet), YuNetDetector(yunet, min_score=0.3, min_size=1)
    wanted = [[box for box in sure.detect(image) if min(box.w, box.h) >= 32] for image in frames(clip)]
    return wanted, [maybe.detect(image) for image in frames(clip)]


def score(found: Boxes, wanted: Boxes, maybe: Boxes) -> dict[str, float]:
    """Share of the faces that were found, and false boxes a frame."""
    met = sum(any(face.iou(box) >= 0.3 for box in boxes)
              for faces, boxes in zip(wanted, found, strict=True) for face in faces)  # fmt: skip
    false = sum(all(face.iou(box) < 0.2 for face in faces)
                for faces, boxes in zip(maybe, found, strict=True) for box in boxes)  # fmt: skip
    faces = sum(map(len, wanted))
    return {"faces": faces, "recall": met / faces if faces else 1.0, "false_a_frame": false / len(found)}


def readings(clip: Path, lines: list[dict[str, Any]], classifier: EmotionClassifier) -> dict[str, float]:
    """Label changes a face's second, ours and of classifying every frame on the same boxes, and how far both agree.

    Agreement is counted outside 0.4 s around a change of the latter.
    """
    tracks: dict[int, list[tuple[float, str, str, str]]] = {}
    written = [line for line in lines if line["type"] == "frame"]
    for image, line in zip(frames(clip), written, strict=True):
        crops = [crop_face(image, tuple(face["box"]), classifier.margin) for face in line["faces"]]
        for face, read in zip(line["faces"], classifier.classify(crops), strict=True):
            raw = max(face["raw"], key=face["raw"].get)
            tracks.setdefault(face["track"], []).append((line["time_s"], face["label"], raw, read.label))
    changes, every, same, counted = 0, 0, 0, 0
    for track in tracks.values():
        changes += sum(a[1] != b[1] for a, b in pairwise(track))
        turns = [b[0] for a, b in pairwise(track) if a[3] != b[3]]
        every += len(turns)
        calm = [row for row in track if all(abs(row[0] - turn) > 0.4 for turn in turns)]
        counted += len(calm)
        same += sum(row[2] == row[3] for row in calm)
    return {"label_changes": changes, "unsmoothed_changes": every, "agreement": same / counted if counted else 1.0}


def measure(clip: Path, out: Path, yunet: Path | None, rounds: int) -> dict[str, Any]:
    """Everything about one clip."""
    classifier = EmotionClassifier.load()
    plain, haar = plain_detector(), load_pipeline()
    runs: dict[str, Callable[[], Any]] = {
        "decoding": lambda: sum(1 for _ in frames(clip)),
        "plain": lambda: looped(clip, plain, classifier),
        "ours": lambda: ours(clip, out, haar),
    }
    if yunet:
        network = load_pipeline(detector="yunet", detector_model=yunet)
        full, small = YuNetDetector(yunet).detect, small_yunet(yunet)
        runs["yunet at 320x180 alone"] = lambda: looped(clip, small, None)
        runs["yunet on every frame"] = lambda: looped(clip, full, classifier)
        runs["ours with yunet"] = lambda: ours(clip, out, network)
    raw: dict[str, list[float]] = {name: [] for name in runs}
    last: dict[str, Any] = {}
    for _ in range(rounds):
        for name, act in runs.items():
            started = time.process_time()
            last[name] = act()
            raw[name].append(time.process_time() - started)
    lines = last["ours"]
    figures: dict[str, Any] = {
        "frames": last["decoding"],
        "stages_ms": lines[-1]["stages_ms"],
        "seconds": {name: statistics.median(times) for name, times in raw.items()},
        "raw_seconds": raw,
        **readings(clip, lines, classifier),
    }
    if yunet:
        wanted, maybe = truth(clip, yunet)
        figures["found"] = {
            "plain": score(last["plain"], wanted, maybe),
            "ours": score(boxes_of(lines), wanted, maybe),
            "ours with yunet": score(boxes_of(last["ours with yunet"]), wanted, maybe),
        }
    return figures


def report(name: str, figures: dict[str, Any]) -> None:
    """Print one clip's figures."""
    seconds = figures["seconds"]
    print(f"{name}: {figures['frames']} frames; ours takes {seconds['ours'] / seconds['decoding']:.1f} times decoding")
    for other in seconds:
        if other not in ("ours", "decoding"):
            print(f"    against {other}: {seconds[other] / seconds['ours']:.1f} times as fast")
    if "ours with yunet" in seconds:
        ratio = seconds["yunet on every frame"] / seconds["ours with yunet"]
        print(f"    ours with yunet against yunet on every frame: {ratio:.1f} times as fast")
    for who, found in figures.get("found", {}).items():
        print(f"    {who}: {found['recall']:.3f} of {found['faces']} faces, {found['false_a_frame']:.3f} false a frame")
    print(f"    label changes {figures['label_changes']}, reading every frame {figures['unsmoothed_changes']}; "
          f"raw labels agree in {figures['agreement']:.1%}")  # fmt: skip
    print("    stages, ms:", ", ".join(f"{n} {v.get('p50', 0):.2f}" for n, v in figures["stages_ms"].items()))


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clips", type=Path, nargs="*")
    parser.add_argument("--pictures", type=Path, nargs="+", default=[])
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder), options.pictures) if options.pictures else []
        clips = [*options.clips, *made] or [asset_path("demo.mp4")]
        results = {}
        for clip in clips:
            results[clip.stem] = measure(clip, Path(folder) / "x.jsonl", options.yunet, options.rounds)
            report(clip.stem, results[clip.stem])
    ratios = [figures["seconds"]["plain"] / figures["seconds"]["ours"] for figures in results.values()]
    mean = statistics.geometric_mean(ratios)
    print(f"geometric mean over {len(ratios)} clips: {mean:.1f} times as fast as the plain loop")
    keep("pipeline_vs_plain", {"ratio": mean, "clips": results})


if __name__ == "__main__":
    main()
