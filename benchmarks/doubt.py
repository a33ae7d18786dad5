"""Confidence of a model on degraded faces and on non-faces, and the effect of a confidence threshold.

    python benchmarks/doubt.py MODEL.onnx DATA [CLIP...] [--turned CLIP...]

Validation faces are made small, blurred or dark, half covered or turned upside down, then classified. Non-faces are
windows that the cascade accepts with a low threshold in clips (by default the demo clip), away from all faces that the
pipeline tracks there, and validation faces whose tiles are shuffled. Turned faces are those that YuNet finds in the
clips of --turned with a yaw above 30 or a pitch above 25 degrees; their labels are not known. For each threshold, the
script prints the share of results at or above it and how many of those are correct, with a 95 % interval (Wilson 1927).
For error rates of 5 and 10 %, it prints the lowest `unknown_below` at which the unmodified faces that keep their label
have at most this rate. The figures are saved by name of the model; those of other models are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import read_results, save_results
from edgeinfer import EmotionClassifier, HaarDetector, load_pipeline, open_source
from edgeinfer.expression.preprocess import crop_face
from edgeinfer.model.card import asset_path
from edgeinfer.results import Box, Emotion, Image
from edgeinfer_train.datasets.augment import shuffle_tiles
from edgeinfer_train.datasets.load import load_split, read_info
from edgeinfer_train.evaluation.metrics import wilson_interval

THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8)
ERROR_RATES = (0.05, 0.1)
MAX_WINDOWS, FRAME_STEP = 2000, 10


def shrink(side: int) -> Callable[[Image], Image]:
    """Return a function that scales a face down to the given number of pixels."""
    return lambda face: np.asarray(cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def blur(sigma: float) -> Callable[[Image], Image]:
    """Return a function that blurs a 48-pixel face; sigma in pixels."""
    return lambda face: np.asarray(cv2.GaussianBlur(face, (0, 0), sigma), dtype=np.uint8)


def darken(face: Image) -> Image:
    """Return a face at 10 % of its brightness, with the noise of an amplified sensor signal."""
    noise = np.random.default_rng(int(face.sum())).normal(0, 3, face.shape)
    return np.clip(face * 0.1 + noise, 0, 255).astype(np.uint8)


def cover(face: Image) -> Image:
    """Return a face whose lower half is mid-grey, as under a mask."""
    covered = face.copy()
    covered[face.shape[0] // 2 :] = 128
    return covered


DEGRADATIONS: dict[str, Callable[[Image], Image]] = {
    "unmodified": lambda face: face, "24 pixels": shrink(24), "16 pixels": shrink(16), "12 pixels": shrink(12),
    "blur of 1 pixel": blur(1), "blur of 2 pixels": blur(2), "blur of 3 pixels": blur(3),
    "10 % brightness": darken, "lower half covered": cover, "upside down": lambda face: face[::-1].copy(),
}  # fmt: skip


def find_non_faces(clips: list[Path], margin: float) -> list[Image]:
    """Return crops that the cascade accepts with a low threshold, away from tracked faces."""
    cascade, crops = HaarDetector().cascade, []
    for clip in clips:
        pipeline = load_pipeline()
        with open_source(clip) as source:
            for frame in source:
                faces = [enlarge(face.box) for face in pipeline(frame.image, timestamp_s=frame.timestamp_s).faces]
                if frame.index % FRAME_STEP:
                    continue
                grey = np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
                for window in cascade.detectMultiScale(grey, 1.1, 0, minSize=(32, 32)):
                    box = Box(*(int(value) for value in window))
                    if all(box.iou(face) == 0 for face in faces):
                        crops.append(crop_face(grey, box.xywh, margin))
    step = max(1, len(crops) // MAX_WINDOWS)
    return crops[::step]


def read_turned_faces(clips: list[Path], model: Path) -> list[Emotion]:
    """Return the expressions of turned faces in clips, as a run with YuNet and without tracking reports them."""
    pipeline, emotions = load_pipeline(model=model, detector="yunet", detect_every=1, track=False), []
    for clip in clips:
        with open_source(clip) as source:
            for frame in source:
                if frame.index % FRAME_STEP == 0:
                    emotions += [face.emotion for face in pipeline(frame.image).faces if face.turned]
    return emotions


def enlarge(box: Box) -> Box:
    """Return a box of twice the side with the same centre."""
    return Box(box.x - box.w // 2, box.y - box.h // 2, 2 * box.w, 2 * box.h)


def evaluate(emotions: list[Emotion], truth: list[str] | None) -> dict[str, Any]:
    """Return the mean confidence and, for each threshold, the share and the precision of the results above it."""
    confidences = np.array([emotion.confidence for emotion in emotions])
    figures: dict[str, Any] = {"count": len(emotions), "mean_confidence": float(confidences.mean())}
    hits = None
    if truth is not None:
        hits = np.array([emotion.label == label for emotion, label in zip(emotions, truth, strict=True)])
        figures["accuracy"] = float(hits.mean())
    for threshold in THRESHOLDS:
        kept = confidences >= threshold
        row: dict[str, Any] = {"share": float(kept.mean())}
        if hits is not None:
            correct, count = int(hits[kept].sum()), int(kept.sum())
            row |= {"precision": correct / max(1, count), "interval": wilson_interval(correct, count)}
        figures[str(threshold)] = row
    return figures


def suggest_thresholds(emotions: list[Emotion], truth: list[str]) -> list[dict[str, float]]:
    """Return the lowest threshold in steps of 0.01 for each error rate, and the share of the faces at or above it."""
    confidences = np.array([emotion.confidence for emotion in emotions])
    wrong = np.array([emotion.label != label for emotion, label in zip(emotions, truth, strict=True)])
    found = []
    for rate in ERROR_RATES:
        threshold = next((t for t in np.arange(0, 1, 0.01).round(2) if wrong[confidences >= t].mean() <= rate), 1.0)
        found.append(
            {"error": rate, "unknown_below": float(threshold), "share": float((confidences >= threshold).mean())}
        )
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("clips", type=Path, nargs="*", default=[asset_path("demo.mp4")])
    parser.add_argument("--turned", type=Path, nargs="+", default=[], metavar="CLIP")
    options = parser.parse_args()
    classifier, info = EmotionClassifier.load(options.model), read_info(options.data)
    faces = load_split(options.data, "valid", labels=classifier.labels)
    truth = [classifier.labels[label] for label in faces.labels]
    tiles = [image[:, :, 0] for image in faces.images]
    emotions = {name: classifier.classify([degrade(tile) for tile in tiles]) for name, degrade in DEGRADATIONS.items()}
    report = {name: evaluate(found, truth) for name, found in emotions.items()}
    random = np.random.default_rng(0)
    shuffled = [shuffle_tiles(image, random)[:, :, 0] for image in faces.images]
    report["shuffled tiles"] = evaluate(classifier.classify(shuffled), None)
    if non_faces := find_non_faces(options.clips, classifier.margin):
        report["non-faces in clips"] = evaluate(classifier.classify(non_faces), None)
    if options.turned and (turned := read_turned_faces(options.turned, options.model)):
        report["turned faces in clips"] = evaluate(turned, None)
    print(f"{info.name} validation, {len(tiles)} faces, {info.label_mode}; share of results kept (precision)")
    for name, figures in report.items():
        accuracy = f"accuracy {figures['accuracy']:.3f}" if "accuracy" in figures else " " * 14
        rows = []
        for threshold in THRESHOLDS:
            row = figures[str(threshold)]
            rows.append(
                f">={threshold} {row['share']:.2f}" + (f" ({row['precision']:.3f})" if "precision" in row else "")
            )
        print(
            f"{name:21}{figures['count']:5}  confidence {figures['mean_confidence']:.3f}  {accuracy}  {'  '.join(rows)}"
        )
    suggestions = suggest_thresholds(emotions["unmodified"], truth)
    for each in suggestions:
        print(
            f"at most {each['error']:.0%} errors: unknown_below {each['unknown_below']}, {each['share']:.2f} of faces"
        )
    card = classifier.card
    figures = {
        "sha256": card.sha256, "data": f"{info.name} validation", "faces": report, "suggestions": suggestions,
    }  # fmt: skip
    save_results("doubt", {"models": read_results().get("doubt", {}).get("models", {}) | {card.name: figures}})


if __name__ == "__main__":
    main()
