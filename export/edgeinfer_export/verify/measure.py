"""Accuracy of one variant, and its differences from float32 on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import onnxruntime as ort

from edgeinfer_export.options import VariantName
from edgeinfer_export.verify.verdict import EvaluationSet, Logits, batch_difference, run_logits
from edgeinfer_train.evaluation.metrics import Change, Metrics, change, score


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant of the model with its outputs.

    Attributes:
        name: Name of the variant.
        graph: Model with the metadata that the runtime requires, without measured figures.
        session: Session with one thread, opened by the runtime's loader.
        size_bytes: Size of the graph.
        logits: (N, K) outputs for the evaluation set.
        batch_difference: Largest difference between a batch of eight faces and single faces, relative to the largest
            logit.
        agreement: Fraction of images with the same top label as float32, 0..1.
        scores: Metrics; None without faces.
        change: Differences from float32 on the same faces; None without faces and for float32 itself.
        float_nodes: Additional float32 nodes of a mixed variant.
    """

    name: VariantName
    graph: onnx.ModelProto
    session: ort.InferenceSession
    size_bytes: int
    logits: Logits
    batch_difference: float
    agreement: float
    scores: Metrics | None
    change: Change | None
    float_nodes: tuple[str, ...] = ()


def measure_variant(
    name: VariantName,
    graph: onnx.ModelProto,
    session: ort.InferenceSession,
    evaluation_set: EvaluationSet,
    labels: tuple[str, ...],
    *,
    fp32: Candidate | None = None,
    float_nodes: tuple[str, ...] = (),
) -> Candidate:
    """Run one variant on the whole evaluation set and compare it with float32.

    Args:
        name: Name of the variant.
        graph: Model of the variant.
        session: Session that runs `graph`.
        evaluation_set: Images, with labels if they are faces.
        labels: Labels of the model, in the order of the logits.
        fp32: Float32 variant to compare with; None for float32 itself.
        float_nodes: Additional float32 nodes of a mixed variant.
    """
    logits = run_logits(session, evaluation_set.images)
    scores = differences = None
    if evaluation_set.labels is not None:
        scores = score(logits, evaluation_set.labels, labels)
        differences = None if fp32 is None else change(fp32.logits, logits, evaluation_set.labels)
    return Candidate(
        name=name,
        graph=graph,
        session=session,
        size_bytes=graph.ByteSize(),
        logits=logits,
        batch_difference=batch_difference(session, evaluation_set.images),
        agreement=1.0 if fp32 is None else float((logits.argmax(1) == fp32.logits.argmax(1)).mean()),
        scores=scores,
        change=differences,
        float_nodes=float_nodes,
    )
