from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.outputs.palette import EXPRESSION_COLOURS, OTHER_COLOURS, label_colours, text_colour
from edgeinfer.results import LABELS

Vector = NDArray[np.float64]

# G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", IEEE TVCG 15(6), 2009: matrices of severity 1.0 for linear sRGB.
VISION = {
    "common": np.eye(3),
    "protanopia": np.array([
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998],
    ]),
    "deuteranopia": np.array([
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881],
    ]),
    "tritanopia": np.array([
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900],
    ]),
}  # fmt: skip
# IEC 61966-2-1: linear sRGB to CIE 1931 XYZ.
XYZ = np.array([
    [0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041],
])  # fmt: skip


def linear(colour: str) -> Vector:
    values = np.array(list(bytes.fromhex(colour.removeprefix("#")))) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: Vector) -> Vector:
    """Return the CIE 1976 L*a*b* coordinates of a linear sRGB colour under D65."""
    share = XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(axis=1)
    root = np.where(share > (6 / 29) ** 3, np.cbrt(share), share * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def contrast(first: str, second: str) -> float:
    dark, light = sorted(float(XYZ[1] @ linear(colour)) for colour in (first, second))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("vision", VISION)
def test_colours_of_expressions_are_distinguishable(vision: str) -> None:
    seen = {label: lab(VISION[vision] @ linear(colour)) for label, colour in EXPRESSION_COLOURS.items()}
    distances = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in combinations(seen, 2)}
    assert min(distances.values()) > 15
    assert min(distance for pair, distance in distances.items() if set(pair) <= set(LABELS)) > 16.5


def test_distance_detects_colours_that_are_easily_confused() -> None:
    red, green = (lab(VISION["deuteranopia"] @ linear(colour)) for colour in ("#c05020", "#808000"))
    assert np.linalg.norm(red - green) < 15 < np.linalg.norm(lab(linear("#c05020")) - lab(linear("#808000")))


def test_every_label_has_its_own_colour() -> None:
    assert set(EXPRESSION_COLOURS) == {*LABELS, "contempt", "unknown"}
    assert len(set(EXPRESSION_COLOURS.values())) == len(EXPRESSION_COLOURS)


@pytest.mark.parametrize(
    ("label", "same"), [("Happy", "happy"), ("happiness", "happy"), ("SADNESS", "sad"), ("anger", "angry")]
)
def test_other_names_of_an_expression_have_its_colour(label: str, same: str) -> None:
    assert label_colours([label, "bored"])[label] == EXPRESSION_COLOURS[same]


def test_synonym_beside_its_standard_name_has_a_colour_of_its_own() -> None:
    colours = label_colours(["joy", "happy", "HAPPY"])
    assert colours["happy"] == EXPRESSION_COLOURS["happy"]
    assert len(set(colours.values())) == 3


@pytest.mark.parametrize("count", [2, 3, 5, 12, 24])
def test_other_labels_have_distinguishable_colours(count: int) -> None:
    labels = [f"überrascht {number}" for number in range(count)]
    colours = label_colours(labels)
    assert list(colours) == labels
    assert colours == {label: label_colours(labels[::-1])[label] for label in labels}
    shown = [*EXPRESSION_COLOURS.values(), *colours.values()]
    for vision, least in (("common", 14), ("protanopia", 6.5), ("deuteranopia", 8)):
        seen = [lab(VISION[vision] @ linear(colour)) for colour in shown]
        assert min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2)) > least


def test_many_labels_share_colours() -> None:
    assert len(set(label_colours(map(str, range(1000))).values())) == len(OTHER_COLOURS)
    assert label_colours(["", "\udce9"]).keys() == {"", "\udce9"}


@pytest.mark.parametrize("colour", [*EXPRESSION_COLOURS.values(), *OTHER_COLOURS])
def test_text_has_enough_contrast_on_every_colour(colour: str) -> None:
    assert contrast(colour, text_colour(colour)) >= 4.5  # WCAG 2.2, success criterion 1.4.3
