"""Latency of models that are compared with each other."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgeinfer.model.card import INPUT_NAME


def measure_latencies_ms(
    sessions: Sequence[ort.InferenceSession],
    images: Sequence[NDArray[np.uint8]],
    *,
    warm_up: int = 10,
    min_rounds: int = 20,
    max_rounds: int = 300,
    budget_s: float = 10.0,
) -> NDArray[np.float64]:
    """Measure the time of one call with one face, alternating sessions so that noise affects all of them equally.

    Args:
        sessions: Sessions with one thread each.
        images: For each session, an (N, H, W, C) uint8 array. Round i uses image i modulo N.
        warm_up: Rounds before the measured ones.
        min_rounds: Rounds to measure even if they exceed `budget_s`.
        max_rounds: Rounds to measure if `budget_s` allows them.
        budget_s: Time limit for all measured rounds together, in seconds.

    Returns:
        (sessions, rounds) float64 latencies in milliseconds.
    """
    rounds: list[list[float]] = []
    started_s = 0.0
    while len(rounds) < warm_up + max_rounds:
        if len(rounds) == warm_up:
            started_s = time.perf_counter()
        index = len(rounds)
        rounds.append(
            [
                _call_ms(session, faces[index % len(faces)][None])
                for session, faces in zip(sessions, images, strict=True)
            ]
        )
        if len(rounds) >= warm_up + min_rounds and time.perf_counter() - started_s > budget_s:
            break
    return np.array(rounds[warm_up:]).T


def _call_ms(session: ort.InferenceSession, face: NDArray[np.uint8]) -> float:
    started_ns = time.perf_counter_ns()
    session.run(None, {INPUT_NAME: face})
    return (time.perf_counter_ns() - started_ns) / 1e6
