"""Text of any script in pictures."""

from __future__ import annotations

import logging
import sys
from itertools import pairwise

import numpy as np
import pytest

from edgeinfer.outputs import text
from edgeinfer.outputs.text import draw_text, printable, text_width
from edgeinfer.results import Image

WHITE = (255, 255, 255)


@pytest.fixture(autouse=True)
def _fresh_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_replaced", set())
    for cached in (text.printable, text._find_font, text._loaded):
        cached.cache_clear()


@pytest.fixture
def _no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)


def drawn(content: str, height_px: int = 22) -> Image:
    """Return a picture of a text, with a margin of a letter's height."""
    picture = np.zeros((3 * height_px, text_width(content, height_px) + 2 * height_px, 3), np.uint8)
    draw_text(picture, content, (height_px, 2 * height_px), height_px, WHITE)
    return picture


def rows_of(picture: Image) -> tuple[int, int]:
    rows = np.nonzero(picture.any(axis=(1, 2)))[0]
    return int(rows.min()), int(rows.max())


@pytest.mark.parametrize("height_px", [6, 9, 22, 60])
@pytest.mark.parametrize("content", ["#1 müde 93 %", "ÄÖÜ ß", "усталый Й", "žluťoučký kůň"])
def test_text_fits_in_its_width_and_in_the_padding_of_labels(content: str, height_px: int) -> None:
    picture = drawn(printable(content, 1), height_px)
    columns = np.nonzero(picture.any(axis=(0, 2)))[0]
    assert columns.min() >= height_px - 1
    assert columns.max() <= picture.shape[1] - height_px + 1
    top, bottom = rows_of(picture)
    assert top >= height_px - max(2, height_px // 3) - 1
    assert bottom <= 2 * height_px + max(2, height_px // 3) + height_px // 4


@pytest.mark.usefixtures("_no_pillow")
@pytest.mark.parametrize(
    ("label", "shown"),
    [("ﬁt…", "fit..."), (" a\n\tb ", "a b"), ("Ｗｉｄｅ", "Wide"), ("x" * 500, "x" * 40), ("a\udce9", "a\\xe9"),
     ("", ""), ("žluťoučký kůň", "zlutoucky kun"), ("Усталый", "Усталый"), ("ёж", "еж"), ("straße", "label 3"),
     ("怒り", "label 3"), ("סער", "label 3"), ("😀", "label 3"), ("\u0301", "label 3")],
)  # fmt: skip
def test_label_is_reduced_to_what_can_be_drawn(label: str, shown: str) -> None:
    assert printable(label, 3) == shown
    assert drawn(shown).any() == bool(shown)


@pytest.mark.usefixtures("_no_pillow")
def test_first_label_without_a_font_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        shown = [printable(label, number) for number, label in enumerate(("müde", "怒り", "悲しみ", "怒り"), start=1)]
    assert shown == ["mude", "label 2", "label 3", "label 4"]
    (record,) = caplog.records
    assert "no font for the label müde: pictures show 'mude'; install Pillow" in record.getMessage()


def test_other_scripts_are_drawn_with_a_font_of_the_system() -> None:
    pytest.importorskip("PIL")
    if printable("άγχος", 1) != "άγχος":
        pytest.skip("no font with Greek letters is installed")
    widths = [text_width("#1 άγχος 93 %", height_px) for height_px in (10, 20, 40)]
    assert all(1.7 < second / first < 2.3 for first, second in pairwise(widths))
    assert drawn("άγχος").any()
    assert rows_of(drawn("ΑΓΧ"))[0] in range(20, 26)


@pytest.mark.parametrize("has_layout", [True, False])
def test_right_to_left_needs_the_layout_engine(monkeypatch: pytest.MonkeyPatch, *, has_layout: bool) -> None:
    pytest.importorskip("PIL")
    if not text._has_layout():
        pytest.skip("Pillow without Raqm")
    monkeypatch.setattr(text, "_has_layout", lambda: has_layout)
    if has_layout and printable("עצוב", 1) == "label 1":
        pytest.skip("no font with Hebrew letters is installed")
    assert printable("עצוב", 1) == ("עצוב\u200e" if has_layout else "label 1")
