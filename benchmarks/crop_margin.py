"""Accuracy by crop margin, on faces detected by the cascade.

    python benchmarks/crop_margin.py MODEL.onnx DATA [--faces N]

Each validation face is enlarged and embedded in a larger frame, similar to a camera image. The frontal cascade detects
it, and the crop around the detected box is classified. Faces that are not detected are counted and excluded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from common import FACE_SIDE, embed_face, save_results
from edgeinfer import Box, EmotionClassifier, HaarDetector
from edgeinfer.expression.preprocess import crop_face
from edgeinfer_train.datasets.load import load_split, read_info

MARGINS = (-0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--faces", type=int, default=1000)
    options = parser.parse_args()

    classifier, detector = EmotionClassifier.load(options.model), HaarDetector()
    faces, info = load_split(options.data, "valid", limit=options.faces), read_info(options.data)
    if info.labels != classifier.labels:
        raise SystemExit(
            f"the model has the labels {classifier.labels} and the data {info.labels}; expected the same labels"
        )
    direct = [emotion.label for emotion in classifier.classify([image[:, :, 0] for image in faces.images])]
    truth = [info.labels[label] for label in faces.labels]
    hits: dict[float, list[bool]] = {margin: [] for margin in MARGINS}
    tiles: list[bool] = []
    sides: list[float] = []
    for image, label, uncropped in zip(faces.images, truth, direct, strict=True):
        frame = embed_face(image[:, :, 0])
        boxes = [box for box in detector.detect(frame) if box.iou(Box(60, 60, FACE_SIDE, FACE_SIDE)) > 0.3]
        if not boxes:
            continue
        box = max(boxes, key=lambda b: b.w)
        sides.append(box.w / FACE_SIDE)
        tiles.append(uncropped == label)
        crops = [crop_face(frame, box.xywh, margin) for margin in MARGINS]
        for margin, emotion in zip(MARGINS, classifier.classify(crops), strict=True):
            hits[margin].append(emotion.label == label)
    report = {
        "model": classifier.card.name,
        "sha256": classifier.card.sha256,
        "data": f"{info.name} validation, {len(faces)} faces, {info.label_mode}",
        "found": len(sides) / len(faces),
        "box_side_of_tile": float(np.median(sides)),
        "accuracy_of_tiles_found": float(np.mean(tiles)),
        "accuracy_by_margin": {str(margin): float(np.mean(row)) for margin, row in hits.items()},
    }
    print(f"{report['data']}: the cascade detects {report['found']:.1%}")
    print(f"the side of its boxes is {report['box_side_of_tile']:.2f} of that of the face picture")
    print(f"whole picture   {report['accuracy_of_tiles_found']:.4f}")
    for margin, row in hits.items():
        print(f"margin {margin:+.2f}    {np.mean(row):.4f}")
    save_results("crop_margin", report)


if __name__ == "__main__":
    main()
