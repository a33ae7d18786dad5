"""What can be chosen for an export; light enough for the command line's help."""

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
"""The detector's box as it is."""
MARGIN_RANGE = (-0.4, 2.0)
DEFAULT_LICENSE = "Apache-2.0"
CALIBRATION_FACES = 512
MAX_DROP = 0.005
"""Accuracy that `auto` may give up, and above which int8 looks for sensitive layers."""
MAX_F1_DROP = 0.01
"""Macro-F1 that `auto` may give up."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What to make for a processor that is not at hand.

    Attributes:
        prefer: the first of these that keeps its accuracy is taken.
        rule: why.
    """

    prefer: tuple[VariantName, ...]
    rule: str


# Which instructions serve which types: onnxruntime's page "Quantize ONNX models", sections on data type selection.
PRESETS: dict[Target, Preset] = {
    "x86-vnni": Preset(
        ("int8", "int8-mixed", "fp32"),
        "VNNI multiplies uint8 activations by int8 weights into 32 bits at once, so that form comes first",
    ),
    "x86-avx2": Preset(
        ("int8-reduced", "fp32"),
        "AVX2 adds pairs of products in 16 bits, which overflow, so weights get 7 bits",
    ),
    "cortex-a72": Preset(
        ("fp32",),
        "this core has no 8-bit dot product, so 8 bits need not be faster than float32; measure on the board",
    ),
    "cortex-a76": Preset(
        ("int8", "int8-mixed", "fp32"),
        "this core has 8-bit dot products for either sign, so uint8 activations with int8 weights come first",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Settings of one export, checked when made.

    Attributes:
        quantize: "int8" for 8-bit weights and activations, "none" for float32, "auto" for the fastest form that
            keeps its accuracy on this machine.
        max_drop: accuracy that the published form may lose against float32, 0..1. int8 is refused above it; None
            refuses nothing for int8 and is `MAX_DROP` for auto.
        target: for "auto", a processor that is not at hand; its preset restricts the choice.
        labels: publish these columns of the head alone, in this order; empty publishes all.
        calibration: how the ranges of activations are found: the extremes, the clipping that loses the least
            information (Migacz 2017), or the 99.999th percentile.
        calibration_faces: training faces that set these ranges, 1 or more.
        seed: draws those faces, and the pictures that stand in for faces when there are none.
        margin: how far the runtime crops beyond the detector's box, as a share of its side.
        license: of the weights.

    Raises:
        UsageError: a value is out of bounds or goes with another form.
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
        """Check every bound."""
        low, high = MARGIN_RANGE
        for name, choices in (("quantize", QUANTIZE), ("calibration", CALIBRATIONS), ("target", (None, *PRESETS))):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(filter(None, choices))}")
        if self.calibration_faces < 1 or self.seed < 0:
            raise UsageError("calibration_faces must be 1 or more and seed 0 or more")
        if self.max_drop is not None and not 0 <= self.max_drop <= 1:
            raise UsageError(f"max_drop is {self.max_drop}; it must be in 0..1")
        if self.max_drop is not None and self.quantize == "none":
            raise UsageError("max_drop compares a quantized form with float32; choose quantize int8 or auto")
        if self.target and self.quantize != "auto":
            raise UsageError("target chooses among quantized forms; it goes with quantize auto")
        if len(set(self.labels)) != len(self.labels) or len(self.labels) == 1 or not all(self.labels):
            raise UsageError(f"labels is {', '.join(self.labels)}; name two or more different labels")
        if not (math.isfinite(self.margin) and low <= self.margin <= high):
            raise UsageError(f"margin is {self.margin}; it must be in {low}..{high}")
        if not self.license.strip():
            raise UsageError("license is empty; name the licence of the weights")

    @property
    def variants(self) -> tuple[VariantName, ...]:
        """The quantized forms to make and measure; the mixed one follows where one of them loses too much."""
        if self.quantize == "auto":
            preset = PRESETS[self.target].prefer if self.target else ()
            measured: tuple[VariantName, ...] = ("int8", "int8-signed", "int8-dynamic", "float16")
            return tuple(v for v in preset if v not in ("fp32", "int8-mixed")) if self.target else measured
        return ("int8",) if self.quantize == "int8" else ()

    @property
    def needs_data(self) -> bool:
        """Whether faces are needed to make what is asked for."""
        return self.quantize != "none"
