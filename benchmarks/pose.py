"""Error of the head pose on synthetic views of a rigid face, and its dependence on the size of real faces.

    python benchmarks/pose.py [--pictures PICTURE...] [--picture OUT.png IMAGE]

Views: the model of `edgeinfer/detection/head_pose.py`, seen in perspective from 0.6 m, with roll and pitch from -20 to
20 degrees and noise in each point with a standard deviation of 3 % of the distance between the eyes. `model` also moves
each point of the model itself by 2 mm in each direction, since faces differ. Pictures: faces that YuNet finds, scaled
and rotated by 20 degrees to both sides; the gain is the share of the rotation that the roll follows. `--picture` draws
the axes of the heads in an image.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common import save_results
from edgeinfer import Pose, YuNetDetector
from edgeinfer.detection.head_pose import FACE_MODEL_MM, estimate_pose
from edgeinfer.detection.yunet_network import Detection
from edgeinfer.results import Image

YAWS = (0, 15, 30, 45, 60)
SIDES = (32, 64, 128)
VIEWS, DISTANCE_MM, EYES_MM, NOISE, MODEL_NOISE_MM, ROTATION = 1000, 600.0, 63.0, 0.03, 2.0, 20

Floats = NDArray[np.float64]


def rotation(pose: Pose) -> Floats:
    """Return the (3, 3) rotation of a pose, with x to the right, y downward and z towards the camera."""
    roll, yaw, pitch = np.radians([pose.roll, pose.yaw, pose.pitch])
    parts = [cv2.Rodrigues(np.array(axis))[0] for axis in ([0.0, 0.0, roll], [0.0, yaw, 0.0], [pitch, 0.0, 0.0])]
    return np.asarray(parts[0] @ parts[1] @ parts[2], np.float64)


def synthetic_errors(yaw: float, random: np.random.Generator, *, vary_model: bool) -> list[float]:
    """Return the mean absolute errors of roll, yaw and pitch in degrees for one yaw."""
    errors = []
    for _ in range(VIEWS):
        roll, pitch = random.uniform(-20, 20, 2)
        true = Pose(roll, yaw, pitch)
        model = np.array(FACE_MODEL_MM) - np.mean(FACE_MODEL_MM, axis=0)
        if vary_model:
            model = model + random.normal(0, MODEL_NOISE_MM, model.shape)
        turned = model @ rotation(true).T
        seen = turned[:, :2] * DISTANCE_MM / (DISTANCE_MM - turned[:, 2:])
        found = estimate_pose((seen + random.normal(0, NOISE * EYES_MM, seen.shape)).tolist())
        if found is not None:
            errors.append([abs(found.roll - true.roll), abs(found.yaw - true.yaw), abs(found.pitch - true.pitch)])
    return [round(float(value), 1) for value in np.mean(errors, axis=0)]


def roll_gain(image: Image, face: Detection, side: int, detector: YuNetDetector) -> float | None:
    """Return the share of a rotation that the roll of a face of a size follows, or None if it is not found."""
    rolls = []
    for degrees in (-ROTATION, ROTATION):
        zoom, place = side / max(face.xywh[2:]), face.place
        small = cv2.resize(image, None, fx=min(1, zoom), fy=min(1, zoom), interpolation=cv2.INTER_AREA)
        middle = place.x * min(1, zoom), place.y * min(1, zoom)
        turn = np.asarray(cv2.getRotationMatrix2D(middle, -degrees, max(1, zoom)), np.float64)
        turn[:, 2] += 1.5 * side - np.array(middle)
        picture = cv2.warpAffine(small, turn, (3 * side, 3 * side), borderMode=cv2.BORDER_REPLICATE)
        near = [f.place for f in detector.find(np.asarray(picture, np.uint8)) if abs(f.place.x - 1.5 * side) < side / 2]
        if not near or near[0].pose is None:
            return None
        rolls.append(near[0].pose.roll)
    return (rolls[1] - rolls[0]) / (2 * ROTATION)


def draw_axes(image: Image, faces: list[Detection]) -> Image:
    """Return a copy with each head's axes: right in red, down in green, forward in blue, and the five points."""
    copy = image.copy()
    for face in faces:
        place = face.place
        if place.pose is None:
            continue
        origin = np.array(face.points[2])
        for axis, colour in zip(rotation(place.pose).T, ((0, 0, 255), (0, 200, 0), (255, 80, 0)), strict=True):
            end = origin + axis[:2] * place.side * 0.6
            cv2.line(copy, tuple(int(v) for v in origin), tuple(int(v) for v in end), colour, 2, cv2.LINE_AA)
        for x, y in face.points:
            cv2.circle(copy, (int(x), int(y)), 2, (0, 255, 255), -1)
    return copy


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=Path, nargs="*", default=[])
    parser.add_argument("--picture", type=Path, nargs=2, metavar=("OUT", "IMAGE"))
    options = parser.parse_args()

    if options.picture:
        image = np.asarray(cv2.imread(str(options.picture[1])), np.uint8)
        faces = YuNetDetector().find(image)
        cv2.imwrite(str(options.picture[0]), draw_axes(image, faces))
        for face in faces:
            print(face.place.box().xywh, face.place.pose)
        return
    random = np.random.default_rng(0)
    report: dict[str, Any] = {"views": {}}
    for yaw in YAWS:
        report["views"][str(yaw)] = {
            "points": synthetic_errors(yaw, random, vary_model=False),
            "model": synthetic_errors(yaw, random, vary_model=True),
        }
        print(f"yaw {yaw:2}: mean error of roll, yaw, pitch {report['views'][str(yaw)]}")
    detector = YuNetDetector()
    for side in SIDES if options.pictures else ():
        gains = [
            gain
            for image in (np.asarray(cv2.imread(str(path)), np.uint8) for path in options.pictures)
            for face in detector.find(image)
            if (gain := roll_gain(image, face, side, detector)) is not None
        ]
        report.setdefault("roll_gain", {})[str(side)] = {
            "faces": len(gains),
            "median": round(float(np.median(gains)), 2),
        }
        print(f"faces of {side} pixels: gain of the roll {report['roll_gain'][str(side)]}")
    save_results("pose", report)


if __name__ == "__main__":
    main()
