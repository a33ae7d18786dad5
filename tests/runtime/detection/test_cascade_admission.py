"""Cascades that are not part of OpenCV: admission, equal results and bounded searches."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import HaarDetector, ModelError
from edgeinfer.detection import bounded_search
from edgeinfer.detection.cascade_admission import MAX_BYTES, read_cascade, to_xml
from edgeinfer.detection.cascade_files import find_cascade, load_cascade
from edgeinfer.results import Image
from tools.cascades import lbp_cascade, old_format
from tools.cli import edgeinfer, error_of

BUNDLED = ("frontalface_alt2", "eye_tree_eyeglasses", "russian_plate_number", "license_plate_rus_16stages")


def bundled(name: str) -> Path:
    return find_cascade(f"haarcascade_{name}")


def small() -> str:
    """Return a valid cascade of 75 kB."""
    return bundled("russian_plate_number").read_text()


def changed(old: str, new: str) -> str:
    text = small()
    assert old in text
    return text.replace(old, new, 1)


def raw_hits(cascade: cv2.CascadeClassifier, grey: Image) -> list[tuple[int, ...]]:
    found = cascade.detectMultiScale(grey, 1.1, 0)
    return sorted(tuple(int(number) for number in box) for box in found)


@pytest.fixture
def grey(portrait: Image) -> Image:
    return np.asarray(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY), np.uint8)


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("old", [False, True], ids=["current", "old"])
def test_copy_of_a_bundled_cascade_finds_the_same_faces(tmp_path: Path, grey: Image, name: str, old: bool) -> None:
    content = bundled(name).read_text()
    path = tmp_path / "copy.xml"
    path.write_text(old_format(read_cascade(content.encode())) if old else content)
    expected = load_cascade(f"haarcascade_{name}")
    assert raw_hits(load_cascade(path), grey) == raw_hits(expected, grey)
    hits = bounded_search.search_bounded(expected, grey, 1.1, 3, min_size=1, max_size=None)
    grouped = expected.detectMultiScale(grey, 1.1, 3)
    assert sorted(hits) == sorted(tuple(int(number) for number in box) for box in grouped)


def test_lbp_cascade_is_accepted(tmp_path: Path, grey: Image) -> None:
    path = tmp_path / "lbp.xml"
    path.write_text(lbp_cascade())
    assert load_cascade(path).getFeatureType() == 1
    assert HaarDetector(path, min_neighbors=0).detect(grey)


def test_document_for_opencv_is_stable() -> None:
    cascade = read_cascade(small().encode())
    assert read_cascade(to_xml(cascade).encode()) == cascade


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(changed("0 -1 193 ", "0 -1 nan "), "something other than numbers", id="nan"),
        pytest.param(changed("0 -1 193 ", "0 -1 208 "), "uses the feature 208, but", id="feature-index"),
        pytest.param(changed("0 -1 193 ", "0 -1 -1 "), "uses the feature -1", id="feature-negative"),
        pytest.param(changed("0 -1 193 ", "0 -2 193 "), "has the child -2", id="leaf-index"),
        pytest.param(changed("0 -1 193 ", "1 -1 193 "), "has the child 1", id="node-index"),
        pytest.param(changed("0 -1 193 ", "0 -1 1.5 "), "expected an integer", id="fraction"),
        pytest.param(changed("0 -1 193 ", "0 -1 193 1 "), "expected a multiple of 4", id="node-length"),
        pytest.param(changed("1.0079263709485531e-002", "1e400"), "above 1e+30", id="number-infinite"),
        pytest.param(changed("-8.1339186429977417e-001", "1 1"), "3 leaves", id="leaves"),
        pytest.param(changed("<height>20<", "<height>1<"), "height is 1", id="window"),
        pytest.param(changed("<height>20<", "<height>9<"), "outside the window", id="rectangle-outside"),
        pytest.param(changed("<height>20<", "<height>10</height><height>20<"), "more than one height", id="twice"),
        pytest.param(changed("<width>60</width>", ""), "no width", id="missing"),
        pytest.param(changed("<stageNum>20<", "<stageNum>21<"), "declares 21", id="stage-count"),
        pytest.param(changed("<maxWeakCount>6<", "<maxWeakCount>7<"), "declares 7", id="weak-count"),
        pytest.param(changed("<featureType>HAAR", "<featureType>HOG"), "features of type HOG", id="hog"),
        pytest.param(changed("<maxCatCount>0<", "<maxCatCount>256<"), "maxCatCount is 256", id="categories"),
        pytest.param(changed("<tilted>0<", "<tilted>2<"), "tilted is 2", id="tilted"),
        pytest.param(changed(" -1.</_>", " -1e9</_>"), "weight above", id="weight"),
        pytest.param(changed("<rects>", f"<rects>{'<_>0 0 1 1 1.</_>' * 3}"), "rectangles, expected 1..3", id="four"),
        pytest.param(small()[:5000], "not well-formed XML", id="truncated"),
        pytest.param("<a/>", "expected one cascade", id="other-xml"),
        pytest.param("<opencv_storage><c/></opencv_storage>", "no size in c", id="empty-cascade"),
        pytest.param("<_>" * 20 + "</_>" * 20, "16 levels", id="depth"),
        pytest.param(f"<_>{'<_/>' * 400_001}</_>", "more than 400000 elements", id="elements"),
        pytest.param('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type definition", id="entities"),
        pytest.param('<?xml version="1.0" encoding="nosuch"?><a/>', "not well-formed XML", id="encoding"),
        pytest.param(f"<a>{'x' * MAX_BYTES}</a>", "larger than 10 MB", id="size"),
    ],
)  # fmt: skip
def test_damaged_cascade_exits_with_5(tmp_path: Path, face_picture: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.xml"
    path.write_text(content)
    assert message in error_of(edgeinfer("run", face_picture, "--quiet", "--cascade", path), 5)


def test_cascade_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces.txt").write_text(small())
    assert not load_cascade("faces.txt").empty()


def test_cascade_that_accepts_everything_is_rejected(grey: Image, tmp_path: Path) -> None:
    path = tmp_path / "all.xml"
    text = lbp_cascade()
    path.write_text(text.replace("<stageThreshold>0.4<", "<stageThreshold>-9<"))
    with pytest.raises(ModelError, match="finds more than 20000 faces"):
        HaarDetector(path).detect(grey)


def test_search_beyond_the_time_limit_is_rejected(grey: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_search, "MAX_SECONDS", 0.0)
    with pytest.raises(ModelError, match="per picture"):
        bounded_search.search_bounded(load_cascade(None), grey, 1.1, 3, min_size=30, max_size=None)


def test_options_of_a_custom_cascade_apply(tmp_path: Path, portrait: Image) -> None:
    path = tmp_path / "copy.xml"
    path.write_bytes(bundled("frontalface_default").read_bytes())
    assert HaarDetector(path).detect(portrait) == HaarDetector().detect(portrait)
    assert HaarDetector(path, max_size=60).detect(portrait) == []
    assert HaarDetector(path, min_size=180).detect(portrait) == []
