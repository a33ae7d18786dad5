"""Driver of one Python peer; peers.py starts it with the interpreter of the peer's environment.

    python python_peer.py ours|plain|fer WORK RESULT.json
    python python_peer.py yunet FILE WORK RESULT.json
    python python_peer.py fer whole WORK RESULT.json

WORK contains frames.bgr and faces.bgr with raw (height, width, 3) uint8 pictures, and sizes.json. RESULT.json contains
the CPU time in milliseconds and the number of boxes of each frame, and for each face the label of the largest box, or
null if no face was detected. With `whole`, each picture is one face, which is not searched for.
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
"""Area in pixels and label of each detected face."""


def ours(_: Sequence[str]) -> tuple[str, Callable[[Image], Faces], Callable[[Image], Faces]]:
    """Return edgeinfer with default settings for frames, and without tracking for single pictures."""
    import edgeinfer  # noqa: PLC0415 - not installed in the environments of other peers

    def make_reader(pipeline: edgeinfer.Pipeline) -> Callable[[Image], Faces]:
        return lambda image: [(face.box.w * face.box.h, face.emotion.label) for face in pipeline(image).faces]

    still = edgeinfer.load_pipeline(track=False, detect_every=1)
    return metadata.version("edgeinfer"), make_reader(edgeinfer.load_pipeline()), make_reader(still)


def every_frame(yunet: Sequence[str]) -> tuple[str, Callable[[Image], Faces], Callable[[Image], Faces]]:
    """Return a function that searches frames with the cascade, or YuNet if its file is given, and classifies faces."""
    import edgeinfer  # noqa: PLC0415
    from edgeinfer.detection.cascade_files import find_cascade  # noqa: PLC0415
    from edgeinfer.expression.preprocess import crop_face  # noqa: PLC0415

    classifier = edgeinfer.EmotionClassifier.load()
    network = edgeinfer.YuNetDetector(yunet[0]) if yunet else None
    cascade = cv2.CascadeClassifier(str(find_cascade(None)))

    def boxes(image: Image) -> list[tuple[int, int, int, int]]:
        if network is not None:
            return [box.xywh for box in network.detect(image)]
        rows = cascade.detectMultiScale(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), 1.1, 5)
        return [(int(x), int(y), int(w), int(h)) for x, y, w, h in rows]

    def read(image: Image) -> Faces:
        detected = boxes(image)
        emotions = classifier.classify([crop_face(image, box, classifier.margin) for box in detected])
        return [(box[2] * box[3], emotion.label) for box, emotion in zip(detected, emotions, strict=True)]

    return cv2.__version__, read, read


def fer(whole: Sequence[str]) -> tuple[str, Callable[[Image], Faces], Callable[[Image], Faces]]:
    """Return FER with its default cascade, or for whole pictures, and its quantized network."""
    detector = importlib.import_module("fer.fer").FER()

    def read(image: Image) -> Faces:
        height, width = image.shape[:2]
        inner = [(10, 10, width - 20, height - 20)]  # FER adds 10 pixels on each side
        faces = detector.detect_emotions(image, face_rectangles=inner if whole else None)
        return [
            (int(face["box"][2]) * int(face["box"][3]), str(max(face["emotions"], key=face["emotions"].get)))
            for face in faces
        ]

    return metadata.version("fer"), read, read


PEERS = {"ours": ours, "plain": every_frame, "yunet": every_frame, "fer": fer}


def pictures(work: Path, kind: str) -> Image:
    """Return all frames or faces as a memory-mapped (count, height, width, 3) BGR uint8 array."""
    size = json.loads((work / "sizes.json").read_text(encoding="utf-8"))[kind]
    shape = (size["count"], size["height"], size["width"], 3)
    return np.memmap(work / f"{kind}.bgr", np.uint8, "r", shape=shape) if size["count"] else np.zeros(shape, np.uint8)


def main() -> None:
    """Process all pictures and write the result."""
    name, *files, work, result = sys.argv[1:]
    cv2.setNumThreads(1)
    version, read, read_single = PEERS[name](files)
    output: dict[str, Any] = {"version": version, "frame_ms": [], "boxes": [], "labels": []}
    for picture in pictures(Path(work), "frames"):
        image = np.array(picture)
        started = time.process_time()
        faces = read(image)
        output["frame_ms"].append(1000 * (time.process_time() - started))
        output["boxes"].append(len(faces))
    for picture in pictures(Path(work), "faces"):
        output["labels"].append(max(read_single(np.array(picture)), default=(0, None))[1])
    Path(result).write_text(json.dumps(output), encoding="utf-8")


if __name__ == "__main__":
    main()
