"""Report of an export, built from its evaluation."""

from __future__ import annotations

import platform
from collections import Counter
from importlib import metadata
from typing import Any

import numpy as np

from edgeinfer.system.hardware import cpu_name
from edgeinfer_export.convert.metadata import known_limits
from edgeinfer_export.convert.onnx_form import opset_of
from edgeinfer_export.publish.report import ExportReport, Training, Variant
from edgeinfer_export.selection.choice import Choice
from edgeinfer_export.selection.evaluation import Evaluation
from edgeinfer_export.verify.baselines import baseline_warnings
from edgeinfer_export.verify.confidence import ConfidenceCalibration
from edgeinfer_export.verify.measure import Candidate
from edgeinfer_export.verify.verdict import PREFERRED_SPLITS, VERDICT_FACES, EvaluationSet

UNCOMMITTED = "the code of the training had changes that were not committed, so no commit identifies it"
PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime")


def build_report(
    evaluation: Evaluation, choice: Choice, chosen: Candidate, confidence: ConfidenceCalibration | None
) -> ExportReport:
    """Collect everything that was measured.

    Args:
        evaluation: Measurements of all candidates.
        choice: Selection with the outcome of each candidate.
        chosen: Selected candidate.
        confidence: Confidence calibration of `chosen`, or None.
    """
    evaluation_set, info, options = evaluation.evaluation_set, evaluation.source.info, evaluation.options
    faces, uncommitted = evaluation.calibration_faces, info.commit.endswith("-dirty")
    calibration = {"method": options.calibration, "faces": faces, "seed": options.seed, "split": "train"}
    return ExportReport(
        source=evaluation.source.name,
        published=choice.name,
        rule=choice.rule,
        variants=_variants(evaluation, choice),
        failed=evaluation.failed,
        machine=f"{platform.machine()} {cpu_name()}",
        count=len(evaluation_set.images),
        dataset=evaluation_set.dataset,
        split=evaluation_set.split,
        protocol=evaluation_set.protocol,
        verdict=evaluation.verdict,
        converter=evaluation.conversion.converter,
        converters_failed=evaluation.conversion.failed,
        opset=opset_of(chosen.graph),
        operators=dict(sorted(Counter(node.op_type for node in chosen.graph.graph.node).items())),
        calibration=calibration if faces else None,
        confidence=confidence,
        training=Training(info.backbone, info.label_mode, "" if uncommitted else info.commit, info.settings),
        limits=known_limits(info, chosen.scores, confidence),
        warnings=(
            *baseline_warnings(evaluation.source.name),
            *([UNCOMMITTED] if uncommitted else []),
            *_data_warnings(evaluation_set, confidence),
            *_quantization_warnings(evaluation, chosen),
        ),
        versions={name: metadata.version(name) for name in PACKAGES},
    )


def headline_metrics(
    chosen: Candidate, evaluation: Evaluation, confidence: ConfidenceCalibration | None
) -> dict[str, Any]:
    """Return the most important metrics of the published variant with their data set and protocol, for the metadata."""
    metrics: dict[str, Any] = {"precision": chosen.name, "verified": evaluation.verdict.verified}
    if chosen.scores:
        metrics |= {
            "accuracy": round(chosen.scores.accuracy, 4),
            "accuracy_interval": [round(bound, 4) for bound in chosen.scores.accuracy_interval],
            "macro_f1": round(chosen.scores.macro_f1, 4),
            "mean_recall": round(chosen.scores.mean_recall, 4),
            "recall": {name: round(s.recall, 4) for name, s in chosen.scores.per_class.items() if s.count},
            "dataset": evaluation.evaluation_set.dataset,
            "split": evaluation.evaluation_set.split,
            "protocol": evaluation.evaluation_set.protocol,
            "count": chosen.scores.count,
        }
    if confidence:
        metrics["calibration_error"] = round(confidence.error_after, 4)
    return metrics


def _variants(evaluation: Evaluation, choice: Choice) -> tuple[Variant, ...]:
    fp32_ms = float(np.median(evaluation.latencies_ms[0]))
    variants = []
    for candidate, latencies_ms in zip(evaluation.candidates, evaluation.latencies_ms, strict=True):
        p50_ms, p95_ms = np.percentile(latencies_ms, [50, 95]).tolist()
        scores = candidate.scores
        variants.append(
            Variant(
                name=candidate.name, size_bytes=candidate.size_bytes,
                accuracy=scores.accuracy if scores else None, macro_f1=scores.macro_f1 if scores else None,
                change=candidate.change, agreement=candidate.agreement, p50_ms=p50_ms, p95_ms=p95_ms,
                ratio=p50_ms / fp32_ms, float_nodes=candidate.float_nodes, outcome=choice.outcomes[candidate.name],
            )
        )  # fmt: skip
    return tuple(variants)


def _data_warnings(evaluation_set: EvaluationSet, confidence: ConfidenceCalibration | None) -> list[str]:
    if evaluation_set.split is None:
        return ["compared on generated images only, so the file is marked as 'not verified on faces'; pass `data`"]
    warnings = []
    if evaluation_set.split != PREFERRED_SPLITS[0]:
        warnings.append(
            f"{evaluation_set.dataset} has no validation faces; all figures are from its {evaluation_set.description}"
        )
    count = len(evaluation_set.images)
    if count < VERDICT_FACES:
        warnings.append(f"compared on only {count} {evaluation_set.description}; {VERDICT_FACES} are recommended")
    if confidence is None:
        warnings.append("too few validation faces to calibrate the confidence; the temperature stays 1")
    return warnings


def _quantization_warnings(evaluation: Evaluation, chosen: Candidate) -> list[str]:
    count, requested = evaluation.calibration_faces, evaluation.options.calibration_faces
    warnings = []
    # Training faces that are copies of held-out faces are excluded, so a small shortfall is normal.
    if 0 < count < 0.9 * requested:
        warnings.append(f"calibrated on only {count} training faces; {requested} were requested")
    change = chosen.change
    if change and change.accuracy_interval[1] < 0:
        low, high = change.accuracy_interval
        warnings.append(
            f"{chosen.name} loses accuracy: {change.accuracy:+.4f} [{low:+.4f}, {high:+.4f}] against float32"
        )
    return warnings
