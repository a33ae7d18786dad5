"""What an export gives back: plain values, printed, saved beside the model and kept in its metadata."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from edgeinfer_export.options import VariantName
from edgeinfer_export.verify.confidence import Confidence
from edgeinfer_export.verify.verdict import Verdict
from edgeinfer_train.evaluation.metrics import Change


@dataclass(frozen=True, slots=True)
class Variant:
    """One form of the model, measured.

    Attributes:
        name: "fp32", "int8" and so on.
        size_bytes: of the graph; the file adds its card.
        accuracy: share of faces named right, 0..1; None without faces.
        macro_f1: mean F1 over the labels that have faces, 0..1; None without faces.
        change: of both against float32 on the same faces, with intervals; None without faces and for float32.
        agreement: share of pictures with the same first label as float32, 0..1.
        p50_ms: median time of one face on one thread of `ExportReport.machine`.
        p95_ms: time that one face in twenty exceeds.
        ratio: median time against float32's in the same rounds.
        float_nodes: nodes that stay float32 in a mixed form, beyond the ends of the graph.
        outcome: "published", or why it was passed over.
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
    """Where the weights come from.

    Attributes:
        backbone: registry name; "unnamed" for a model of another origin.
        label_mode: the rule that made the training labels.
        commit: of the code; "" where that is not known.
        settings: of the run; empty where they are not known.
    """

    backbone: str
    label_mode: str
    commit: str
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export did.

    Attributes:
        source: path of the run or file that was exported; in the metadata its name alone.
        published: the form in the file.
        rule: how it was chosen.
        variants: float32 first.
        failed: forms that could not be made or were refused, with the reason.
        machine: that the times were taken on.
        count: pictures that the variants were measured on.
        dataset: their name; "" for generated pictures.
        split: where these faces come from; None for generated pictures.
        protocol: the rule that made their labels.
        verdict: how the float32 form was approved.
        converter: what made the float32 graph.
        converters_failed: what kept the ones before it from it.
        opset: of the graph.
        operators: nodes of the published graph by operator.
        calibration: method, faces, seed and split behind the int8 ranges; None without int8.
        confidence: the temperature and what it does; None without enough validation faces.
        training: where the weights come from.
        limits: what the model should not be trusted with, a sentence each.
        warnings: what the user should know, one sentence each.
        versions: of the packages that made the file.
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
    confidence: Confidence | None
    training: Training
    limits: tuple[str, ...]
    warnings: tuple[str, ...]
    versions: dict[str, str]

    @property
    def chosen(self) -> Variant:
        """The published form."""
        return next(variant for variant in self.variants if variant.name == self.published)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)
