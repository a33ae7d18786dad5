"""Correction of the confidence in tiny and rolled faces."""

from __future__ import annotations

from edgeinfer.results import Box, Emotion

MIN_SIZE_PX, SIZE_SLOPE = 12, 0.54
"""Size in pixels below which the temperature grows, and its growth per multiple of the true size."""
MAX_ROLL, ROLL_SLOPE = 20.0, 0.0145
"""Roll in degrees above which the temperature grows, and its growth per degree."""


def temperature(box: Box) -> float:
    """Return the temperature by which the confidence in the expression of a face is too high, 1 or more.

    The constants are fitted to validation faces of FERPlus by `benchmarks/confidence.py`. Confidence in turned faces is
    lower without a correction, and as high as the accuracy.

    Args:
        box: Bounding box with the pose of the head, if it is known.

    Examples:
        >>> from edgeinfer import Box, Pose
        >>> temperature(Box(0, 0, 40, 40)), temperature(Box(0, 0, 40, 40, pose=Pose(roll=-60, yaw=0, pitch=0)))
        (1.0, 1.58)
    """
    value = 1 + SIZE_SLOPE * max(0.0, MIN_SIZE_PX / min(box.w, box.h) - 1)
    if box.pose is not None:
        value *= 1 + ROLL_SLOPE * max(0.0, abs(box.pose.roll) - MAX_ROLL)
    return value


def soften(emotion: Emotion, temperature: float) -> Emotion:
    """Return an expression with less confidence and the same label, as if its logits were divided by a temperature.

    Examples:
        >>> from edgeinfer import Emotion
        >>> softened = soften(Emotion("happy", 0.9, {"neutral": 0.1, "happy": 0.9}), 2.0)
        >>> softened.label, round(softened.confidence, 2)
        ('happy', 0.75)
    """
    if temperature == 1:
        return emotion
    powers = {label: share ** (1 / temperature) for label, share in emotion.probabilities.items()}
    total = sum(powers.values())
    probabilities = {label: power / total for label, power in powers.items()}
    return Emotion(emotion.label, probabilities[emotion.label], probabilities)
