from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer import CapabilityError, HaarDetector, ModelError, ModelNotFoundError, UsageError, YuNetDetector
from edgeinfer.detection.base import DETECTORS
from edgeinfer.detection.cascade_files import find_cascade
from edgeinfer.detection.factory import create_detector
from edgeinfer.results import Box, Image

FACE = Box(77, 55, 112, 112)
"""Position of the face in the portrait, measured by eye."""


@pytest.mark.parametrize("grey", [False, True], ids=["colour", "grey"])
def test_haar_finds_the_face(portrait: Image, grey: bool) -> None:
    image = np.asarray(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY), np.uint8) if grey else portrait
    boxes = HaarDetector().detect(image)
    assert len(boxes) == 1
    assert boxes[0].iou(FACE) > 0.5


def test_haar_finds_nothing_in_an_empty_frame() -> None:
    assert HaarDetector().detect(np.zeros((120, 160, 3), np.uint8)) == []


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"min_size": 180}, id="min"),
        pytest.param({"max_size": 60}, id="max"),
        pytest.param({"min_neighbors": 500}, id="neighbors"),
    ],
)
def test_haar_options_exclude_the_face(portrait: Image, options: dict[str, int]) -> None:
    assert HaarDetector(**options).detect(portrait) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [{"scale_factor": 1.0}, {"min_neighbors": -1}, {"min_size": 0}, {"min_size": 50, "max_size": 40}],
    ids=["scale", "neighbors", "min", "max"],
)
def test_haar_options_out_of_range_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        HaarDetector(**options)


def test_cascade_is_found_by_name_and_by_path() -> None:
    by_name = find_cascade("haarcascade_frontalface_alt2")
    assert by_name == find_cascade("haarcascade_frontalface_alt2.xml")
    assert find_cascade(str(by_name)) == by_name


def test_error_for_an_unknown_cascade_lists_the_bundled_ones() -> None:
    with pytest.raises(ModelNotFoundError, match="haarcascade_frontalface_default"):
        HaarDetector("haarcascade_unknown")


@pytest.mark.parametrize("content", [b"", b"<xml/>", b"\x00" * 100], ids=["empty", "xml", "binary"])
def test_invalid_cascade_file_is_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.xml"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.xml"):
        HaarDetector(path)


def test_opencv_without_cascade_classifier_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(CapabilityError, match=r"opencv-python-headless>=4.12,<5"):
        HaarDetector()


def test_opencv_without_cascade_files_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cv2.data.haarcascades", str(tmp_path))
    with pytest.raises(CapabilityError, match="without its cascade files"):
        HaarDetector()


def test_detector_none_returns_the_whole_frame() -> None:
    assert create_detector("none").detect(np.zeros((40, 60), np.uint8)) == [Box(0, 0, 60, 40)]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        pytest.param("haar", {"model": "x.onnx"}, "`detector_model` does not apply", id="haar-with-model"),
        pytest.param("none", {"cascade": "x"}, "`cascade` does not apply", id="none-with-cascade"),
        pytest.param("dlib", {}, ", ".join(DETECTORS), id="unknown"),
    ],
)
def test_options_that_do_not_apply_to_the_detector_are_rejected(
    name: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        create_detector(name, **options)


def test_invalid_yunet_files_are_rejected(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        YuNetDetector(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="not a YuNet model"):
        YuNetDetector(tiny_model)


@pytest.mark.parametrize("options", [{"min_score": 1.5}, {"min_size": 0}, {"threads": 0}], ids=lambda o: next(iter(o)))
def test_yunet_options_out_of_range_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        YuNetDetector("none.onnx", **options)


@pytest.mark.parametrize("zoom", [1.0, 6.0], ids=["full-size", "reduced"])
@pytest.mark.parametrize("grey", [False, True], ids=["colour", "grey"])
def test_yunet_finds_the_face(yunet: Path, portrait: Image, grey: bool, zoom: float) -> None:
    image = np.asarray(cv2.resize(portrait, None, fx=zoom, fy=zoom), np.uint8)
    image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) if grey else image
    boxes = YuNetDetector(yunet).detect(image)
    assert len(boxes) == 1
    assert boxes[0].iou(Box(*(round(zoom * n) for n in FACE.xywh))) > 0.4
    assert YuNetDetector(yunet, min_size=round(200 * zoom)).detect(image) == []


def test_base_module_imports_neither_opencv_nor_numpy() -> None:
    code = "import sys, edgeinfer.detection.base; print(sorted({'cv2', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
