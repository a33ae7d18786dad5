"""Export options. The command line's `--help` imports this module, so it must not import heavy packages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_args

from edgeinfer.errors import UsageError
from edgeinfer.options.fields import OptionField, option, option_fields
from edgeinfer.results import Colour
from edgeinfer_train.labels import split_names

Quantize = Literal["none", "int8", "auto"]
Calibration = Literal["minmax", "entropy", "percentile"]
CALIBRATIONS: tuple[Calibration, ...] = get_args(Calibration)
VariantName = Literal["fp32", "int8", "int8-signed", "int8-reduced", "int8-mixed", "int8-dynamic", "float16"]
Target = Literal["x86-vnni", "x86-avx2", "cortex-a72", "cortex-a76"]

InputRange = Literal["0..1", "-1..1", "0..255", "imagenet"]

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


@dataclass(frozen=True, kw_only=True)
class QuantizationOptions:
    """Variant to publish, and the accuracy loss that is accepted for it."""

    title: ClassVar[str] = "Quantization"

    quantize: Quantize = option(
        "none",
        "none: float32. int8: 8-bit weights and activations. auto: the fastest variant on this machine that keeps its "
        "accuracy. int8 and auto need --data.",
    )
    max_drop: float | None = option(
        None,
        f"Largest accepted accuracy loss against float32. Default: {MAX_DROP} for auto, no limit for int8.",
        minimum=0,
        maximum=1,
    )
    target: Target | None = option(
        None, "With auto: select by a preset for this processor instead of by measured time."
    )


@dataclass(frozen=True, kw_only=True)
class BestQuantizationOptions(QuantizationOptions):
    """Quantization options of `best`, which ranks variants by accuracy: fields without metadata have no flag."""

    quantize: Quantize = option("auto", "Variants to evaluate; auto evaluates all.")
    max_drop: None = None
    target: None = None


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """Faces and method that derive int8 activation ranges."""

    title: ClassVar[str] = "Calibration"

    calibration: Calibration = option("minmax", "Method that derives int8 activation ranges from training faces.")
    calibration_faces: int = option(512, "Number of training faces used for int8 calibration.", minimum=1)
    seed: int = option(0, "Seed that draws the calibration faces, or the generated images without --data.", minimum=0)


@dataclass(frozen=True, kw_only=True)
class ModelFileOptions:
    """Labels, input and licence of the published model."""

    title: ClassVar[str] = "Model file"

    labels: tuple[str, ...] = option(
        (),
        "Publish only these labels, in this order. For a model without label metadata: the names of its logits.",
        metavar="A,B,…",
    )
    input_range: InputRange | None = option(
        None,
        "Pixel range expected by a model that takes floats and does not scale them itself; the scaling becomes part "
        "of the graph. imagenet: 0..1 with the mean and deviation of ImageNet.",
    )
    colour: Colour | None = option(
        None,
        "Channel order of the faces. Default: grey for one channel, rgb for three of a Keras model. grey with three "
        "channels of an ONNX file: the grey face, repeated.",
    )
    margin: float = option(
        0.0, "Crop margin around the detected box, as a fraction of its side.", minimum=-0.4, maximum=2.0
    )
    license: str = option("Apache-2.0", "Licence of the weights.")
    force: bool = option(False, "Publish a run that is not better than the most frequent label.", flags=("--force",))
    embedding: bool = option(
        False,
        "Add the values before the last layer as a second output, for classifier.embed().",
        flags=("--embedding",),
    )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits of the target device.

    Attributes:
        max_ms: Largest median time of one face on one thread of this machine, in milliseconds, above 0; None for no
            limit.
        max_mb: Largest file size in megabytes (10^6 bytes), above 0; None for no limit.

    Raises:
        UsageError: A limit is not above 0.

    >>> Budget(max_ms=2.0, max_mb=1.0)
    Budget(max_ms=2.0, max_mb=1.0)
    >>> Budget(max_mb=0.0)
    Traceback (most recent call last):
        ...
    edgeinfer.errors.UsageError: invalid `max_mb` 0.0: expected a number above 0
    """

    title: ClassVar[str] = "Budget"

    max_ms: float | None = option(
        None, "Largest median time of one face on one thread of this machine, in milliseconds."
    )
    max_mb: float | None = option(None, "Largest file size, in MB.")

    def __post_init__(self) -> None:
        """Validate both limits."""
        for name, limit in (("max_ms", self.max_ms), ("max_mb", self.max_mb)):
            if limit is not None and not limit > 0:  # NaN also fails
                raise UsageError(f"invalid `{name}` {limit}: expected a number above 0")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(ModelFileOptions, CalibrationOptions, QuantizationOptions):
    """Options of one export, validated on construction.

    Attributes:
        quantize: "none" publishes float32, "int8" 8-bit weights and activations, "auto" the fastest variant on this
            machine that keeps its accuracy.
        max_drop: Largest accepted accuracy loss of the published variant against float32, 0..1. None means no limit
            for int8 and `MAX_DROP` for auto.
        target: Processor whose preset restricts the choice of "auto", for an export on another machine. None selects
            by measured latency.
        labels: Labels to publish, in this order; the other columns of the head are removed. Empty publishes all. An
            item may contain several labels, separated by commas.
        input_range: Pixel range that a model with float inputs expects, for example "-1..1"; None if the model takes
            uint8 or contains its own scaling. "imagenet" is 0..1, normalized by the statistics of ImageNet.
        colour: Channel order of the faces; None selects it by the number of channels of a Keras model.
        calibration: Method that derives activation ranges from calibration faces: "minmax" uses the extremes, "entropy"
            the clipping with the least information loss (Migacz 2017), "percentile" the 99.999th percentile.
        calibration_faces: Number of training faces used for calibration, at least 1.
        seed: Seed for drawing the calibration faces, and for the generated images if there are no faces; at least 0.
        margin: Crop margin that the runtime adds around the detector's box, as a fraction of its side; -0.4..2.
        license: Licence of the weights.
        force: True to publish a run that is not better than the most frequent label.
        embedding: True to add the values before the last layer as a second output, for `EmotionClassifier.embed`.

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

    @classmethod
    def combine(cls, *groups: QuantizationOptions | CalibrationOptions | ModelFileOptions) -> Self:
        """Build the options from the groups of a command line."""
        return cls(**{name: value for group in groups for name, value in vars(group).items()})

    def __post_init__(self) -> None:
        """Validate every value."""
        names = split_names(self.labels)
        object.__setattr__(self, "labels", names if any(names) else ())
        for field in option_fields(type(self)):
            _validate(field, getattr(self, field.name))
        if self.max_drop is not None and self.quantize == "none":
            raise UsageError("`max_drop` has no effect on float32: set `quantize` to int8 or auto")
        if self.target and self.quantize != "auto":
            raise UsageError("`target` selects among quantized variants: set `quantize` to auto")
        if len(set(self.labels)) != len(self.labels) or len(self.labels) == 1 or not all(self.labels):
            raise UsageError(f"invalid `labels` {', '.join(self.labels)!r}: expected two or more different labels")
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


def _validate(field: OptionField, value: Any) -> None:
    """Raise a `UsageError` if a value is not one of the choices of an option, or outside its range."""
    if value is None and field.default is None:
        return
    choices = [text for part in (field.type, *get_args(field.type)) for text in get_args(part) if isinstance(text, str)]
    if choices and value not in choices:
        raise UsageError(f"invalid `{field.name}` {value!r}: expected one of {', '.join(choices)}")
    low, high = field.option.minimum, field.option.maximum
    if low is not None and not low <= value <= (math.inf if high is None else high):  # NaN also fails
        expected = f"{low} or more" if high is None else f"{low}..{high}"
        raise UsageError(f"invalid `{field.name}` {value}: expected {expected}")
