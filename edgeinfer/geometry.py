"""Geometry of faces in fractional pixels."""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer.results import Box


@dataclass(frozen=True, slots=True)
class Place:
    """A face between pixels.

    Attributes:
        x: centre in pixels of the frame.
        y: centre.
        w: width in pixels.
        h: height in pixels.
    """

    x: float
    y: float
    w: float
    h: float

    @classmethod
    def of(cls, box: Box) -> Place:
        """The place of a box."""
        return cls(box.x + (box.w - 1) / 2, box.y + (box.h - 1) / 2, box.w, box.h)

    @property
    def side(self) -> float:
        """Side of the square of the same area, in pixels."""
        return float((self.w * self.h) ** 0.5)

    def box(self) -> Box:
        """The nearest box in whole pixels."""
        left, top = round(self.x - (self.w - 1) / 2), round(self.y - (self.h - 1) / 2)
        return Box(left, top, max(1, round(self.w)), max(1, round(self.h)))

    def moved(self, x: float, y: float, zoom: float = 1.0) -> Place:
        """The place so many pixels further, and so many times as large."""
        return Place(self.x + x, self.y + y, self.w * zoom, self.h * zoom)

    def towards(self, other: Place, share: float) -> Place:
        """Between this place (0) and another (1)."""
        mine = 1 - share
        return Place(mine * self.x + share * other.x, mine * self.y + share * other.y,
                     mine * self.w + share * other.w, mine * self.h + share * other.h)  # fmt: skip

    def iou(self, other: Place) -> float:
        """Intersection over union, 0..1."""
        common = self.common(other)
        return common / (self.w * self.h + other.w * other.h - common) if common else 0.0

    def common(self, other: Place) -> float:
        """Area of the intersection in square pixels."""
        wide = min(self.x + self.w / 2, other.x + other.w / 2) - max(self.x - self.w / 2, other.x - other.w / 2)
        high = min(self.y + self.h / 2, other.y + other.h / 2) - max(self.y - self.h / 2, other.y - other.h / 2)
        return wide * high if wide > 0 and high > 0 else 0.0


Region = tuple[float, float, float, float]
"""A part of the frame: left, top, right, bottom as shares of its width and height, 0..1."""
WHOLE: Region = (0.0, 0.0, 1.0, 1.0)
