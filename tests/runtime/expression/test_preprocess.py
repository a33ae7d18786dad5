from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import EmotionClassifier
from edgeinfer.expression.preprocess import MAX_PADDED_SIDE, crop_face, model_input
from edgeinfer.results import Image
from tools.tiny_model import metadata, write_model

RAMP = np.arange(100, dtype=np.uint8).reshape(10, 10)


@pytest.mark.parametrize(
    ("xywh", "margin", "shape", "corner"),
    [
        pytest.param((2, 3, 4, 4), 0.0, (4, 4), 32, id="plain"),
        pytest.param((2, 3, 4, 4), 0.25, (6, 6), 21, id="margin"),
        pytest.param((2, 3, 4, 4), -0.25, (2, 2), 43, id="negative-margin"),
        pytest.param((8, 8, 4, 4), 0.0, (4, 4), 88, id="over-the-edge"),
        pytest.param((0, 0, 10, 10), 0.5, (20, 20), 0, id="larger-than-frame"),
        pytest.param((5, 5, 0, 0), 0.0, (1, 1), 55, id="zero-size"),
    ],
)
def test_crop_has_the_margin_and_at_least_one_pixel(
    xywh: tuple[int, int, int, int], margin: float, shape: tuple[int, int], corner: int
) -> None:
    crop = crop_face(RAMP, xywh, margin)
    assert crop.shape == shape
    assert crop[0, 0] == corner


def test_pixels_outside_the_frame_repeat_the_edge() -> None:
    crop = crop_face(RAMP, (-2, 4, 4, 1), 0.0)
    assert crop.tolist() == [[40, 40, 40, 41]]


@pytest.mark.parametrize("margin", [0.2, 2.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_large_crop_beyond_the_frame_is_reduced(margin: float, channels: int) -> None:
    """Compare with the same crop of a small frame."""
    small = np.zeros((40, 30), np.uint8)
    small[10:25, 5:20] = 200
    large = np.kron(small, np.ones((100, 100), np.uint8))
    if channels == 3:
        small, large = (np.repeat(image[:, :, None], 3, axis=2) for image in (small, large))
    crop = crop_face(large, (0, 0, 3000, 4000), margin)
    assert crop.shape[:2] == (MAX_PADDED_SIDE, MAX_PADDED_SIDE)
    expected = model_input(crop_face(small, (0, 0, 30, 40), margin), size_hw=(16, 16), colour="grey")
    found = model_input(crop, size_hw=(16, 16), colour="grey")
    assert np.abs(found.astype(int) - expected).max() <= 6


@pytest.mark.parametrize(
    "xywh", [(10**9, 0, 5000, 5), (-(10**9), 0, 5000, 5), (0, 3, 10**9, 1), (5, -(10**6), 4, 10**6)], ids=str
)
def test_crop_far_beyond_the_frame_is_reduced(xywh: tuple[int, int, int, int]) -> None:
    crop = crop_face(RAMP, xywh, 0.0)
    assert crop.shape == (min(xywh[3], MAX_PADDED_SIDE), min(xywh[2], MAX_PADDED_SIDE))


@pytest.mark.parametrize(
    ("crop", "colour", "expected"),
    [
        pytest.param(np.full((5, 7), 9, np.uint8), "grey", [9], id="grey-to-grey"),
        pytest.param(np.full((5, 7), 9, np.uint8), "rgb", [9, 9, 9], id="grey-to-rgb"),
        pytest.param(np.full((5, 7, 3), (255, 0, 0), np.uint8), "rgb", [0, 0, 255], id="bgr-to-rgb"),
        pytest.param(np.full((5, 7, 3), (255, 0, 0), np.uint8), "bgr", [255, 0, 0], id="bgr-to-bgr"),
        pytest.param(np.full((5, 7, 3), (255, 0, 0), np.uint8), "grey", [29], id="bgr-to-grey"),
    ],
)
def test_model_input_has_the_requested_colour_format(crop: Image, colour: str, expected: list[int]) -> None:
    converted = model_input(crop, size_hw=(4, 6), colour=colour)  # type: ignore[arg-type]
    assert converted.shape == (4, 6, len(expected))
    assert converted.dtype == np.uint8
    assert converted[0, 0].tolist() == expected


def test_crop_of_the_right_size_is_unchanged() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    assert (model_input(crop, size_hw=(48, 48), colour="grey")[:, :, 0] == crop).all()


def test_reduction_averages_areas() -> None:
    checkerboard = np.kron([[0, 200], [200, 0]], np.ones((1, 1))).astype(np.uint8)
    assert model_input(np.tile(checkerboard, (8, 8)), size_hw=(8, 8), colour="grey").max() == 100


@pytest.mark.parametrize(("side", "tolerance"), [(383, 0), (384, 1), (1000, 8)])
def test_large_crop_is_the_mean_of_its_areas(side: int, tolerance: int) -> None:
    ramp = np.add.outer(np.arange(side), np.arange(side)) * 127 // side
    crop = np.clip(ramp + np.random.default_rng(1).normal(0, 20, ramp.shape), 0, 255).astype(np.uint8)
    expected = cv2.resize(crop, (48, 48), interpolation=cv2.INTER_AREA)
    found = model_input(crop, size_hw=(48, 48), colour="grey")[:, :, 0]
    assert np.abs(found.astype(int) - expected).max() <= tolerance


def test_large_face_with_a_margin_of_two_is_cropped_without_much_memory(tmp_path: Path) -> None:
    model = write_model(tmp_path / "wide.onnx", keys=metadata(crop='{"margin": 2}'))
    classifier = EmotionClassifier.load(model)
    image = np.zeros((3000, 4000, 3), np.uint8)
    tracemalloc.start()
    try:
        crop = crop_face(image, (0, 0, 4000, 3000), classifier.margin)
        assert classifier.classify([crop])[0].label == "neutral"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 400 * 2**20
