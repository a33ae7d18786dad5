"""What each form of a model costs and gives, all of them on the same pictures and in the same minutes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edgeinfer.model.card import INPUT_NAME
from edgeinfer_export.options import VariantName
from edgeinfer_export.verify.verdict import Logits, Sample, batch_difference, run_logits
from edgeinfer_train.evaluation.metrics import Change, Metrics, change, score

WARM_UP = 10
ROUNDS = (20, 300)
BUDGET_S = 10.0
"""Time for the rounds of all forms together, within those bounds."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One form of the model with its answers.

    Attributes:
        name: of the form.
        graph: without metadata that tell its figures.
        session: on one thread, opened as the runtime opens it.
        size_bytes: of the graph.
        logits: (N, K) answers to the sample.
        batch_difference: between a batch of eight and single faces, relative to the largest logit.
        agreement: share of pictures with the same first label as float32, 0..1.
        scores: figures of merit; None without faces.
        change: against float32 on the same faces; None without faces and for float32 itself.
        float_nodes: what stays float32 in a mixed form, beyond the ends of the graph.
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


def measure(
    name: VariantName,
    graph: onnx.ModelProto,
    session: ort.InferenceSession,
    sample: Sample,
    labels: tuple[str, ...],
    *,
    fp32: Candidate | None = None,
    float_nodes: tuple[str, ...] = (),
) -> Candidate:
    """Ask one form for its answers to the whole sample.

    Args:
        name: of the form.
        graph: of it.
        session: that runs it.
        sample: pictures, with labels where they are faces.
        labels: the model's.
        fp32: what it is compared with; None for float32 itself.
        float_nodes: see `Candidate`.
    """
    logits = run_logits(session, sample.images)
    scores = None if sample.labels is None else score(logits, sample.labels, labels)
    differs = None if fp32 is None or sample.labels is None else change(fp32.logits, logits, sample.labels)
    agreement = 1.0 if fp32 is None else float((logits.argmax(1) == fp32.logits.argmax(1)).mean())
    apart = batch_difference(session, sample.images)
    return Candidate(name, graph, session, graph.ByteSize(), logits, apart, agreement, scores, differs, float_nodes)


def latencies_ms(sessions: Sequence[ort.InferenceSession], images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Time one face a call; the sessions take turns, so that all meet the same noise.

    Args:
        sessions: on one thread each.
        images: (N, H, W, C) uint8, used in turn.

    Returns:
        (sessions, rounds) milliseconds of the rounds after the warm-up.
    """
    times: list[list[float]] = []
    wanted, started = ROUNDS[1], 0.0
    while len(times) < WARM_UP + wanted:
        face = images[len(times) % len(images)][None]
        if len(times) == WARM_UP:
            started = time.perf_counter()
        times.append([_call_ms(session, face) for session in sessions])
        if len(times) > WARM_UP + ROUNDS[0] and time.perf_counter() - started > BUDGET_S:
            break
    return np.array(times[WARM_UP:]).T


def _call_ms(session: ort.InferenceSession, face: NDArray[np.uint8]) -> float:
    started = time.perf_counter_ns()
    session.run(None, {INPUT_NAME: face})
    return (time.perf_counter_ns() - started) / 1e6
