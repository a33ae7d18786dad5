"""Runs one peer over prepared pictures; started by peers.py with the Python that has the peer.

    python python_peer.py ours|plain|fer WORK RESULT.json
    python python_peer.py yunet FILE WORK RESULT.json

WORK holds frames.bgr and faces.bgr, raw (height, width, 3) uint8, and sizes.json. The result is the milliseconds of
processor time and the number of boxes of each frame, and for each face the label of the largest box, or null where
none was found.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Image = np.ndarray[Any, np.dtype[np.uint8]]
Faces = list[tuple[int, str]]
"""Area of a box in pixels and the label that it got."""


def ours(_: Sequence[str]) -> tuple[str, Callable[[Image], Faces], Callable[[Image], Faces]]:
    """A run as it is, and without tracking for pictures that do not follow each other."""
    import edgeinfer  # noqa: PLC0415 - the environments of the others lack it

    def reader(pipeline: edgeinfer.Pipeline) -> Callable[[Image], Faces]:
        return lambda image: [(face.box.w * face.box.h, face.emotion.label) for face in pipeline(image).faces]

    still = edgeinfer.load_pipeline(track=False, detect_every=1)
    return metadata.version("edgeinfer"), reader(edgeinfer.load_pipeline()), reader(still)


def every_frame(yunet: Sequence[str]) -> tuple[str, Callable[[Image], Faces], Callable[[Image], Faces]]:
    """The cascade, or YuNet where a file is given, over every whole frame, and our classifier on every box."""
    import edgeinfer  # noqa: PLC0415
    from edgeinfer.detection.cascade_files import find_cascade  # noqa: PLC0415
    from edgeinfer.expression.preprocess import crop_face  # noqa: PLC0415

    classifier = edgeinfer.EmotionClassifier.load()
    network = edgeinfer.YuNetDetector(yunet[0]) if yunet else None
    cascade = cv2.CascadeClassifier(str(find_cascade(None)))

    def boxes(image: Image) -> list[tuple[int, int, int, int]]:
        if network is not None:
            return [box.xywh for box in network.detect(image)]
        found = cascade.detectMultiScale(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), 1.1, 5)
        return [(int(x), int(y), int(w), int(h)) for x, y, w, h in found]

    def read(image: Image) -> Faces:
        found = boxes(image)
        emotions = classifier.classify([crop_face(image, box, classifier.margin) for box in found])
        return [(box[2] * box[3], emotion.label) for box, emotion in zip(found, emotions, strict=True)]

    return cv2.__version__, read, read


def fer(_: Sequence[str]) -> tuple[str, Callable[[Image], Faces], Callable[[Image], Faces]]:
    """FER with the cascade and its quantized network, as it comes."""
    detector = importlib.import_module("fer.fer").FER()

    def read(image: Image) -> Faces:
        found = detector.detect_emotions(image)
        return [
            (int(face["box"][2]) * int(face["box"][3]), str(max(face["emotions"], key=face["emotions"].get)))
            for face in found
        ]

    return metadata.version("fer"), read, read


PEERS = {"ours": ours, "plain": every_frame, "yunet": every_frame, "fer": fer}


def pictures(work: Path, kind: str) -> Image:
    """All frames or faces, (count, height, width, 3) BGR uint8, read as they are asked for."""
    size = json.loads((work / "sizes.json").read_text(encoding="utf-8"))[kind]
    shape = (size["count"], size["height"], size["width"], 3)
    return np.memmap(work / f"{kind}.bgr", np.uint8, "r", shape=shape) if size["count"] else np.zeros(shape, np.uint8)


def main() -> None:
    """Read every picture and write what was found."""
    name, *files, work, result = sys.argv[1:]
    cv2.setNumThreads(1)
    version, read, read_single = PEERS[name](files)
    told: dict[str, Any] = {"version": version, "frame_ms": [], "boxes": [], "labels": []}
    for picture in pictures(Path(work), "frames"):
        image = np.array(picture)
        started = time.process_time()
        found = read(image)
        told["frame_ms"].append(1000 * (time.process_time() - started))
        told["boxes"].append(len(found))
    for picture in pictures(Path(work), "faces"):
        told["labels"].append(max(read_single(np.array(picture)), default=(0, None))[1])
    Path(result).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
