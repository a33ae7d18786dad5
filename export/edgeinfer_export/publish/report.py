"""Report of an export: plain values, printed, saved next to the model and stored in its metadata."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgeinfer_export.options import VariantName
from edgeinfer_export.verify.confidence import ConfidenceCalibration
from edgeinfer_export.verify.verdict import Verdict
from edgeinfer_train.evaluation.metrics import Change


@dataclass(frozen=True, slots=True)
class Variant:
    """Measurements of one variant of the model.

    Attributes:
        name: "fp32", "int8" and so on.
        size_bytes: Size of the graph; the metadata of the file is not included.
        accuracy: Fraction of correctly classified faces, 0..1; None without faces.
        macro_f1: Mean F1 over the labels that have faces, 0..1; None without faces.
        change: Differences of accuracy and macro-F1 from float32 on the same faces, with intervals; None without
            faces and for float32.
        agreement: Fraction of images with the same top label as float32, 0..1.
        p50_ms: Median time of one face on one thread of `ExportReport.machine`, in milliseconds.
        p95_ms: 95th percentile of that time, in milliseconds.
        ratio: Median time divided by the median time of float32, measured in the same rounds.
        float_nodes: Additional float32 nodes of a mixed variant.
        outcome: "published", or the reason for the rejection.
    """

    name: VariantName
    size_bytes: int
    accuracy: float | None
    macro_f1: float | None
    change: Change | None
    agreement: float
    p50_ms: float
    p95_ms: float
    ratio: float
    float_nodes: tuple[str, ...]
    outcome: str


@dataclass(frozen=True, slots=True)
class Training:
    """Origin of the weights.

    Attributes:
        backbone: Registry name; "unnamed" for a model that `edgeinfer-train fit` did not write.
        label_mode: Rule that derived the training labels.
        commit: Commit of the training code; "" if unknown, or if the code had changes that were not committed.
        settings: Settings of the training run; empty if unknown.
    """

    backbone: str
    label_mode: str
    commit: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Result of an export.

    Attributes:
        source: Path of the exported run or file. The metadata of the model contains its name without folders.
        published: Variant in the file.
        rule: Rule that selected it.
        variants: Measured variants, float32 first.
        failed: Variants that could not be built, with the error.
        machine: Architecture and processor on which the times were measured.
        count: Number of images on which the variants were measured.
        dataset: Name of the data set; "" for generated images.
        split: Split that contains the faces; None for generated images.
        protocol: Rule that derived the labels of the faces.
        verdict: Comparison of float32 with the original model.
        converter: Converter that made the float32 graph.
        converters_failed: Errors of the converters that were tried before it.
        opset: Opset version of the graph.
        operators: Number of nodes of the published graph by operator.
        calibration: Method, number of faces, seed and split of the int8 calibration; None without quantization.
        confidence: Confidence calibration; None without enough validation faces.
        training: Origin of the weights.
        limits: Limitations of the model, one sentence each.
        warnings: Warnings of this export, one sentence each.
        versions: Versions of the packages that made the file.
    """

    source: str
    published: VariantName
    rule: str
    variants: tuple[Variant, ...]
    failed: dict[str, str]
    machine: str
    count: int
    dataset: str
    split: str | None
    protocol: str
    verdict: Verdict
    converter: str
    converters_failed: tuple[str, ...]
    opset: int
    operators: dict[str, int]
    calibration: dict[str, Any] | None
    confidence: ConfidenceCalibration | None
    training: Training
    limits: tuple[str, ...]
    warnings: tuple[str, ...]
    versions: dict[str, str]

    @property
    def chosen(self) -> Variant:
        """Measurements of the published variant."""
        return next(variant for variant in self.variants if variant.name == self.published)

    def to_mapping(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)
