"""What a model says where it cannot know: how sure it is of poor faces and of none, and what a threshold is worth.

    python benchmarks/doubt.py MODEL.onnx DATA [CLIP...]

Validation faces are made small, blurred or dark, and read. What is no face comes from the windows that a lax search of
the cascade accepts in clips, by default the demo, away from every face that the pipeline follows there; and from
validation faces cut into tiles that change places. For each threshold: the share of answers at or above it, and how
many of those are right, with a 95 % interval (Wilson 1927).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import keep
from edgeinfer import EmotionClassifier, HaarDetector, load_pipeline, open_source
from edgeinfer.expression.preprocess import crop_face
from edgeinfer.model.card import asset_path
from edgeinfer.results import Box, Emotion, Image
from edgeinfer_train.datasets.augment import shuffle_tiles
from edgeinfer_train.datasets.load import load_split, read_info

THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8)
MOST_WINDOWS, EVERY_FRAMES = 2000, 10


def smaller(side: int) -> Callable[[Image], Image]:
    """A face of so many pixels, enlarged again by whoever reads it."""
    return lambda face: np.asarray(cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def blurred(sigma: float) -> Callable[[Image], Image]:
    """A face out of focus; sigma in pixels of 48."""
    return lambda face: np.asarray(cv2.GaussianBlur(face, (0, 0), sigma), dtype=np.uint8)


def dark(face: Image) -> Image:
    """A face at a tenth of the light, with the noise of a sensor that amplifies it."""
    noise = np.random.default_rng(int(face.sum())).normal(0, 3, face.shape)
    return np.clip(face * 0.1 + noise, 0, 255).astype(np.uint8)


POOR: dict[str, Callable[[Image], Image]] = {
    "as they are": lambda face: face, "24 pixels": smaller(24), "16 pixels": smaller(16), "12 pixels": smaller(12),
    "blur of 1 pixel": blurred(1), "blur of 2 pixels": blurred(2), "blur of 3 pixels": blurred(3),
    "a tenth of the light": dark,
}  # fmt: skip


def windows(clips: list[Path], margin: float) -> list[Image]:
    """Crops of what a lax search takes for a face and nobody follows."""
    cascade, found = HaarDetector().cascade, []
    for clip in clips:
        pipeline = load_pipeline()
        with open_source(clip) as source:
            for frame in source:
                faces = [grown(face.box) for face in pipeline(frame.image, timestamp_s=frame.timestamp_s).faces]
                if frame.index % EVERY_FRAMES:
                    continue
                grey = np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
                for window in cascade.detectMultiScale(grey, 1.1, 0, minSize=(32, 32)):
                    box = Box(*(int(value) for value in window))
                    if all(box.iou(face) == 0 for face in faces):
                        found.append(crop_face(grey, box.xywh, margin))
    step = max(1, len(found) // MOST_WINDOWS)
    return found[::step]


def grown(box: Box) -> Box:
    """A box with half of its side around it."""
    return Box(box.x - box.w // 2, box.y - box.h // 2, 2 * box.w, 2 * box.h)


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    share, z = right / count, 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return middle - reach, middle + reach


def told(answers: list[Emotion], truth: list[str] | None) -> dict[str, Any]:
    """Confidence, and by threshold how many answers remain and are right."""
    sure = np.array([answer.confidence for answer in answers])
    figures: dict[str, Any] = {"count": len(answers), "mean_confidence": float(sure.mean())}
    hits = None
    if truth is not None:
        hits = np.array([answer.label == wanted for answer, wanted in zip(answers, truth, strict=True)])
        figures["accuracy"] = float(hits.mean())
    for threshold in THRESHOLDS:
        kept = sure >= threshold
        row: dict[str, Any] = {"share": float(kept.mean())}
        if hits is not None:
            right, count = int(hits[kept].sum()), int(kept.sum())
            row |= {"precision": right / max(1, count), "interval": wilson(right, count)}
        figures[str(threshold)] = row
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("clips", type=Path, nargs="*", default=[asset_path("demo.mp4")])
    options = parser.parse_args()
    classifier, info = EmotionClassifier.load(options.model), read_info(options.data)
    faces = load_split(options.data, "valid", labels=classifier.labels)
    truth = [classifier.labels[label] for label in faces.labels]
    tiles = [image[:, :, 0] for image in faces.images]
    report = {name: told(classifier.classify([poorer(tile) for tile in tiles]), truth) for name, poorer in POOR.items()}
    random = np.random.default_rng(0)
    cut = [shuffle_tiles(image, random)[:, :, 0] for image in faces.images]
    report["cut and rearranged"] = told(classifier.classify(cut), None)
    if nothing := windows(options.clips, classifier.margin):
        report["no face, in clips"] = told(classifier.classify(nothing), None)
    print(f"{info.name} validation, {len(tiles)} faces, {info.label_mode}; share of answers kept (right among them)")
    for name, figures in report.items():
        right = f"accuracy {figures['accuracy']:.3f}" if "accuracy" in figures else " " * 14
        rows = []
        for threshold in THRESHOLDS:
            row = figures[str(threshold)]
            rows.append(
                f">={threshold} {row['share']:.2f}" + (f" ({row['precision']:.3f})" if "precision" in row else "")
            )
        print(f"{name:21}{figures['count']:5}  confidence {figures['mean_confidence']:.3f}  {right}  {'  '.join(rows)}")
    card = classifier.card
    keep("doubt", {"model": card.name, "sha256": card.sha256, "data": f"{info.name} validation", "faces": report})


if __name__ == "__main__":
    main()
