"""Agreement between the labels of faces found by the cascade and by YuNet, by the crop made from YuNet's box.

    python benchmarks/detector_labels.py --clips CLIP... [--data DATA]

Clips: on every second frame, both detectors search the full frame, and each pair of boxes of one face is classified
without smoothing. The same box of the cascade, moved and scaled at random by 3 %, shows the share of labels that depend
on a few pixels. The labels of two runs with tracking are compared too. Data: validation faces of FERPlus, enlarged in a
frame, with the accuracy of their labels.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import FACE_SIDE, embed_face, save_results
from edgeinfer import Box, EmotionClassifier, HaarDetector, YuNetDetector, load_pipeline, open_source
from edgeinfer.detection.yunet_network import Detection
from edgeinfer.expression.preprocess import crop_face
from edgeinfer.pixels import in_grey
from edgeinfer.results import Image
from edgeinfer_train.datasets.load import load_split, read_info

SHARES = (0.8, 0.85, 0.9, 0.95, 1.0)
Pair = tuple[Image, Box, Detection, str]
"""Grey frame, box of the cascade, detection of YuNet, and the true label or ""."""


def pairs(image: Image, truth: str, haar: HaarDetector, yunet: YuNetDetector) -> Iterator[Pair]:
    """Yield the faces that both detectors find in a frame."""
    grey = in_grey(image)
    found = yunet.find(image)
    for box in haar.detect(grey):
        for face in found:
            if box.iou(face.place.box()) > 0.3:
                yield grey, box, face, truth


def crops(pair: Pair, random: np.random.Generator) -> dict[str, Image]:
    """Return the crops of a face by name."""
    grey, box, face, _ = pair
    place = face.place
    made = {"cascade": crop_face(grey, box.xywh, 0), "YuNet's box": crop_face(grey, place.box().xywh, 0)}
    for share in SHARES:
        made[f"square of {share:g} of its height"] = crop_face(grey, _square(place.x, place.y, share * place.h), 0)
    side, centre = 0.9 * place.h, (place.x, place.y)
    rotation = np.asarray(cv2.getRotationMatrix2D(centre, place.pose.roll if place.pose else 0, 1), np.float64)
    rotation[:, 2] += np.array([side / 2, side / 2]) - centre
    aligned = cv2.warpAffine(grey, rotation, (round(side), round(side)), borderMode=cv2.BORDER_REPLICATE)
    made["square of 0.9, upright"] = np.asarray(aligned, np.uint8)
    x, y, zoom = random.normal(0, 0.03, 3)
    shifted = _square(box.x + box.w / 2 + x * box.w, box.y + box.h / 2 + y * box.h, (1 + zoom) * box.w)
    made["cascade, moved by 3 %"] = crop_face(grey, shifted, 0)
    return made


def _square(x: float, y: float, side: float) -> tuple[int, int, int, int]:
    return round(x - side / 2), round(y - side / 2), round(side), round(side)


def compare(found: list[Pair], classifier: EmotionClassifier) -> dict[str, Any]:
    """Return the agreement with the cascade's crop, and the accuracy if the labels are known, in percent."""
    random = np.random.default_rng(0)
    made = [crops(pair, random) for pair in found]
    truth = np.array([pair[3] for pair in found])
    labels = {
        name: np.array([classifier.classify([row[name]])[0].label for row in made])
        for name in (made[0] if made else ())
    }
    return {
        name: {
            "agreement": round(100 * float((row == labels["cascade"]).mean()), 1),
            "accuracy": round(100 * float((row == truth).mean()), 1) if truth[0] else None,
        }
        for name, row in labels.items()
    } | {"faces": len(found)}


def compare_runs(clip: Path) -> dict[str, Any]:
    """Return the agreement of the unsmoothed labels of two runs with tracking, in percent of the common faces."""
    pipelines, equal = (load_pipeline(), load_pipeline(detector="yunet")), []
    with open_source(clip) as source:
        for frame in source:
            one, other = (pipeline(frame.image, timestamp_s=frame.timestamp_s).faces for pipeline in pipelines)
            equal += [a.raw.label == b.raw.label for a in one for b in other if a.box.iou(b.box) > 0.3]
    return {"faces": len(equal), "agreement": round(100 * float(np.mean(equal)), 1)}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=Path, nargs="*", default=[])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--faces", type=int, default=1000)
    options = parser.parse_args()

    haar, yunet, classifier = HaarDetector(), YuNetDetector(), EmotionClassifier.load()
    report: dict[str, Any] = {}
    for clip in options.clips:
        with open_source(clip) as source:
            images = (frame.image for frame in source if frame.index % 2)
            report[clip.name] = compare([p for image in images for p in pairs(image, "", haar, yunet)], classifier)
        report[clip.name]["runs"] = compare_runs(clip)
    if options.data:
        faces, info = load_split(options.data, "valid", limit=options.faces), read_info(options.data)
        embedded = (embed_face(image[:, :, 0]) for image in faces.images)
        found = [
            pair
            for image, label in zip(embedded, faces.labels, strict=True)
            for pair in pairs(image, info.labels[label], haar, yunet)
            if pair[1].iou(Box(60, 60, FACE_SIDE, FACE_SIDE)) > 0.3
        ]
        report[f"{info.name} validation, {len(faces)} faces in frames"] = compare(found, classifier)
    for name, rows in report.items():
        print(name, "faces:", rows["faces"], "runs:", rows.get("runs"))
        for crop, row in rows.items():
            if crop not in ("faces", "runs"):
                print(f"  {crop:32} agreement {row['agreement']}  accuracy {row['accuracy']}")
    save_results("detector_labels", report)


if __name__ == "__main__":
    main()
