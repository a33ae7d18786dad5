"""Whether a model file still is, and still answers, what was published: structure, digest and stored answers."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgeinfer.errors import ModelError
from edgeinfer.model.card import ModelCard
from edgeinfer.model.onnx_reader import graph_digest, summarize
from edgeinfer.model.session import infer, load_session

DIGEST_KEY, SAMPLES_KEY = "edgeinfer.digest", "edgeinfer.samples"
COUNT = 4
SEED = 20_260_101
MAX_COUNT = 16
MAX_TOLERANCE = 0.5
_BLOCKS = 6  # to a side
_NOISE = 16  # grey levels


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was found to be as published.

    Attributes:
        name: "structure", "digest" or "answers".
        detail: what was checked, with the figure.
    """

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Samples:
    """What a model answered when it was published.

    Attributes:
        seed: of `sample_pictures`.
        tolerance: largest difference of two logits, relative to the largest stored one or 1.
        logits: (N, K) float64, each picture run alone.
    """

    seed: int
    tolerance: float
    logits: NDArray[np.float64]


def sample_pictures(count: int, shape: tuple[int, int, int], seed: int) -> NDArray[np.uint8]:
    """Generated pictures, the same on every machine and with every version of numpy.

    A grid of 6x6 levels with a little noise upon it, both from SHAKE-256 (FIPS 202): networks answer noise
    alone with much the same logits, whatever the seed.

    Args:
        count: pictures.
        shape: height, width and channels.
        seed: any integer.

    Returns:
        (count, height, width, channels) uint8.
    """
    height, width, channels = shape
    rows, columns = (np.arange(side) * _BLOCKS // side for side in (height, width))
    pictures = np.empty((count, *shape), dtype=np.uint8)
    for index in range(count):
        stream = hashlib.shake_256(f"edgeinfer {seed} {index}".encode())
        blocks = _BLOCKS * _BLOCKS * channels
        drawn = np.frombuffer(stream.digest(blocks + math.prod(shape)), dtype=np.uint8)
        levels = drawn[:blocks].reshape(_BLOCKS, _BLOCKS, channels) // _NOISE * _NOISE
        pictures[index] = levels[rows[:, None], columns[None, :]] + drawn[blocks:].reshape(shape) % _NOISE
    return pictures


def record(
    session: ort.InferenceSession,
    shape: tuple[int, int, int],
    *,
    tolerance: float,
    count: int = COUNT,
    seed: int = SEED,
) -> dict[str, Any]:
    """What to store as JSON under `edgeinfer.samples`: the answers of a model that is about to be published.

    Args:
        session: of the model.
        shape: height, width and channels of its input.
        tolerance: how far another machine may differ, relative to the largest logit or 1; 0 to 0.5.
        count: pictures.
        seed: of `sample_pictures`.

    Raises:
        ModelError: the model cannot be run.
    """
    logits = _answers(session, sample_pictures(count, shape, seed), session.get_outputs()[0].shape[1])
    rounded = [[float(f"{value:.6g}") for value in row] for row in logits]
    return {"seed": seed, "tolerance": tolerance, "logits": rounded}


def verify(path: Path) -> tuple[Check, ...]:
    """Check a model file against what it says of itself.

    Raises:
        ModelNotFoundError: no such file.
        ModelError: a check failed, or the file has nothing to check against.
    """
    session, card = load_session(path, bounded=True)
    data = path.read_bytes()
    summary = summarize(data)
    digest, samples = (summary.metadata.get(key) for key in (DIGEST_KEY, SAMPLES_KEY))
    if digest is None or samples is None:
        raise ModelError(f"{path} carries no {'digest' if digest is None else 'samples'} to verify; export it again")
    parts = f"{len(summary.nodes)} standard operators, {len(summary.tensors)} tensors, onnxruntime {ort.__version__}"
    return (
        Check("structure", parts),
        _check_digest(digest, graph_digest(data), path),
        _check_answers(_samples(samples, card, path), session, card, path),
    )


def _check_digest(stored: str, found: str, path: Path) -> Check:
    if stored != found:
        raise ModelError(
            f"{path} has the digest {found[:12]} where {stored[:12]} was published; its graph was changed, get it again"
        )
    return Check("digest", f"sha256 {found} of the graph")


def _check_answers(samples: Samples, session: ort.InferenceSession, card: ModelCard, path: Path) -> Check:
    stored = samples.logits
    pictures = sample_pictures(len(stored), (*card.size_hw, card.channels), samples.seed)
    answers = _answers(session, pictures, len(card.labels))
    scale = max(1.0, float(np.abs(stored).max()))
    difference = float(np.abs(answers - stored).max()) / scale
    ranked = np.sort(stored, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 2 * samples.tolerance * scale
    flipped = int((answers.argmax(axis=1) != stored.argmax(axis=1))[clear].sum())
    if not difference <= samples.tolerance or flipped:
        raise ModelError(
            f"{path} answers {len(stored)} generated pictures {difference:.2g} away from what was published, "
            f"{flipped} with another label; at most {samples.tolerance:g} is allowed, so do not use it on this machine"
        )
    return Check(
        "answers",
        f"{len(stored)} generated pictures, relative difference {difference:.2g} ({samples.tolerance:g} allowed), "
        f"same label for all {int(clear.sum())} clear ones",
    )


def _answers(session: ort.InferenceSession, pictures: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    return np.concatenate([infer(session, picture[None], classes) for picture in pictures])


def _samples(text: str, card: ModelCard, path: Path) -> Samples:
    try:
        given = json.loads(text)
        samples = Samples(given["seed"], float(given["tolerance"]), np.asarray(given["logits"], dtype=np.float64))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ModelError(f"{path} has damaged metadata (samples: {error}); export it again") from error
    if not (
        isinstance(samples.seed, int)
        and 0 <= samples.tolerance <= MAX_TOLERANCE
        and samples.logits.shape in {(count, len(card.labels)) for count in range(1, MAX_COUNT + 1)}
        and np.isfinite(samples.logits).all()
    ):
        raise ModelError(f"{path} has damaged metadata (samples out of range); export it again")
    return samples
