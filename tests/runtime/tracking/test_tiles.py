from __future__ import annotations

import itertools
import math

import pytest

from edgeinfer.geometry import WHOLE, Region
from edgeinfer.tracking.tiles import GRIDS, Part, area, divide, divide_search

OVERLAP = (0.1, 0.2)


@pytest.mark.parametrize("region", [WHOLE, (0.2, 0.1, 0.9, 0.6), (0.4, 0.0, 0.45, 1.0)], ids=str)
@pytest.mark.parametrize("max_area", [1.0, 0.5, 0.2, 0.01])
def test_every_small_face_is_completely_inside_a_tile(region: Region, max_area: float) -> None:
    tiles = divide(region, OVERLAP, max_area)
    left, top, right, bottom = region
    width, height = min(OVERLAP[0], right - left), min(OVERLAP[1], bottom - top)
    for across, down in itertools.product(range(21), range(21)):
        x = left + across / 20 * (right - left - width)
        y = top + down / 20 * (bottom - top - height)
        assert any(
            tile[0] - 1e-9 <= x and tile[1] - 1e-9 <= y and x + width <= tile[2] + 1e-9 and y + height <= tile[3] + 1e-9
            for tile in tiles
        )


def test_smaller_tiles_are_used_only_if_necessary() -> None:
    assert divide(WHOLE, OVERLAP, 1.0) == [WHOLE]
    sizes = [len(divide(WHOLE, OVERLAP, max_area)) for max_area in (0.6, 0.4, 0.25, 0.2, 0.0)]
    assert sizes == [columns * rows for columns, rows in (*GRIDS, GRIDS[-1])]


def test_tiles_that_would_mostly_overlap_are_not_used() -> None:
    assert divide(WHOLE, (0.4, 0.7), 0.1) == [WHOLE]
    assert divide((0.0, 0.0, 0.2, 0.3), (0.4, 0.7), 0.01) == [(0.0, 0.0, 0.2, 0.3)]


def test_large_faces_are_searched_first_and_at_reduced_resolution() -> None:
    parts = divide_search(WHOLE, (0.1, 0.2), (1.0, 0.25, 0.06), 0.15)
    assert [(part.halvings, round(part.max_share, 3)) for part in parts] == [(2, math.inf), (1, 0.2), (1, 0.2)] + [
        (0, 0.1)
    ] * 8


@pytest.mark.parametrize("cost_s", [0.0, 0.1], ids=["unknown-cost", "enough-time"])
def test_search_with_enough_time_is_not_divided(cost_s: float) -> None:
    assert divide_search(WHOLE, OVERLAP, [cost_s] * 3, 0.1) == [Part(WHOLE)]


def test_area_of_the_tiles_is_limited() -> None:
    assert all(area(tile) <= 0.35 for tile in divide(WHOLE, OVERLAP, 0.35))


def test_tiles_are_along_the_longer_side() -> None:
    upright = divide(WHOLE, (0.2, 0.1), 0.6)
    assert [tile[:2] for tile in upright] == [(0.0, 0.0), (0.0, pytest.approx(0.45))]
