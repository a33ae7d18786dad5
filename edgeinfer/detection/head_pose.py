"""Orientation of a head from five facial points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgeinfer.results import Pose

FACE_MODEL_MM = (
    (-31.5, 0.0, 0.0),
    (31.5, 0.0, 0.0),
    (0.0, 36.0, 27.0),
    (-26.0, 72.5, 2.0),
    (26.0, 72.5, 2.0),
)
"""Position of the eyes, tip of the nose and corners of the mouth in a frontal view: x to the right of the picture, y
downward, z towards the camera.

x and y are those of the template of ArcFace (Deng et al. 2019, arXiv:1801.07698, in the `insightface` repository) for a
distance of 63 mm between the eyes, the mean of adults (Dodgson 2004, doi:10.1117/12.529999). z follows the generic face
of Mallick (2016, "Head Pose Estimation using OpenCV and Dlib"), in which the tip of the nose protrudes by three tenths
of the width of the eye region.
"""


def estimate_pose(points: Sequence[tuple[float, float]]) -> Pose | None:
    """Return the orientation of a head, or None if the points are not five or lie on one line.

    The points are fitted with a rigid face under weak perspective: the affine camera with the least squared error,
    of which the nearest scaled rotation is the polar factor. This is the first step of POSIT (DeMenthon and Davis
    1995, doi:10.1007/BF01450852). `benchmarks/pose.py` measures its error.

    Args:
        points: (x, y) in pixels of the eye at the left of the picture, the other eye, the tip of the nose, and the
            corners of the mouth in the order of the eyes; the detector's order for an upright face.

    Examples:
        >>> from edgeinfer.detection.head_pose import estimate_pose
        >>> pose = estimate_pose([(40, 50), (72, 50), (60, 68), (44, 87), (70, 87)])
        >>> round(pose.roll), round(pose.yaw), round(pose.pitch)
        (0, 15, 2)
    """
    if len(points) != len(FACE_MODEL_MM):
        return None
    across = [sum(w * x for w, (x, _) in zip(row, points, strict=True)) for row in _TO_CAMERA]
    down = [sum(w * y for w, (_, y) in zip(row, points, strict=True)) for row in _TO_CAMERA]
    # The rows of the 2x3 camera C are made orthonormal by (C C')^-1/2, which is closed for 2x2 matrices.
    a, b, c = _dot(across, across), _dot(across, down), _dot(down, down)
    determinant = a * c - b * b
    if determinant <= 1e-9 * (a + c) ** 2:
        return None
    root = math.sqrt(determinant)
    scale = 1 / (root * math.sqrt(a + c + 2 * root))
    x1, y1, z1 = (scale * ((c + root) * u - b * v) for u, v in zip(across, down, strict=True))
    x2, y2, z2 = (scale * ((a + root) * v - b * u) for u, v in zip(across, down, strict=True))
    x3, y3, z3 = y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2
    return Pose(
        roll=math.degrees(math.atan2(x2, x1)),
        yaw=math.degrees(math.asin(max(-1.0, min(1.0, -x3)))),
        pitch=math.degrees(math.atan2(y3, z3)),
    )


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(u * v for u, v in zip(one, other, strict=True))


# Pseudoinverse of the centred model, (3, 5); its rows sum to 0, so that the points need not be centred.
_TO_CAMERA: list[list[float]] = np.linalg.pinv(np.subtract(FACE_MODEL_MM, np.mean(FACE_MODEL_MM, axis=0))).tolist()
