"""Export options. The command line's `--help` imports this module, so it must not import heavy packages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from edgeinfer.errors import UsageError

Quantize = Literal["none", "int8", "auto"]
QUANTIZE: tuple[Quantize, ...] = get_args(Quantize)
Calibration = Literal["minmax", "entropy", "percentile"]
CALIBRATIONS: tuple[Calibration, ...] = get_args(Calibration)
VariantName = Literal["fp32", "int8", "int8-signed", "int8-reduced", "int8-mixed", "int8-dynamic", "float16"]
Target = Literal["x86-vnni", "x86-avx2", "cortex-a72", "cortex-a76"]

DEFAULT_MARGIN = 0.0
"""Crop the detector's box without extending it."""
MARGIN_RANGE = (-0.4, 2.0)
DEFAULT_LICENSE = "Apache-2.0"
CALIBRATION_FACES = 512
MAX_DROP = 0.005
"""Default limit of the accuracy loss against float32; above it, int8 keeps sensitive layers in float32."""
MAX_F1_DROP = 0.01
"""Limit of the macro-F1 loss against float32."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Variants for a processor on which nothing can be measured.

    Attributes:
        prefer: Variants in order of preference; the first one that keeps its accuracy is published.
        rule: Reason for this order.
    """

    prefer: tuple[VariantName, ...]
    rule: str


# Instructions per data type: onnxruntime documentation, "Quantize ONNX models", sections on data type selection.
PRESETS: dict[Target, Preset] = {
    "x86-vnni": Preset(
        ("int8", "int8-mixed", "fp32"),
        "VNNI multiplies uint8 activations by int8 weights and accumulates in 32 bits, so int8 is preferred",
    ),
    "x86-avx2": Preset(
        ("int8-reduced", "fp32"),
        "AVX2 adds pairs of products in 16 bits, which can overflow, so weights are limited to 7 bits",
    ),
    "cortex-a72": Preset(
        ("fp32",),
        "this core has no 8-bit dot product, so int8 may be slower than float32; measure on the board",
    ),
    "cortex-a76": Preset(
        ("int8", "int8-mixed", "fp32"),
        "this core has signed and unsigned 8-bit dot products, so int8 (uint8 activations, int8 weights) is preferred",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Options of one export, validated on construction.

    Attributes:
        quantize: "none" publishes float32, "int8" 8-bit weights and activations, "auto" the fastest variant on this
            machine that keeps its accuracy.
        max_drop: Largest accepted accuracy loss of the published variant against float32, 0..1. None means no limit
            for int8 and `MAX_DROP` for auto.
        target: Processor whose preset restricts the choice of "auto", for an export on another machine. None selects
            by measured latency.
        labels: Labels to publish, in this order; the other columns of the head are removed. Empty publishes all.
        calibration: Method that derives activation ranges from calibration faces: "minmax" uses the extremes, "entropy"
            the clipping with the least information loss (Migacz 2017), "percentile" the 99.999th percentile.
        calibration_faces: Number of training faces used for calibration, at least 1.
        seed: Seed for drawing the calibration faces, and for the generated images if there are no faces; at least 0.
        margin: Crop margin that the runtime adds around the detector's box, as a fraction of its side; -0.4..2.
        license: Licence of the weights.

    Raises:
        UsageError: A value is out of range or contradicts another option.

    >>> options = ExportOptions(quantize="auto", target="cortex-a76")
    >>> options.variants
    ('int8',)
    >>> ExportOptions(margin=3.0)
    Traceback (most recent call last):
        ...
    edgeinfer.errors.UsageError: invalid `margin` 3.0: expected -0.4..2.0
    """

    quantize: Quantize = "none"
    max_drop: float | None = None
    target: Target | None = None
    labels: tuple[str, ...] = ()
    calibration: Calibration = "minmax"
    calibration_faces: int = CALIBRATION_FACES
    seed: int = 0
    margin: float = DEFAULT_MARGIN
    license: str = DEFAULT_LICENSE

    def __post_init__(self) -> None:
        """Validate every value."""
        low, high = MARGIN_RANGE
        for name, choices in (("quantize", QUANTIZE), ("calibration", CALIBRATIONS), ("target", (None, *PRESETS))):
            if getattr(self, name) not in choices:
                expected = ", ".join(filter(None, choices))
                raise UsageError(f"invalid `{name}` {getattr(self, name)!r}: expected one of {expected}")
        if self.calibration_faces < 1:
            raise UsageError(f"invalid `calibration_faces` {self.calibration_faces}: expected 1 or more")
        if self.seed < 0:
            raise UsageError(f"invalid `seed` {self.seed}: expected 0 or more")
        if self.max_drop is not None and not 0 <= self.max_drop <= 1:
            raise UsageError(f"invalid `max_drop` {self.max_drop}: expected 0..1")
        if self.max_drop is not None and self.quantize == "none":
            raise UsageError("`max_drop` has no effect on float32: set `quantize` to int8 or auto")
        if self.target and self.quantize != "auto":
            raise UsageError("`target` selects among quantized variants: set `quantize` to auto")
        if len(set(self.labels)) != len(self.labels) or len(self.labels) == 1 or not all(self.labels):
            raise UsageError(f"invalid `labels` {', '.join(self.labels)!r}: expected two or more different labels")
        if not (math.isfinite(self.margin) and low <= self.margin <= high):
            raise UsageError(f"invalid `margin` {self.margin}: expected {low}..{high}")
        if not self.license.strip():
            raise UsageError("`license` is empty: pass the licence of the weights, for example Apache-2.0")

    @property
    def variants(self) -> tuple[VariantName, ...]:
        """Quantized variants to build and measure, without int8-mixed, which is built only if int8 loses accuracy."""
        if self.quantize == "none":
            return ()
        if self.quantize == "int8":
            return ("int8",)
        if self.target is None:
            return ("int8", "int8-signed", "int8-dynamic", "float16")
        return tuple(name for name in PRESETS[self.target].prefer if name not in ("fp32", "int8-mixed"))

    @property
    def needs_data(self) -> bool:
        """True if the export needs faces for calibration and measurement."""
        return self.quantize != "none"
