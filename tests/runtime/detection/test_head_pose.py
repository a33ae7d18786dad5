from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer import Pose, YuNetDetector, load_pipeline, open_source
from edgeinfer.detection.head_pose import FACE_MODEL_MM, estimate_pose
from edgeinfer.results import Image

Points = list[tuple[float, float]]


def view(pose: Pose, scale: float = 0.5) -> Points:
    """Return the points of the rigid face in an orientation, without perspective."""
    roll, yaw, pitch = np.radians([pose.roll, pose.yaw, pose.pitch])
    turn = cv2.Rodrigues(np.array([0.0, yaw, 0.0]))[0] @ cv2.Rodrigues(np.array([pitch, 0.0, 0.0]))[0]
    turn = cv2.Rodrigues(np.array([0.0, 0.0, roll]))[0] @ turn
    points: NDArray[np.float64] = np.array(FACE_MODEL_MM) @ turn.T * scale + 200
    return [(float(x), float(y)) for x, y, _ in points]


def values(pose: Pose | None) -> tuple[float, float, float]:
    assert pose is not None
    return pose.roll, pose.yaw, pose.pitch


@pytest.mark.parametrize(
    "pose",
    [Pose(0, 0, 0), Pose(-35, 0, 0), Pose(0, 60, 0), Pose(0, 0, -40), Pose(100, -50, 20), Pose(-170, 10, 30)],
    ids=lambda pose: f"{pose.roll}-{pose.yaw}-{pose.pitch}",
)
def test_pose_of_the_model_is_recovered(pose: Pose) -> None:
    assert values(estimate_pose(view(pose))) == pytest.approx(values(pose), abs=0.01)


@pytest.mark.parametrize(
    "points", [[], [(5.0, 5.0)] * 5, [(float(n), 2.0 * n) for n in range(5)]], ids=["none", "equal", "line"]
)
def test_degenerate_points_have_no_pose(points: Points) -> None:
    assert estimate_pose(points) is None


@pytest.mark.parametrize(
    ("pose", "turned"),
    [(Pose(60, 0, 0), False), (Pose(0, 20, -20), False), (Pose(0, -31, 0), True), (Pose(0, 0, 26), True)],
    ids=["rolled", "slightly", "aside", "up"],
)
def test_turned_face_looks_away_from_the_camera(pose: Pose, turned: bool) -> None:
    assert pose.turned is turned


def test_roll_follows_the_rotated_picture(yunet: Path, portrait: Image) -> None:
    detector, rolls = YuNetDetector(yunet), []
    for degrees in (-25, 0, 25):
        # OpenCV rotates counterclockwise for positive angles.
        rotation = cv2.getRotationMatrix2D((portrait.shape[1] / 2, portrait.shape[0] / 2), -degrees, 0.9)
        rotated = cv2.warpAffine(portrait, rotation, portrait.shape[1::-1])
        rolls.append(values(detector.detect(np.asarray(rotated, np.uint8))[0].pose)[0])
    left, upright, right = rolls
    assert left < upright < right


@pytest.mark.parametrize("track", [True, False], ids=["tracked", "stills"])
def test_mirrored_clip_has_the_opposite_yaw(yunet: Path, clip: Path, tiny_model: Path, track: bool) -> None:
    with open_source(clip) as source:
        images = [frame.image for frame, _ in zip(source, range(12), strict=False)]
    poses = []
    for mirror in (False, True):
        pipeline = load_pipeline(model=tiny_model, detector="yunet", detector_model=yunet, track=track)
        found = [pipeline(np.ascontiguousarray(image[:, ::-1]) if mirror else image).faces for image in images]
        assert all(len(faces) == 1 and faces[0].pose is not None for faces in found)
        poses.append([values(faces[0].pose) for faces in found])
    original, mirrored = (np.array(rows) for rows in poses)
    assert np.abs(original * [-1, -1, 1] - mirrored).mean() < 6


def test_cascade_reports_no_pose(clip: Path, tiny_model: Path) -> None:
    pipeline = load_pipeline(model=tiny_model)
    with open_source(clip) as source:
        (face,) = pipeline(next(iter(source)).image).faces
    assert face.pose is None
    assert not face.turned
    assert face.size_px == face.box.w
