"""Verification of a model file against its metadata: structure, digest and recorded logits."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, shown_path
from edgeinfer.model.card import ModelCard
from edgeinfer.model.metadata import parse_object
from edgeinfer.model.onnx_reader import graph_digest, summarize
from edgeinfer.model.session import infer, load_session

DIGEST_KEY, SAMPLES_KEY = "edgeinfer.digest", "edgeinfer.samples"
COUNT = 4
SEED = 20_260_101
MAX_COUNT = 16
MAX_TOLERANCE = 0.5
_BLOCKS = 6  # per side
_NOISE = 16  # grey levels


@dataclass(frozen=True, slots=True)
class Check:
    """A check that passed.

    Attributes:
        name: "structure", "digest" or "answers".
        detail: Description of the check with the measured figure.
    """

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Samples:
    """Logits recorded when the model was published.

    Attributes:
        seed: Seed of `sample_pictures`.
        tolerance: Largest accepted difference of two logits, relative to the largest recorded logit or 1; 0..0.5.
        logits: (N, K) float64 array; each picture was processed alone.
    """

    seed: int
    tolerance: float
    logits: NDArray[np.float64]


def sample_pictures(count: int, shape: tuple[int, int, int], seed: int) -> NDArray[np.uint8]:
    """Generate pictures that are identical on every machine and with every version of numpy.

    Each picture is a grid of 6x6 levels with a little noise, both from SHAKE-256 (FIPS 202). Noise alone does not
    suffice: networks return nearly the same logits for it, regardless of the seed.

    Args:
        count: Number of pictures.
        shape: Height, width and channels.
        seed: Any integer.

    Returns:
        (count, height, width, channels) uint8 array.
    """
    height, width, channels = shape
    rows, columns = (np.arange(side) * _BLOCKS // side for side in (height, width))
    pictures = np.empty((count, *shape), dtype=np.uint8)
    for index in range(count):
        stream = hashlib.shake_256(f"edgeinfer {seed} {index}".encode())
        blocks = _BLOCKS * _BLOCKS * channels
        random_bytes = np.frombuffer(stream.digest(blocks + math.prod(shape)), dtype=np.uint8)
        levels = random_bytes[:blocks].reshape(_BLOCKS, _BLOCKS, channels) // _NOISE * _NOISE
        noise = random_bytes[blocks:].reshape(shape) % _NOISE
        pictures[index] = levels[rows[:, None], columns[None, :]] + noise
    return pictures


def record(
    session: ort.InferenceSession,
    shape: tuple[int, int, int],
    *,
    tolerance: float,
    count: int = COUNT,
    seed: int = SEED,
) -> dict[str, Any]:
    """Run a model on generated pictures and return the JSON value of the metadata key `edgeinfer.samples`.

    Args:
        session: Session of the model.
        shape: Height, width and channels of its input.
        tolerance: Largest accepted difference on other machines, relative to the largest logit or 1; 0..0.5.
        count: Number of pictures, 1..16.
        seed: Seed of `sample_pictures`.

    Raises:
        ModelError: Inference failed.
    """
    logits = _run_each(session, sample_pictures(count, shape, seed), session.get_outputs()[0].shape[1])
    rounded = [[float(f"{value:.6g}") for value in row] for row in logits]
    return {"seed": seed, "tolerance": tolerance, "logits": rounded}


def verify(path: Path) -> tuple[Check, ...]:
    """Verify a model file against the digest and logits in its metadata.

    Returns:
        The checks, all of which passed.

    Raises:
        ModelNotFoundError: The file does not exist.
        ModelError: A check failed, or the metadata contain no digest or samples.
    """
    session, card = load_session(path, bounded=True)
    data = path.read_bytes()
    summary = summarize(data)
    digest, samples = (summary.metadata.get(key) for key in (DIGEST_KEY, SAMPLES_KEY))
    if digest is None or samples is None:
        raise ModelError(
            f"{shown_path(path)} has no {'digest' if digest is None else 'samples'} in its metadata; export it again"
        )
    parts = f"{len(summary.nodes)} standard operators, {len(summary.tensors)} tensors, onnxruntime {ort.__version__}"
    return (
        Check("structure", parts),
        _check_digest(digest, graph_digest(data), path),
        _check_answers(_parse_samples(samples, card, path), session, card, path),
    )


def _check_digest(stored: str, computed: str, path: Path) -> Check:
    if stored != computed:
        raise ModelError(
            f"{shown_path(path)} was modified: its graph has the digest {computed[:12]}, expected {stored[:12]}; "
            "download it again"
        )
    return Check("digest", f"sha256 {computed} of the graph")


def _check_answers(samples: Samples, session: ort.InferenceSession, card: ModelCard, path: Path) -> Check:
    stored = samples.logits
    pictures = sample_pictures(len(stored), (*card.size_hw, card.channels), samples.seed)
    answers = _run_each(session, pictures, len(card.labels))
    scale = max(1.0, float(np.abs(stored).max()))
    difference = float(np.abs(answers - stored).max()) / scale
    ranked = np.sort(stored, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 2 * samples.tolerance * scale
    flipped = int((answers.argmax(axis=1) != stored.argmax(axis=1))[clear].sum())
    if not difference <= samples.tolerance or flipped:
        raise ModelError(
            f"{shown_path(path)} returns logits that differ from those recorded for {len(stored)} generated pictures: "
            f"relative difference {difference:.2g} ({samples.tolerance:g} allowed), {flipped} labels changed; "
            "do not use it on this machine"
        )
    return Check(
        "answers",
        f"{len(stored)} generated pictures, relative difference {difference:.2g} ({samples.tolerance:g} allowed), "
        f"same label for all {int(clear.sum())} clear ones",
    )


def _run_each(session: ort.InferenceSession, pictures: NDArray[np.uint8], classes: int) -> NDArray[np.float64]:
    """Return the (N, classes) logits of pictures that are run one by one."""
    return np.concatenate([infer(session, picture[None], classes) for picture in pictures])


def _parse_samples(text: str, card: ModelCard, path: Path) -> Samples:
    try:
        values = parse_object(text)
        samples = Samples(values["seed"], float(values["tolerance"]), np.asarray(values["logits"], dtype=np.float64))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ModelError(
            f"{shown_path(path)} has damaged metadata: edgeinfer.samples: {error}; export it again"
        ) from error
    if not (
        isinstance(samples.seed, int)
        and not isinstance(samples.seed, bool)
        and 0 <= samples.tolerance <= MAX_TOLERANCE
        and samples.logits.shape in {(count, len(card.labels)) for count in range(1, MAX_COUNT + 1)}
        and np.isfinite(samples.logits).all()
    ):
        raise ModelError(f"{shown_path(path)} has damaged metadata: edgeinfer.samples is out of range; export it again")
    return samples
