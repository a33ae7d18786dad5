"""Sums over intervals of equal width, whose number is bounded however long a recording is."""

from __future__ import annotations

import math

MAX_BINS = 2048
FIRST_WIDTH_S = 0.02
CHANNEL_BITS = 6
CHANNELS = 1 << CHANNEL_BITS
"""Number of different values, such as labels, that one series distinguishes."""


class TimeGrid:
    """Division of time into intervals. Their width doubles whenever a time lies beyond the last of `MAX_BINS`.

    Attributes:
        origin_s: Start of the first interval in seconds.
        width_s: Width of an interval in seconds.
    """

    def __init__(self, origin_s: float) -> None:
        """Create a grid with the smallest width."""
        self.origin_s, self.width_s = origin_s, FIRST_WIDTH_S

    def parts(self, start_s: float, end_s: float) -> list[tuple[int, float]]:
        """Return the number of each interval within a span, and the seconds of the span in it.

        Times before the origin belong to the first interval.

        Args:
            start_s: Start of the span.
            end_s: End of the span; one that is not after the start has no parts.
        """
        start, end = max(0.0, start_s - self.origin_s), end_s - self.origin_s
        while end > MAX_BINS * self.width_s:
            self.width_s *= 2
        width = self.width_s
        first, last = int(start / width), math.ceil(end / width) - 1
        if last <= first:
            return [(first, end - start)] if end > start else []
        middle = [(number, width) for number in range(first + 1, last)]
        return [(first, (first + 1) * width - start), *middle, (last, end - last * width)]


class BinnedTimes:
    """Seconds per interval and channel, and a mean weighted with them.

    Attributes:
        cells: Map from `CHANNELS * interval + channel` to [seconds, sum of seconds times value].
    """

    __slots__ = ("_width_s", "cells")

    def __init__(self) -> None:
        """Create an empty series."""
        self.cells: dict[int, list[float]] = {}
        self._width_s = FIRST_WIDTH_S

    def add(self, grid: TimeGrid, parts: list[tuple[int, float]], channel: int, value: float) -> None:
        """Add a span.

        Args:
            grid: Intervals of the recording.
            parts: Parts of the span in the current intervals of `grid`.
            channel: Channel, 0..CHANNELS - 1.
            value: Value during the span.
        """
        if self._width_s != grid.width_s:
            self.fit(grid)
        cells = self.cells
        for number, seconds in parts:
            key = CHANNELS * number + channel
            cell = cells.get(key)
            if cell is None:
                cells[key] = [seconds, seconds * value]
            else:
                cell[0] += seconds
                cell[1] += seconds * value

    def fit(self, grid: TimeGrid) -> None:
        """Merge intervals until they have the width of the grid."""
        factor = round(grid.width_s / self._width_s)
        self._width_s = grid.width_s
        if factor > 1:
            self.cells = merged(self.cells, factor)

    def seconds(self, channel: int) -> dict[int, float]:
        """Return the seconds of one channel by interval."""
        return {key // CHANNELS: cell[0] for key, cell in self.cells.items() if key % CHANNELS == channel}


def merged(cells: dict[int, list[float]], factor: int) -> dict[int, list[float]]:
    """Return the cells of intervals that are wider by a factor, which is a power of two."""
    wider: dict[int, list[float]] = {}
    shift, channels = CHANNEL_BITS + factor.bit_length() - 1, CHANNELS - 1
    for key, (seconds, product) in cells.items():
        target = (key >> shift << CHANNEL_BITS) | (key & channels)
        cell = wider.get(target)
        if cell is None:
            wider[target] = [seconds, product]
        else:
            cell[0] += seconds
            cell[1] += product
    return wider
