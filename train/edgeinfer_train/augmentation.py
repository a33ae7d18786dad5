"""Settings of the augmentation of training faces."""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer_train.ranges import Range


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """Augmentation of training faces. A value of 0 disables an augmentation.

    Attributes:
        rotation: Maximum rotation in degrees, in both directions, 0 or more.
        zoom: Maximum relative change of scale, 0..1 (exclusive).
        shift: Maximum shift as a share of the image side, 0 or more.
        shear: Maximum shear as a share of the image side, 0 or more.
        flip: True to mirror half of the faces.
        brightness: Maximum brightness offset as a share of the 0..255 range, 0 or more.
        contrast: Maximum relative change of contrast around the image mean, 0..1.
        low_light: Maximum excess over 1 of the exponent of a random gamma curve, which darkens shadows, 0 or more.
        small: Probability that a face is reduced to between a quarter and two thirds of its side and enlarged again.
        blur: Maximum share of the 3x3 mean that is blended into the image, 0..1.
        noise: Maximum standard deviation of added noise as a share of 0..255, 0 or more.
        grain: Probability of the signal-dependent noise of a dark scene, 0..1.
        impulses: Probability that up to a tenth of the pixels are black or white, 0..1.
        erasing: Probability that a rectangle of the face is erased, 0..1.
        mixup: Probability that a batch is blended with itself (Zhang et al. 2018, arXiv:1710.09412), 0..1.
        scrambled: Share of faces that are cut into tiles and shuffled, 0..1. They are labelled with the label shares of
            the training data, so that the network is uncertain about images without a face (after Hendrycks et al.
            2019, arXiv:1812.04606).
    """

    rotation: float = 20.0
    zoom: float = 0.15
    shift: float = 0.1
    shear: float = 0.05
    flip: bool = True
    brightness: float = 0.2
    contrast: float = 0.4
    low_light: float = 0.0
    small: float = 0.0
    blur: float = 0.5
    noise: float = 0.02
    grain: float = 0.0
    impulses: float = 0.0
    erasing: float = 0.3
    mixup: float = 0.5
    scrambled: float = 0.0

    def __post_init__(self) -> None:
        """Validate the ranges."""
        for name, valid in AUGMENT_RANGES.items():
            valid.check(f"augment.{name}", getattr(self, name))


AUGMENT_RANGES = {
    "rotation": Range(0, 180), "shift": Range(0, 1), "shear": Range(0, 1), "brightness": Range(0, 1),
    "low_light": Range(0, 10), "noise": Range(0, 1), "contrast": Range(0, 1), "small": Range(0, 1),
    "blur": Range(0, 1), "erasing": Range(0, 1), "grain": Range(0, 1), "impulses": Range(0, 1),
    "mixup": Range(0, 1), "scrambled": Range(0, 1), "zoom": Range(0, 1, below=True),
}  # fmt: skip
"""Valid values of the augmentation."""
