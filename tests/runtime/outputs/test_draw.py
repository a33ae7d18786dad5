from __future__ import annotations

import numpy as np
import pytest

from edgeinfer import Box, Emotion, Face, Result, annotate
from edgeinfer.outputs.palette import EXPRESSION_COLOURS
from edgeinfer.results import Image
from tools.label_sets import LABEL_SETS


def face(box: Box, label: str = "happy", confidence: float = 0.93, track_id: int = 1) -> Face:
    emotion = Emotion(label, confidence, {label: confidence})
    return Face(track_id, box, emotion, emotion)


def picture(width: int, height: int, value: int = 90) -> Image:
    return np.full((height, width, 3), value, np.uint8)


def drawn(image: Image, *faces: Face, track_ids: bool = True) -> Image:
    """Return the annotated picture, and check that the original is unchanged."""
    before = image.copy()
    annotated = annotate(image, Result(faces, 0.0), track_ids=track_ids)
    assert (image == before).all()
    assert annotated.shape == (*image.shape[:2], 3)
    return annotated


def changed(image: Image, annotated: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray((annotated != image).any(axis=2))


def bgr(label: str) -> list[int]:
    return list(bytes.fromhex(EXPRESSION_COLOURS[label].removeprefix("#")))[::-1]


def count(image: Image, label: str) -> int:
    """Return the number of pixels in the colour of a label."""
    return int((image == bgr(label)).all(axis=2).sum())


@pytest.mark.parametrize("value", [0, 90, 128, 255])
@pytest.mark.parametrize("label", EXPRESSION_COLOURS)
def test_box_is_visible_on_any_grey(value: int, label: str) -> None:
    annotated = drawn(picture(320, 240, value), face(Box(60, 60, 120, 120), label))
    line = annotated[120, 50:70].astype(int)
    assert np.abs(line - value).max() > 60


@pytest.mark.parametrize("label", EXPRESSION_COLOURS)
def test_box_and_label_have_the_colour_of_the_expression(label: str) -> None:
    if label != "unknown":
        assert count(drawn(picture(320, 240), face(Box(60, 60, 120, 120), label)), label) > 1000


@pytest.mark.parametrize(
    "box",
    [Box(-30, 40, 100, 100), Box(60, -40, 100, 100), Box(280, 40, 100, 100), Box(60, 200, 100, 100),
     Box(0, 0, 320, 240), Box(-20, -20, 400, 300), Box(300, 220, 20, 20), Box(319, 239, 5, 5)],
    ids=lambda box: str(box.xywh),
)  # fmt: skip
def test_box_across_a_border_is_drawn_on_all_visible_sides(box: Box) -> None:
    image = picture(320, 240)
    touched = changed(image, drawn(image, face(box)))
    rows, columns = np.nonzero(touched)
    left, top = max(0, box.x), max(0, box.y)
    right, bottom = min(320, box.x + box.w), min(240, box.y + box.h)
    assert columns.min() <= left + 1
    assert columns.max() >= right - 2
    assert rows.min() <= top + 1
    assert rows.max() >= bottom - 2


@pytest.mark.parametrize("box", [Box(400, 10, 50, 50), Box(-60, 10, 50, 50), Box(10, 300, 50, 50)])
def test_face_outside_the_frame_is_not_drawn(box: Box) -> None:
    image = picture(320, 240)
    assert not changed(image, drawn(image, face(box))).any()


@pytest.mark.parametrize(("label", "confidence"), [("happy", 0.49), ("unknown", 0.9)])
def test_low_confidence_is_drawn_lighter(label: str, confidence: float) -> None:
    image, box = picture(640, 360), Box(200, 100, 150, 150)
    strong, weak = drawn(image, face(box, "happy", 0.5)), drawn(image, face(box, label, confidence))
    inner = (slice(130, 220), slice(190, 360))  # the left and the right line
    assert changed(image, weak)[inner].sum() < 0.75 * changed(image, strong)[inner].sum()
    mixed = (np.array(bgr(label)) + 90) / 2
    assert np.abs(weak[90, 201].astype(int) - mixed).max() <= 16
    assert strong[90, 201].tolist() == bgr("happy")


def test_labels_cover_no_other_face_and_no_other_label() -> None:
    image = picture(640, 360)
    boxes = [Box(20 + 150 * column, 30 + 120 * row, 60, 60) for row in range(3) for column in range(4)]
    labels = [name for name in EXPRESSION_COLOURS if name != "unknown"]
    faces = [face(box, labels[number % len(labels)], track_id=number) for number, box in enumerate(boxes)]
    annotated = drawn(image, *faces)
    for box in boxes:
        inside = changed(image, annotated)[box.y + 4 : box.y + box.h - 4, box.x + 4 : box.x + box.w - 4]
        assert not inside.any()
    alone = [count(drawn(image, one), one.emotion.label) for one in faces]
    total = [count(annotated, label) for label in labels]
    assert sum(total) == sum(alone)


def test_label_of_a_face_between_faces_is_shortened() -> None:
    image = picture(200, 40)
    boxes = [Box(2 + 50 * number, 2, 46, 36) for number in range(4)]
    annotated = drawn(image, *(face(box, label) for box, label in zip(boxes, ("happy", "sad") * 2, strict=True)))
    for box, label in zip(boxes, ("happy", "sad") * 2, strict=True):
        own = annotated[:, box.x - 2 : box.x + box.w + 2]
        assert count(own, label) == count(annotated, label) // 2


@pytest.mark.parametrize(("width", "height", "side"), [(64, 36, 12), (640, 360, 120), (3840, 2160, 720)])
def test_lines_and_labels_grow_with_the_picture(width: int, height: int, side: int) -> None:
    image = picture(width, height)
    touched = changed(image, drawn(image, face(Box(width // 4, height // 3, side, side))))
    line = touched[height // 3 + side // 2, : width // 4 + side // 2].sum()
    label = touched[:, width // 4 + side // 2].sum() - 2 * line
    assert max(3, 0.008 * height) <= line <= max(3, 0.02 * height)
    assert max(6, 0.03 * height) <= label <= max(12, 0.07 * height)


def test_small_face_in_a_large_picture_has_a_thin_line_and_a_small_label() -> None:
    image = picture(3840, 2160)
    rows, columns = np.nonzero(changed(image, drawn(image, face(Box(1000, 1000, 20, 20)))))
    assert rows.max() - rows.min() < 70
    assert columns.max() - columns.min() < 300
    assert not changed(image, drawn(image, face(Box(1000, 1000, 20, 20))))[1003:1017, 1003:1017].any()


@pytest.mark.parametrize(("width", "height"), [(48, 48), (20, 20), (5, 5), (1, 1), (2000, 4), (4, 2000)], ids=str)
@pytest.mark.parametrize("confidence", [0.2, 0.9])
def test_tiny_and_narrow_pictures_are_annotated(width: int, height: int, confidence: float) -> None:
    image = picture(width, height)
    assert changed(image, drawn(image, face(Box(0, 0, width, height), "surprise", confidence))).any()


def test_label_fits_in_a_48_pixel_picture() -> None:
    image = picture(48, 48)
    label_pixels = changed(image, drawn(image, face(Box(6, 6, 36, 36), "surprise")))[12, 10:38]
    assert label_pixels.all()


def test_track_ids_are_optional() -> None:
    image, box = picture(320, 240), Box(60, 60, 120, 120)
    first, second = face(box, track_id=1), face(box, track_id=2222)
    assert (drawn(image, first, track_ids=False) == drawn(image, second, track_ids=False)).all()
    assert (drawn(image, first) != drawn(image, second)).any()


def test_grey_picture_becomes_a_colour_picture() -> None:
    image = np.full((240, 320), 90, np.uint8)
    annotated = annotate(image, Result((face(Box(60, 60, 120, 120)),), 0.0))
    assert (annotated == drawn(picture(320, 240), face(Box(60, 60, 120, 120)))).all()


@pytest.mark.parametrize("label", ["", "x" * 5000, "überrascht\n\x1b[31m", "a %s %d"])
def test_label_of_a_foreign_model_is_drawn(label: str) -> None:
    image = picture(320, 240)
    assert changed(image, drawn(image, face(Box(60, 60, 120, 120), label))).any()


def test_crowd_is_annotated() -> None:
    image = picture(640, 360)
    boxes = [Box(5 + 70 * (number % 9), 5 + 40 * (number // 9), 90, 60) for number in range(81)]
    annotated = drawn(image, *(face(box, confidence=number / 81) for number, box in enumerate(boxes)))
    assert changed(image, annotated).mean() > 0.2


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS)
def test_every_label_of_a_model_has_its_own_colour_and_text(labels: tuple[str, ...]) -> None:
    shares = dict.fromkeys(labels, 1 / len(labels))
    pictures = []
    for label in labels:
        emotion = Emotion(label, 0.93, shares)
        pictures.append(drawn(picture(320, 240), Face(1, Box(60, 60, 120, 120), emotion, emotion)))
    colours = {tuple(image[120, 60]) for image in pictures}
    assert len(colours) == len(labels)
    assert len({image[:58].tobytes() for image in pictures}) == len(labels)
