"""Which crop margin suits a model: accuracy on faces that the cascade found, for a row of margins.

    python benchmarks/crop_margin.py MODEL.onnx DATA [--faces N]

Each validation face is enlarged and set into a larger frame, as a camera would show it; the frontal cascade looks
for it; the crop around the box that it finds is classified. Faces that it does not find are counted and left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from common import FACE_SIDE, keep, set_into_frame
from edgeinfer import Box, EmotionClassifier, HaarDetector
from edgeinfer.expression.preprocess import crop_face
from edgeinfer_train.datasets.load import load_split, read_info

MARGINS = (-0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--faces", type=int, default=1000)
    options = parser.parse_args()

    classifier, detector = EmotionClassifier.load(options.model), HaarDetector()
    faces, info = load_split(options.data, "valid", limit=options.faces), read_info(options.data)
    if info.labels != classifier.labels:
        raise SystemExit(f"the model reads {classifier.labels}, the data hold {info.labels}")
    whole = [answer.label for answer in classifier.classify([image[:, :, 0] for image in faces.images])]
    truth = [info.labels[label] for label in faces.labels]
    right: dict[float, list[bool]] = {margin: [] for margin in MARGINS}
    tiles: list[bool] = []
    sides: list[float] = []
    for image, wanted, direct in zip(faces.images, truth, whole, strict=True):
        frame = set_into_frame(image[:, :, 0])
        boxes = [box for box in detector.detect(frame) if box.iou(Box(60, 60, FACE_SIDE, FACE_SIDE)) > 0.3]
        if not boxes:
            continue
        box = max(boxes, key=lambda b: b.w)
        sides.append(box.w / FACE_SIDE)
        tiles.append(direct == wanted)
        crops = [crop_face(frame, box.xywh, margin) for margin in MARGINS]
        for margin, answer in zip(MARGINS, classifier.classify(crops), strict=True):
            right[margin].append(answer.label == wanted)
    report = {
        "model": classifier.card.name,
        "sha256": classifier.card.sha256,
        "data": f"{info.name} validation, {len(faces)} faces, {info.label_mode}",
        "found": len(sides) / len(faces),
        "box_side_of_tile": float(np.median(sides)),
        "accuracy_of_tiles_found": float(np.mean(tiles)),
        "accuracy_by_margin": {str(margin): float(np.mean(hits)) for margin, hits in right.items()},
    }
    print(f"{report['data']}: the cascade finds {report['found']:.1%}")
    print(f"its boxes are {report['box_side_of_tile']:.2f} of the side of the face picture")
    print(f"tile as it is   {report['accuracy_of_tiles_found']:.4f}")
    for margin, hits in right.items():
        print(f"margin {margin:+.2f}    {np.mean(hits):.4f}")
    keep("crop_margin", report)


if __name__ == "__main__":
    main()
