"""Accuracy and mean confidence of tiny, rolled and turned faces, and the temperature that makes them agree.

    python benchmarks/confidence.py DATA

Validation faces of FERPlus (`edgeinfer-train prepare ferplus`) are reduced to small sizes, or rotated. The yaw
is that of YuNet for the face enlarged in a frame; faces that it does not find are excluded there. The slopes of
`edgeinfer/expression/reliability.py` are those with the smallest difference between accuracy and mean confidence.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common import embed_face, save_results
from edgeinfer import Box, EmotionClassifier, Pose, YuNetDetector
from edgeinfer.expression import reliability
from edgeinfer.expression.preprocess import crop_face
from edgeinfer.results import MAX_YAW, Image
from edgeinfer_train.datasets.load import load_split, read_info

SIZES = (48, 32, 24, 16, 12, 10, 8)
ROLLS = (10, 20, 30, 40, 50, 60)
YAWS = (0, 10, 20, 30, 40, 50, 90)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Group:
    """Faces of similar size or pose: their boxes, (N, K) logarithms of probabilities and (N,) true labels."""

    kind: str
    name: str
    boxes: Sequence[Box]
    logs: Floats
    labels: NDArray[np.int64]

    def report(self) -> dict[str, Any]:
        """Return accuracy and mean confidence in percent, before and after the correction."""
        corrected = soften(self.logs, np.array([reliability.temperature(box) for box in self.boxes]))
        return {
            "kind": self.kind,
            "faces": self.name,
            "number": len(self.labels),
            "accuracy": round(100 * float((self.logs.argmax(1) == self.labels).mean()), 1),
            "confidence": round(100 * float(np.exp(self.logs).max(1).mean()), 1),
            "corrected": round(100 * float(np.exp(corrected).max(1).mean()), 1),
        }


class Faces:
    """Validation faces and their classifier."""

    def __init__(self, data: Path, limit: int | None) -> None:
        faces = load_split(data, "valid", limit=limit)
        self.images: list[Image] = [image[:, :, 0] for image in faces.images]
        self.labels = np.asarray(faces.labels, np.int64)
        self.info = read_info(data)
        self.classifier = EmotionClassifier.load()

    def classify(self, crops: Sequence[Any]) -> Floats:
        """Return the logarithms of the probabilities, (N, K)."""
        rows = [
            list(emotion.probabilities.values())
            for start in range(0, len(crops), 256)
            for emotion in self.classifier.classify(crops[start : start + 256])
        ]
        return np.log(np.maximum(rows, 1e-12))

    def by_size(self) -> Iterator[Group]:
        """Yield all faces at each size."""
        for size in SIZES:
            crops = [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in self.images]
            yield Group(
                "size", f"{size} pixels", [Box(0, 0, size, size)] * len(crops), self.classify(crops), self.labels
            )

    def by_roll(self) -> Iterator[Group]:
        """Yield all faces at each roll, in both directions in turn."""
        for roll in ROLLS:
            crops = []
            for number, image in enumerate(self.images):
                rotation = cv2.getRotationMatrix2D((23.5, 23.5), roll * (-1) ** number, 1)
                crops.append(cv2.warpAffine(image, rotation, (48, 48), borderMode=cv2.BORDER_REPLICATE))
            boxes = [Box(0, 0, 48, 48, pose=Pose(roll, 0, 0))] * len(crops)
            yield Group("roll", f"{roll} degrees", boxes, self.classify(crops), self.labels)

    def by_yaw(self) -> Iterator[Group]:
        """Yield the faces in each range of the yaw that YuNet reports, cropped as in a run."""
        detector, boxes, crops, numbers = YuNetDetector(), [], [], []
        for number, image in enumerate(self.images):
            frame = embed_face(image)
            for box in detector.detect(frame)[:1]:
                boxes.append(box)
                crops.append(crop_face(frame, detector.crop_box(box).xywh, self.classifier.margin))
                numbers.append(number)
        logs, labels = self.classify(crops), self.labels[numbers]
        yaws = np.array([abs(box.pose.yaw) if box.pose else 0.0 for box in boxes])
        for low, high in pairwise(YAWS):
            chosen = np.flatnonzero((yaws >= low) & (yaws < high))
            near = [Box(*boxes[n].xywh, pose=Pose(0, yaws[n], 0)) for n in chosen]
            yield Group("yaw", f"{low} to {high} degrees", near, logs[chosen], labels[chosen])


def soften(logs: Floats, temperatures: Floats) -> Floats:
    """Return the logarithms of probabilities with one temperature for each face."""
    scaled = logs / temperatures[:, None]
    return np.asarray(scaled - np.log(np.exp(scaled).sum(1, keepdims=True)))


def fit(groups: Sequence[Group], excess: Callable[[Box], float]) -> float:
    """Return the slope k of the temperature 1 + k * excess that brings mean confidence closest to accuracy."""
    excesses = [np.array([excess(box) for box in group.boxes]) for group in groups]

    def loss(slope: float) -> float:
        return sum(
            float(
                (group.logs.argmax(1) == group.labels).mean() - np.exp(soften(group.logs, 1 + slope * x)).max(1).mean()
            )
            ** 2
            for group, x in zip(groups, excesses, strict=True)
            if x.any()
        )

    return float(min(np.linspace(0, 1, 101) / max(1.0, max(x.max() for x in excesses) / 2), key=loss))


def _angle(box: Box, name: str) -> float:
    return abs(float(getattr(box.pose, name)))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--faces", type=int)
    options = parser.parse_args()

    faces = Faces(options.data, options.faces)
    sizes, rolls, yaws = list(faces.by_size()), list(faces.by_roll()), list(faces.by_yaw())
    rows = [group.report() for group in (*sizes, *rolls, *yaws)]
    print("faces                number  accuracy  confidence  corrected")
    for row in rows:
        figures = f"{row['number']:5} {row['accuracy']:9} {row['confidence']:11} {row['corrected']:10}"
        print(f"{row['kind']:5} {row['faces']:16} {figures}")
    fits = {
        "size": fit(sizes, lambda box: max(0.0, reliability.MIN_SIZE_PX / box.w - 1)),
        "roll": fit(rolls, lambda box: max(0.0, _angle(box, "roll") - reliability.MAX_ROLL)),
        "yaw": fit(yaws, lambda box: max(0.0, _angle(box, "yaw") - MAX_YAW)),
    }
    print("fitted slopes:", {kind: round(slope, 4) for kind, slope in fits.items()})
    data = f"{faces.info.name} validation, {len(faces.labels)} faces, {faces.info.label_mode}"
    save_results("confidence", {"model": faces.classifier.card.name, "data": data, "groups": rows, "fits": fits})


if __name__ == "__main__":
    main()
