"""Division of a search into overlapping tiles for small faces and reduced pictures for large ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeinfer.geometry import Region

GRIDS = ((2, 1), (2, 2), (3, 2), (4, 2))
"""Number of tiles along the longer and the shorter side of a region."""
MAX_TILE, MAX_TOTAL = 0.6, 2.0
"""Area of a tile, and of all tiles together, relative to the region, above which a grid is not used because of its
overlap."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a search.

    Attributes:
        region: Region of the frame.
        halvings: Number of times that the resolution is halved.
        max_share: Side of the largest face that is completely inside a part, as a share of the frame's width.
    """

    region: Region
    halvings: int = 0
    max_share: float = math.inf


def divide_search(
    region: Region, overlap: tuple[float, float], costs_s: Sequence[float], max_s: float, *, min_tile: float = 0.0
) -> list[Part]:
    """Return parts of a search that each take at most a given time, as far as possible; those for large faces first.

    At the lowest resolution, the region is not divided.

    Args:
        region: Left, top, right and bottom as shares of the frame.
        overlap: Side of the smallest face at half resolution as a share of the frame's width and height, above 0.
        costs_s: Time for the whole frame in seconds, by number of halvings; 0 if it is unknown.
        max_s: Longest time of a part in seconds.
        min_tile: Area of the smallest tile as a share of the region.

    Examples:
        >>> for part in divide_search((0.0, 0.0, 1.0, 1.0), (0.2, 0.4), (1.0, 0.25, 0.06), 0.7):
        ...     print(part)
        Part(region=(0.0, 0.0, 1.0, 1.0), halvings=1, max_share=inf)
        Part(region=(0.0, 0.0, 0.6, 1.0), halvings=0, max_share=0.2)
        Part(region=(0.4, 0.0, 1.0, 1.0), halvings=0, max_share=0.2)
    """
    parts: list[Part] = []
    for halvings, cost_s in enumerate(costs_s):
        across, down = (share * 2**halvings for share in overlap)
        max_area = max_s / cost_s if cost_s > 0 and halvings < len(costs_s) - 1 else math.inf
        tiles = divide(region, (across, down), max_area, min_tile=min_tile)
        if len(tiles) == 1:
            return [Part(region, halvings), *parts]
        parts = [*(Part(tile, halvings, across) for tile in tiles), *parts]
    return parts


def divide(region: Region, overlap: tuple[float, float], max_area: float, *, min_tile: float = 0.0) -> list[Region]:
    """Return the fewest tiles of at most a given area, or the smallest ones if there are none.

    Args:
        region: Left, top, right and bottom as shares of the frame.
        overlap: Overlap of neighbours as a share of the frame's width and height, above 0.
        max_area: Largest area of a tile as a share of the frame.
        min_tile: Area of the smallest tile as a share of the region.
    """
    grids = [[region]]
    for grid in GRIDS:
        tiles = _tiles(region, overlap, grid)
        share = area(tiles[0]) / area(region)
        if min_tile <= share <= MAX_TILE and len(tiles) * share < MAX_TOTAL:
            grids.append(tiles)
    return next((tiles for tiles in grids if area(tiles[0]) <= max_area), grids[-1])


def area(region: Region) -> float:
    """Return the area of a region as a share of the frame."""
    return (region[2] - region[0]) * (region[3] - region[1])


def _tiles(region: Region, overlap: tuple[float, float], grid: tuple[int, int]) -> list[Region]:
    """Return the tiles of a grid; its first number belongs to the side that is longer in units of the overlap."""
    left, top, right, bottom = region
    wide = (right - left) / overlap[0] >= (bottom - top) / overlap[1]
    columns, rows = grid if wide else grid[::-1]
    return [
        (start_x, start_y, end_x, end_y)
        for start_y, end_y in _intervals(top, bottom, overlap[1], rows)
        for start_x, end_x in _intervals(left, right, overlap[0], columns)
    ]


def _intervals(start: float, end: float, overlap: float, count: int) -> list[tuple[float, float]]:
    length = min(end - start, (end - start + (count - 1) * overlap) / count)
    step = (end - start - length) / max(1, count - 1)
    return [(start + n * step, start + n * step + length) for n in range(count)]
