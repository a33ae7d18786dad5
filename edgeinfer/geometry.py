"""Face rectangles in fractional pixels, and regions of a frame."""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer.results import Box, Pose


@dataclass(frozen=True, slots=True)
class Place:
    """A face rectangle with subpixel precision.

    Attributes:
        x: Horizontal position of the centre, in pixels of the frame.
        y: Vertical position of the centre, in pixels.
        w: Width in pixels.
        h: Height in pixels.
        pose: Orientation of the head when it was last detected, or None if unknown.
    """

    x: float
    y: float
    w: float
    h: float
    pose: Pose | None = None

    @classmethod
    def of(cls, box: Box) -> Place:
        """Return the place of a box."""
        return cls(box.x + (box.w - 1) / 2, box.y + (box.h - 1) / 2, box.w, box.h, box.pose)

    @property
    def side(self) -> float:
        """Side length of the square with the same area, in pixels."""
        return float((self.w * self.h) ** 0.5)

    def box(self) -> Box:
        """Return the nearest box in whole pixels, at least 1x1."""
        left, top = round(self.x - (self.w - 1) / 2), round(self.y - (self.h - 1) / 2)
        return Box(left, top, max(1, round(self.w)), max(1, round(self.h)), pose=self.pose)

    def moved(self, x: float, y: float, zoom: float = 1.0) -> Place:
        """Return the place shifted by (x, y) pixels and scaled about its centre by `zoom`."""
        return Place(self.x + x, self.y + y, self.w * zoom, self.h * zoom, self.pose)

    def towards(self, other: Place, share: float) -> Place:
        """Interpolate linearly between this place (`share` 0) and another (`share` 1), with the pose of the other."""
        rest = 1 - share
        return Place(rest * self.x + share * other.x, rest * self.y + share * other.y,
                     rest * self.w + share * other.w, rest * self.h + share * other.h, other.pose)  # fmt: skip

    def iou(self, other: Place) -> float:
        """Return the intersection over union with another place, 0..1."""
        intersection = self.common(other)
        return intersection / (self.w * self.h + other.w * other.h - intersection) if intersection else 0.0

    def common(self, other: Place) -> float:
        """Return the area of the intersection in square pixels."""
        width = min(self.x + self.w / 2, other.x + other.w / 2) - max(self.x - self.w / 2, other.x - other.w / 2)
        height = min(self.y + self.h / 2, other.y + other.h / 2) - max(self.y - self.h / 2, other.y - other.h / 2)
        return width * height if width > 0 and height > 0 else 0.0


Region = tuple[float, float, float, float]
"""Part of a frame: (left, top, right, bottom) as fractions of its width and height, 0..1."""
WHOLE: Region = (0.0, 0.0, 1.0, 1.0)
