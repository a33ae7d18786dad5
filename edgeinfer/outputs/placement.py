"""Positions of the labels in an annotated frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

INSIDE_SHARE = 0.25
"""Largest share of a box's height that a label inside the box may cover while another position is free."""


class Area(NamedTuple):
    """A rectangle in pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def has_pixels(self) -> bool:
        """True unless the area is empty."""
        return self.left < self.right and self.top < self.bottom

    def inside(self, frame_wh: tuple[int, int]) -> Area:
        """Return the part inside a frame; an area outside it becomes empty or inverted."""
        width, height = frame_wh
        return Area(max(0, self.left), max(0, self.top), min(width, self.right), min(height, self.bottom))


def place_label(
    label_wh: tuple[int, int], box: Area, others: Sequence[Area], labels: Sequence[Area], frame_wh: tuple[int, int]
) -> tuple[Area, bool]:
    """Return an area for a label inside the frame, and True if it covers no other face and no other label.

    The positions above the box, below it, inside it and beside it are tried in this order. If none is free, the one
    that hides the fewest pixels is returned; a pixel of a label counts four times.

    Args:
        label_wh: Width and height of the label in pixels, at most those of the frame.
        box: Box of the face, inside the frame.
        others: Boxes of the other faces.
        labels: Areas of the labels that are placed already.
        frame_wh: Width and height of the frame in pixels.

    Examples:
        >>> place_label((60, 12), Area(20, 40, 80, 100), [], [], (160, 120))
        (Area(left=20, top=28, right=80, bottom=40), True)
        >>> place_label((60, 12), Area(20, 0, 80, 100), [], [], (160, 120))
        (Area(left=20, top=100, right=80, bottom=112), True)
    """
    taken: list[tuple[int, Area]] = []
    for area in _positions(label_wh, box, frame_wh):
        hidden = _hidden_pixels(area, others) + 4 * _hidden_pixels(area, labels)
        if hidden == 0:
            return area, True
        taken.append((hidden, area))
    return min(taken, key=lambda item: item[0])[1], False


def _positions(label_wh: tuple[int, int], box: Area, frame_wh: tuple[int, int]) -> Iterator[Area]:
    """Yield the possible areas of a label inside the frame, best first."""
    (width, height), (frame_w, frame_h) = label_wh, frame_wh
    left, right = box.left, box.right - width
    top, bottom = box.top, box.bottom - height
    for y in (box.top - height, box.bottom):
        if 0 <= y <= frame_h - height:
            yield from (_clamped(x, y, label_wh, frame_wh) for x in (left, right))
    is_small = height <= INSIDE_SHARE * (box.bottom - box.top)
    for inside in (is_small, not is_small):
        for x in (left, right) if inside else (box.right, box.left - width):
            if inside or 0 <= x <= frame_w - width:
                yield from (_clamped(x, y, label_wh, frame_wh) for y in (top, bottom))


def _clamped(x: int, y: int, label_wh: tuple[int, int], frame_wh: tuple[int, int]) -> Area:
    (width, height), (frame_w, frame_h) = label_wh, frame_wh
    left, top = max(0, min(x, frame_w - width)), max(0, min(y, frame_h - height))
    return Area(left, top, left + width, top + height)


def _hidden_pixels(area: Area, others: Iterable[Area]) -> int:
    left, top, right, bottom = area
    return sum(
        (min(right, other_right) - max(left, other_left)) * (min(bottom, other_bottom) - max(top, other_top))
        for other_left, other_top, other_right, other_bottom in others
        if left < other_right and other_left < right and top < other_bottom and other_top < bottom
    )
