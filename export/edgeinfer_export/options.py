"""What can be chosen for an export; light enough for the command line's help."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from edgeinfer.errors import UsageError

Quantize = Literal["none", "int8"]
QUANTIZE: tuple[Quantize, ...] = get_args(Quantize)

DEFAULT_MARGIN = 0.0
"""The detector's box as it is."""
MARGIN_RANGE = (-0.4, 2.0)
DEFAULT_LICENSE = "Apache-2.0"
CALIBRATION_FACES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Settings of one export, checked when made.

    Attributes:
        quantize: "int8" for 8-bit weights and activations, "none" for float32.
        calibration_faces: training faces that set the int8 ranges, 1 or more.
        seed: of the random pictures that stand in for faces when there are none.
        margin: how far the runtime crops beyond the detector's box, as a share of its side.
        license: of the weights.

    Raises:
        UsageError: a value is out of bounds.
    """

    quantize: Quantize = "none"
    calibration_faces: int = CALIBRATION_FACES
    seed: int = 0
    margin: float = DEFAULT_MARGIN
    license: str = DEFAULT_LICENSE

    def __post_init__(self) -> None:
        """Check every bound."""
        low, high = MARGIN_RANGE
        if self.quantize not in QUANTIZE:
            raise UsageError(f"quantize is {self.quantize!r}; choose one of {', '.join(QUANTIZE)}")
        if self.calibration_faces < 1 or self.seed < 0:
            raise UsageError("calibration_faces must be 1 or more and seed 0 or more")
        if not (math.isfinite(self.margin) and low <= self.margin <= high):
            raise UsageError(f"margin is {self.margin}; it must be in {low}..{high}")
        if not self.license.strip():
            raise UsageError("license is empty; name the licence of the weights")
