from __future__ import annotations

import random

import pytest

from edgeinfer.outputs.placement import Area, place_label

FRAME_WH = (160, 120)
LABEL_WH = (50, 12)


def overlaps(first: Area, second: Area) -> bool:
    return (
        first.left < second.right
        and second.left < first.right
        and first.top < second.bottom
        and second.top < first.bottom
    )


@pytest.mark.parametrize(
    ("box", "others", "place"),
    [
        pytest.param(Area(20, 40, 80, 100), [], (20, 28), id="above"),
        pytest.param(Area(120, 40, 150, 100), [], (110, 28), id="above-moved-into-the-frame"),
        pytest.param(Area(20, 5, 80, 100), [], (20, 100), id="below-at-the-top-border"),
        pytest.param(Area(20, 40, 80, 100), [Area(10, 0, 60, 38)], (20, 100), id="below-another-face"),
        pytest.param(Area(20, 40, 90, 100), [Area(10, 0, 30, 38)], (40, 28), id="above-right"),
        pytest.param(Area(20, 0, 90, 120), [], (20, 0), id="inside-a-tall-box"),
        pytest.param(Area(20, 0, 60, 40), [Area(10, 41, 70, 80)], (60, 0), id="beside-a-small-box"),
        pytest.param(Area(110, 0, 150, 40), [Area(90, 41, 160, 80)], (60, 0), id="left-of-a-small-box"),
        pytest.param(Area(0, 0, 160, 120), [], (0, 0), id="box-of-the-whole-frame"),
    ],
)  # fmt: skip
def test_first_free_place_is_chosen(box: Area, others: list[Area], place: tuple[int, int]) -> None:
    area, is_free = place_label(LABEL_WH, box, others, [], FRAME_WH)
    assert (area.left, area.top) == place
    assert is_free


def test_label_avoids_another_label() -> None:
    box = Area(20, 40, 80, 100)
    first, _ = place_label(LABEL_WH, box, [], [], FRAME_WH)
    second, is_free = place_label(LABEL_WH, box, [], [first], FRAME_WH)
    assert is_free
    assert not overlaps(first, second)


def test_least_hidden_place_is_chosen_if_none_is_free() -> None:
    everywhere = [Area(0, 0, 160, 110)]
    area, is_free = place_label(LABEL_WH, Area(20, 40, 80, 105), everywhere, [], FRAME_WH)
    assert not is_free
    assert area.top == 105  # two of twelve rows hidden


@pytest.mark.parametrize("seed", range(20))
def test_label_stays_in_the_frame_and_is_free_if_it_is_reported_free(seed: int) -> None:
    rng = random.Random(seed)
    boxes = []
    for _ in range(rng.randint(1, 25)):
        left, top = rng.randrange(150), rng.randrange(110)
        boxes.append(Area(left, top, rng.randint(left + 1, 160), rng.randint(top + 1, 120)))
    labels: list[Area] = []
    for number, box in enumerate(boxes):
        others = [*boxes[:number], *boxes[number + 1 :]]
        label_wh = rng.randint(1, 160), rng.randint(1, 120)
        area, is_free = place_label(label_wh, box, others, labels, FRAME_WH)
        assert area == area.inside(FRAME_WH)
        assert (area.right - area.left, area.bottom - area.top) == label_wh
        assert is_free != any(overlaps(area, other) for other in [*others, *labels])
        labels.append(area)
