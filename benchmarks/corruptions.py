"""Accuracy and calibration of models on corrupted faces: 15 corruptions in 5 strengths.

    python benchmarks/corruptions.py DATA [MODEL.onnx...] [--seeds N] [--peers NAME...] [--cache FOLDER]

DATA is a prepared folder with the labels of the models. The default model is always measured, as reference of the
differences, and with it each MODEL (by default `accurate`). All validation faces are corrupted, with other random
numbers for each face, strength and seed, but the same for all models, and classified as 48x48 pixels in grey. The
accuracy of each corruption is the mean over strengths and seeds. Its expected calibration error is that of all answers
pooled, so too high a confidence at one strength and too low a confidence at another cancel. Intervals are 95 %, by
bootstrap over faces. All figures are given for all faces, and for those of which the training split contains no pixel
copy.

With --peers, the networks of other packages, which peers.py installs in the cache, classify fewer faces, once in each
strength, and all models the same faces. Saved figures of models and peers that a run does not measure are kept if they
are of the same data set and number of seeds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import model_tables
import peers
from common import read_results, save_results
from edgeinfer import EmotionClassifier
from edgeinfer.model.card import ACCURATE, find_model
from edgeinfer.results import Image
from edgeinfer_train.datasets.load import load_split, pixel_digest, read_image, read_info, split_files
from edgeinfer_train.evaluation.metrics import bootstrap_interval, calibration_error

STRENGTHS = 5
Corruption = Callable[[NDArray[np.float64], np.random.Generator, float], NDArray[np.float64]]


def add_noise(face: NDArray[np.float64], random: np.random.Generator, deviation: float) -> NDArray[np.float64]:
    """Add normal noise with a standard deviation in grey levels."""
    return face + random.normal(0, deviation, face.shape)


def add_photon_noise(face: NDArray[np.float64], random: np.random.Generator, photons: float) -> NDArray[np.float64]:
    """Replace each pixel by a Poisson count; a white pixel has `photons`."""
    return np.asarray(random.poisson(np.clip(face, 0, 255) / 255 * photons) / photons * 255, float)


def add_impulses(face: NDArray[np.float64], random: np.random.Generator, share: float) -> NDArray[np.float64]:
    """Set a share of the pixels to black or white."""
    draws = random.random(face.shape)
    return np.where(draws < share / 2, 0.0, np.where(draws < share, 255.0, face))


def defocus(face: NDArray[np.float64], random: np.random.Generator, sigma: float) -> NDArray[np.float64]:
    """Blur with a normal kernel of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(face, (0, 0), sigma))


def blur_by_motion(face: NDArray[np.float64], random: np.random.Generator, length: float) -> NDArray[np.float64]:
    """Average along a line of `length` pixels in a random direction."""
    size = int(length)
    kernel = np.zeros((size, size))
    kernel[size // 2] = 1.0
    turn = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), random.uniform(0, 180), 1)
    kernel = np.asarray(cv2.warpAffine(kernel, turn, (size, size)))
    return np.asarray(cv2.filter2D(face, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def shrink(face: NDArray[np.float64], random: np.random.Generator, side: float) -> NDArray[np.float64]:
    """Reduce to `side` pixels and enlarge again, as the runtime does with a small face."""
    small = cv2.resize(face, (int(side), int(side)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, face.shape[::-1], interpolation=cv2.INTER_LINEAR))


def compress(face: NDArray[np.float64], random: np.random.Generator, quality: float) -> NDArray[np.float64]:
    """Compress as JPEG with a quality from 0 to 100."""
    encoded = cv2.imencode(".jpg", to_bytes(face), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), float)


def darken(face: NDArray[np.float64], random: np.random.Generator, share: float) -> NDArray[np.float64]:
    """Reduce the light to a share, with the noise of an amplified sensor signal."""
    return face * share + random.normal(0, 3, face.shape)


def overexpose(face: NDArray[np.float64], random: np.random.Generator, gain: float) -> NDArray[np.float64]:
    """Amplify until bright parts are white."""
    return face * gain


def fade(face: NDArray[np.float64], random: np.random.Generator, contrast: float) -> NDArray[np.float64]:
    """Reduce the contrast to a share."""
    return np.asarray(face.mean() + (face - face.mean()) * contrast)


def shade(face: NDArray[np.float64], random: np.random.Generator, darkest: float) -> NDArray[np.float64]:
    """Reduce the light from 1 to `darkest` across the face in a random direction."""
    angle = random.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[-1 : 1 : face.shape[0] * 1j, -1 : 1 : face.shape[1] * 1j]
    across = (np.clip(columns * np.cos(angle) + rows * np.sin(angle), -1, 1) + 1) / 2
    return np.asarray(face * (1 - (1 - darkest) * across))


def roll(face: NDArray[np.float64], random: np.random.Generator, degrees: float) -> NDArray[np.float64]:
    """Rotate to one side."""
    return transform(face, degrees * random.choice((-1, 1)), 1.0, (0, 0))


def shift(face: NDArray[np.float64], random: np.random.Generator, share: float) -> NDArray[np.float64]:
    """Move the detector's box by a share of its side in a random direction."""
    angle, length = random.uniform(0, 2 * np.pi), share * face.shape[0]
    return transform(face, 0, 1.0, (length * np.cos(angle), length * np.sin(angle)))


def scale(face: NDArray[np.float64], random: np.random.Generator, share: float) -> NDArray[np.float64]:
    """Enlarge or reduce the detector's box by a share of its side."""
    return transform(face, 0, 1 + share * random.choice((-1, 1)), (0, 0))


def cover(face: NDArray[np.float64], random: np.random.Generator, share: float) -> NDArray[np.float64]:
    """Cover a share of the face with a rectangle of random shape, place and brightness."""
    ratio = random.uniform(0.5, 2)
    height, width = (min(length, round(length * np.sqrt(share * r)))
                     for length, r in zip(face.shape, (ratio, 1 / ratio), strict=True))  # fmt: skip
    top, left = (random.integers(0, room + 1) for room in (face.shape[0] - height, face.shape[1] - width))
    covered = face.copy()
    covered[top : top + height, left : left + width] = random.uniform(20, 220)
    return covered


CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, ...]]] = {
    "noise": (add_noise, (6, 10, 15, 22, 30)),
    "photon noise": (add_photon_noise, (60, 35, 20, 12, 7)),
    "impulse noise": (add_impulses, (0.01, 0.02, 0.04, 0.07, 0.1)),
    "defocus": (defocus, (0.5, 1, 1.5, 2, 2.5)),
    "motion blur": (blur_by_motion, (3, 5, 7, 9, 11)),
    "few pixels": (shrink, (32, 24, 20, 16, 12)),
    "JPEG": (compress, (40, 25, 15, 10, 7)),
    "low light": (darken, (0.5, 0.3, 0.2, 0.12, 0.08)),
    "overexposure": (overexpose, (1.2, 1.4, 1.7, 2, 2.5)),
    "low contrast": (fade, (0.7, 0.5, 0.35, 0.25, 0.15)),
    "light from one side": (shade, (0.8, 0.6, 0.4, 0.2, 0.1)),
    "roll": (roll, (6, 12, 18, 24, 30)),
    "shifted box": (shift, (0.03, 0.06, 0.09, 0.12, 0.15)),
    "scaled box": (scale, (0.05, 0.1, 0.15, 0.2, 0.25)),
    "occlusion": (cover, (0.05, 0.1, 0.15, 0.25, 0.35)),
}
"""Corruptions with their parameter in five strengths."""


def to_bytes(face: NDArray[np.float64]) -> Image:
    """Return a face as uint8."""
    return np.clip(np.round(face), 0, 255).astype(np.uint8)


def transform(
    face: NDArray[np.float64], degrees: float, zoom: float, offset_xy: tuple[float, float]
) -> NDArray[np.float64]:
    """Rotate, scale and move a face about its centre; pixels outside repeat the edge."""
    centre = ((face.shape[1] - 1) / 2, (face.shape[0] - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, degrees, zoom)
    matrix[:, 2] += np.array(offset_xy)
    return np.asarray(cv2.warpAffine(face, matrix, face.shape[::-1], borderMode=cv2.BORDER_REPLICATE))


def corrupt(faces: NDArray[np.uint8], name: str, strength: int, seed: int) -> list[Image]:
    """Return (N, 48, 48) faces with one corruption in a strength from 0 to 4."""
    function, parameters = CORRUPTIONS[name]
    random = np.random.default_rng([seed, strength, *name.encode()])
    return [to_bytes(function(face.astype(float), random, parameters[strength])) for face in faces]


def corrupt_all(faces: NDArray[np.uint8], name: str, seeds: int) -> list[list[Image]]:
    """Return (N, 48, 48) faces with one corruption in each strength and with each seed; unmodified once for "none"."""
    if name == "none":
        return [list(faces)]
    return [corrupt(faces, name, strength, seed) for strength in range(STRENGTHS) for seed in range(seeds)]


def judge(model: EmotionClassifier, faces: list[Image], truth: list[str]) -> NDArray[np.float64]:
    """Return for each face 1 if its label is right, else 0, and the confidence; (N, 2)."""
    emotions = model.classify(faces)
    return np.array(
        [(emotion.label == label, emotion.confidence) for emotion, label in zip(emotions, truth, strict=True)]
    )


def summarize(answers: NDArray[np.float64], chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the accuracy with its interval and the calibration error of (S, N, 2) answers for the chosen faces."""
    correct, confidence = answers[:, chosen, 0], answers[:, chosen, 1]
    return {
        "accuracy": float(correct.mean()), "interval": bootstrap_interval(correct.mean(axis=0)),
        "calibration_error": calibration_error(confidence.ravel(), correct.ravel() > 0),
    }  # fmt: skip


@cache
def find_originals(data: Path, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return for each face of a data folder whether its training split contains no pixel copy of it.

    `edgeinfer-train prepare` keeps the copies in the folder; they are excluded when the training faces are loaded.
    """
    known = {pixel_digest(read_image(data / name)) for name, _ in split_files(data, "train", read_info(data).labels)}
    return np.array([pixel_digest(read_image(data / name)) not in known for name in names])


def measure(models: dict[str, EmotionClassifier], data: Path, seeds: int) -> dict[str, Any]:
    """Return the figures of each model and corruption for all faces and for those without a copy."""
    labels = next(iter(models.values())).labels
    faces = load_split(data, "valid", labels=labels)
    groups = {"all": np.ones(len(faces.images), bool), "no_copy": find_originals(data, faces.names)}
    truth, tiles = [labels[label] for label in faces.labels], faces.images[..., 0]
    answers: dict[str, dict[str, NDArray[np.float64]]] = {name: {} for name in models}
    for kind in ("none", *CORRUPTIONS):
        versions = corrupt_all(tiles, kind, seeds)
        for name, model in models.items():
            answers[name][kind] = np.stack([judge(model, version, truth) for version in versions])
    figures: dict[str, Any] = {"faces": {group: int(chosen.sum()) for group, chosen in groups.items()}, "models": {}}
    first = next(iter(answers.values()))
    for name, kinds in answers.items():
        corrupted = np.concatenate([kinds[kind] for kind in CORRUPTIONS])
        change = corrupted[..., 0] - np.concatenate([first[kind] for kind in CORRUPTIONS])[..., 0]
        figures["models"][name] = {
            group: {
                **{kind: summarize(found, chosen) for kind, found in kinds.items()},
                "mean": summarize(corrupted, chosen),
                "difference": [float(change[:, chosen].mean()), *bootstrap_interval(change[:, chosen].mean(axis=0))],
            }
            for group, chosen in groups.items()
        }
    return figures


def compare(models: dict[str, EmotionClassifier], options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the accuracy of models and other packages for each corruption on the same randomly chosen faces."""
    problems: dict[str, str] = {}
    commands = {name: [*command, "whole"]
                for name, command in peers.prepare(options.peers, options, problems).items()}  # fmt: skip
    labels = next(iter(models.values())).labels
    faces = load_split(options.data, "valid", labels=labels)
    chosen = np.random.default_rng(0).permutation(len(faces.images))[: options.peer_faces]
    tiles, truth = faces.images[chosen, ..., 0], np.array([labels[label] for label in faces.labels[chosen]])
    versions = {kind: list(chain.from_iterable(corrupt_all(tiles, kind, 1))) for kind in ("none", *CORRUPTIONS)}
    crops = list(chain.from_iterable(versions.values()))
    answers = {name: [emotion.label for emotion in model.classify(crops)] for name, model in models.items()}
    with tempfile.TemporaryDirectory() as folder:
        pictures = np.repeat(np.stack(crops)[..., None], 3, axis=3)
        peers.write_pictures(Path(folder), frames=pictures[:0], faces=pictures)
        results = peers.measure(commands, Path(folder), 1, problems)
    answers |= {f"{name} {found['version']}": found["labels"] for name, [found] in results.items()}
    for name, reason in problems.items():
        print(f"{name} not measured: {reason}")
    ends = np.cumsum([len(version) for version in versions.values()])[:-1]
    accuracy = {
        name: {kind: float((part.reshape(-1, len(chosen)) == truth).mean())
               for kind, part in zip(versions, np.split(np.array(given), ends), strict=True)}
        for name, given in answers.items()
    }  # fmt: skip
    return {name: {**row, "mean": float(np.mean([row[kind] for kind in CORRUPTIONS]))}
            for name, row in accuracy.items()}  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="*", default=[find_model(ACCURATE)])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--peers", nargs="+", choices=("fer", "face-api"), default=[])
    parser.add_argument("--peer-faces", type=int, default=300)
    parser.add_argument("--cache", type=Path, default=peers.ROOT / "build" / "peers")
    options = parser.parse_args()
    models = {path.stem: EmotionClassifier.load(path) for path in (find_model(None), *options.models)}
    figures = measure(models, options.data, options.seeds)
    info = read_info(options.data)
    print(f"{info.name} validation, {figures['faces']['all']} faces, {figures['faces']['no_copy']} without a copy in "
          f"training, {info.label_mode}; accuracy (expected calibration error)")  # fmt: skip
    for name, groups in figures["models"].items():
        print(f"\n| {name} | all faces | without copies |\n| --- | --- | --- |")
        for kind in ("none", *CORRUPTIONS, "mean"):
            cells = (f"{row['accuracy']:.3f} ({row['calibration_error']:.3f})"
                     for row in (groups["all"][kind], groups["no_copy"][kind]))  # fmt: skip
            print(f"| {kind} | {' | '.join(cells)} |")
        for group, found in groups.items():
            low, high = found["mean"]["interval"]
            change, lower, upper = found["difference"]
            print(f"{group}: mean of corruptions [{low:.3f}, {high:.3f}], difference to the default {change:+.4f} "
                  f"[{lower:+.4f}, {upper:+.4f}]")  # fmt: skip
    if options.peers:
        figures["peers"] = {"faces": options.peer_faces, "accuracy": compare(models, options)}
        print(f"\nOn {options.peer_faces} faces, accuracy:\n{model_tables.peer_corruptions({'corruptions': figures})}")
    data = {"data": f"{info.name} validation", "seeds": options.seeds}
    saved = read_results().get("corruptions", {})
    if data.items() <= saved.items():
        figures["models"] = saved["models"] | figures["models"]
        if "peers" in saved:
            figures.setdefault("peers", saved["peers"])
    save_results("corruptions", {**data, **figures})


if __name__ == "__main__":
    main()
