"""Runs over clips that the benchmarks compare, and the comparison of their boxes with YuNet at full size."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2

from edgeinfer import Box, EmotionClassifier, Frame, JsonlSink, Pipeline, Source, open_source, run
from edgeinfer.detection.cascade_files import load_cascade
from edgeinfer.detection.yunet_network import YuNetNetwork
from edgeinfer.expression.preprocess import crop_face
from edgeinfer.results import Image

Boxes = list[list[Box]]
"""Bounding boxes by frame."""
MIN_FACE = 32
"""Smallest side of a face to be found, in pixels."""
FACE_SCORE, CANDIDATE_SCORE = 0.7, 0.3
"""Lowest score of a face to be found, and of a detection that excuses a box."""


def frames(clip: Path) -> Iterator[Image]:
    """Yield the pictures of a clip, decoded as in a run."""
    with open_source(clip) as source:
        for frame in source:
            yield frame.image


def run_loop(clip: Path, detect: Callable[[Image], list[Box]], classifier: EmotionClassifier | None) -> Boxes:
    """Search every frame, classify the boxes and return them."""
    detected = []
    for image in frames(clip):
        boxes = detect(image)
        if classifier:
            for box in boxes:
                classifier.classify([crop_face(image, box.xywh, classifier.margin)])
        detected.append(boxes)
    return detected


def plain_detector() -> Callable[[Image], list[Box]]:
    """Return the detector of the plain loop."""
    cascade = load_cascade(None)

    def detect(image: Image) -> list[Box]:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return [Box(*(int(v) for v in row)) for row in cascade.detectMultiScale(grey, 1.1, 5)]

    return detect


def run_edgeinfer(clip: Path, out: Path, pipeline: Pipeline) -> list[dict[str, Any]]:
    """Run the pipeline and return the lines of its JSONL output."""
    return run_clocked(clip, out, pipeline)[0]


def run_clocked(clip: Path, out: Path, pipeline: Pipeline) -> tuple[list[dict[str, Any]], float]:
    """Run the pipeline and return the lines of its JSONL output, and the CPU seconds of its thread without reading.

    The difference between the CPU times of a run and of decoding alone is less certain: to decode 4K takes several
    times as long as all the rest.
    """
    pipeline.reset()
    with open_source(clip) as opened:
        source: Any = _ClockedSource(opened)
        started_s = time.thread_time()
        run(source, pipeline, [JsonlSink(str(out))])
        processing_s = time.thread_time() - started_s - source.reading_s
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()], processing_s


class _ClockedSource:
    """A source; `reading_s` counts the CPU seconds that the thread of its reader spends in it."""

    def __init__(self, source: Source) -> None:
        self._source, self.reading_s = source, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __iter__(self) -> Iterator[Frame]:
        frames = iter(self._source)
        while True:
            started_s = time.thread_time()
            frame = next(frames, None)
            self.reading_s += time.thread_time() - started_s
            if frame is None:
                return
            yield frame


def boxes_of(lines: list[dict[str, Any]]) -> Boxes:
    """Return the boxes of a run."""
    return [[Box(*face["box"]) for face in line["faces"]] for line in lines if line["type"] == "frame"]


def ground_truth(clip: Path, yunet: Path) -> tuple[Boxes, Boxes]:
    """Return the faces to find in each frame, and all detections down to a low score.

    YuNet also sees faces in the random texture behind the heads of a generated clip. There, only detections that
    overlap a pasted head count as faces to find.
    """
    network, heads = YuNetNetwork(yunet), _pasted_heads(clip)
    faces: Boxes = []
    candidates: Boxes = []
    for index, image in enumerate(frames(clip)):
        height, width = image.shape[:2]
        found = [(_clip(d.xywh, width, height), d.score) for d in network.detect(image, CANDIDATE_SCORE)]
        large = [box for box, score in found if score >= FACE_SCORE and min(box.w, box.h) >= MIN_FACE]
        faces.append([box for box in large if heads is None or any(box.iou(head) > 0.2 for head in heads[index])])
        candidates.append([box for box, _ in found])
    return faces, candidates


def score(detected: Boxes, truth: Boxes, candidates: Boxes) -> dict[str, float]:
    """Return the number of faces, the share detected, and false boxes per frame.

    A face counts as detected at an IoU of 0.3. A box is false if its IoU with every candidate is below 0.2.
    """
    hits = sum(any(face.iou(box) >= 0.3 for box in boxes)
               for faces, boxes in zip(truth, detected, strict=True) for face in faces)  # fmt: skip
    false = sum(all(face.iou(box) < 0.2 for face in faces)
                for faces, boxes in zip(candidates, detected, strict=True) for box in boxes)  # fmt: skip
    count = sum(map(len, truth))
    return {"faces": count, "recall": hits / count if count else 1.0, "false_a_frame": false / len(detected)}


def _pasted_heads(clip: Path) -> Boxes | None:
    """Return the heads in each frame of a clip from `made_clips.compose`, or None for any other clip.

    A clip that pans over a picture may contain more faces than `made_clips.pan` lists.
    """
    path = clip.with_suffix(".json")
    if clip.stem.startswith("pan") or not path.is_file():
        return None
    return [[Box(*head[1:]) for head in heads] for heads in json.loads(path.read_text(encoding="utf-8"))]


def _clip(xywh: tuple[float, float, float, float], width: int, height: int) -> Box:
    """Round a box to whole pixels and clip it to the frame."""
    x, y, w, h = xywh
    left, top, right, bottom = max(0, round(x)), max(0, round(y)), min(width, round(x + w)), min(height, round(y + h))
    return Box(left, top, max(0, right - left), max(0, bottom - top))
