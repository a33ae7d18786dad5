"""Fine-tuning on small sets: FERPlus faces that were changed to imitate another camera, and a set with other labels.

    python -m edgeinfer_train.cli.app prepare ferplus FERPlus.zip --out data/ferplus
    python benchmarks/own_faces.py data/ferplus [--faces 50 200 1000] [--seeds 5] [--work FOLDER] [--save]

The training faces of FERPlus are ordered by a hash of their pixels. For each seed, the first N of a seeded shuffle are
a user's set; `edgeinfer-train fit --weights bundled` trains on 80 % and validates on 20 % of them. All FERPlus
validation faces, which neither the bundled model nor a fit has seen, are the test set. Both are changed alike: gamma,
blur, contrast, noise. The second set has three labels that the bundled model lacks, each made of FERPlus labels; its
baseline is the sum of the bundled model's probabilities over them. Intervals are 95 %, by bootstrap over test faces.
Rows are kept in the work folder, so that an interrupted call continues.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common import save_results
from edgeinfer.expression.probabilities import softmax
from edgeinfer_train.datasets.load import Faces, load_split, read_info
from edgeinfer_train.evaluation.evaluate import batches, load_network
from edgeinfer_train.evaluation.metrics import change
from edgeinfer_train.networks.start import bundled_model
from edgeinfer_train.training.fit import fit
from edgeinfer_train.training.recipe import choose_settings

GAMMA, BLUR, CONTRAST, NOISE = 2.0, 1.0, 0.6, 5.0
"""Exponent of the tone curve, standard deviation of the blur in pixels, contrast, and deviation of the noise."""
MOODS = {"pleased": ("happy", "surprise"), "calm": ("neutral",), "upset": ("sad", "angry", "disgust", "fear")}
VALID_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Task:
    """A set of labels, with the FERPlus labels that each consists of."""

    name: str
    sources: Mapping[str, tuple[str, ...]]

    def labels_of(self, faces: Faces, names: tuple[str, ...]) -> NDArray[np.int64]:
        """Return the label of each FERPlus face in this task."""
        index = {source: i for i, sources in enumerate(self.sources.values()) for source in sources}
        return np.array([index[names[label]] for label in faces.labels])

    def bundled_logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the log-probabilities of the bundled model, summed over the labels that each label consists of."""
        network = load_network(bundled_model())
        probabilities = softmax(np.concatenate([network.logits(batch) for batch in batches(images)]))
        columns = [[network.labels.index(name) for name in names] for names in self.sources.values()]
        shares = np.stack([probabilities[:, c].sum(axis=1) for c in columns], axis=1)
        return np.asarray(np.log(shares), np.float32)


def imitate_camera(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Change tone, sharpness, contrast and noise of one (H, W, 1) face; the noise depends on its pixels."""
    light = (face[..., 0].astype(np.float32) / 255) ** GAMMA
    flat = 255 * (0.5 + (cv2.GaussianBlur(light, (0, 0), BLUR) - 0.5) * CONTRAST)
    random = np.random.default_rng(int(digest(face)[:16], 16))
    return np.clip(flat + random.normal(0, NOISE, flat.shape), 0, 255).round().astype(np.uint8)[..., None]


def digest(face: NDArray[np.uint8]) -> str:
    """Return a hash of the pixels."""
    return hashlib.sha256(face.tobytes()).hexdigest()


def write_data(folder: Path, images: NDArray[np.uint8], labels: NDArray[np.int64], names: tuple[str, ...]) -> None:
    """Write a prepared data folder with a validation split."""
    valid = round(VALID_SHARE * len(images))
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / ("valid" if number < valid else "train") / names[label] / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    info = {"name": "other camera", "labels": names, "label_mode": "one label a face", "complete": True}
    (folder / "dataset.json").write_text(json.dumps(info), encoding="utf-8")


def load_cached(data: Path, work: Path) -> dict[str, Any]:
    """Return the changed faces with their FERPlus labels; computed once per work folder."""
    path = work / "camera.npz"
    if not path.is_file():
        train, valid = (load_split(data, split, label_mode="argmax") for split in ("train", "valid"))
        order = np.argsort([digest(face) for face in train.images])
        arrays = {"train": train.take(order), "test": valid}
        changed = {name: np.stack([imitate_camera(face) for face in faces.images]) for name, faces in arrays.items()}
        np.savez(
            path, train=changed["train"], test=changed["test"], train_labels=train.take(order).labels,
            test_labels=valid.labels,
        )  # fmt: skip
    return dict(np.load(path))


def measure(
    task: Task, count: int, seed: int, arrays: dict[str, Any], names: tuple[str, ...], work: Path
) -> dict[str, Any]:
    """Fine-tune on `count` faces and compare with the bundled model on the test faces."""
    labels = tuple(task.sources)
    kind = {source: i for i, sources in enumerate(task.sources.values()) for source in sources}
    to_task = np.array([kind[name] for name in names])
    chosen = np.random.default_rng(seed).permutation(len(arrays["train"]))[:count]
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        write_data(folder / "data", arrays["train"][chosen], to_task[arrays["train_labels"][chosen]], labels)
        settings = choose_settings(folder / "data", {"weights": "bundled", "backbone": "edgenet", "seed": seed})
        began, cpu = time.monotonic(), time.process_time()
        fit(folder / "data", folder / "run", settings, notify=lambda text: print(text, file=sys.stderr))
        spent, cpu = time.monotonic() - began, time.process_time() - cpu
        network = load_network(folder / "run")
        kept = json.loads((folder / "run" / "metrics.json").read_text())["kept"]
    test, truth = arrays["test"], to_task[arrays["test_labels"]]
    tuned = np.concatenate([network.logits(batch) for batch in batches(test)])
    bundled = task.bundled_logits(test)
    found = change(bundled, tuned, truth)
    return {
        "task": task.name, "faces": count, "seed": seed, "recipe": settings.recipe, "kept": kept,
        "bundled": round(float((bundled.argmax(1) == truth).mean()), 4),
        "tuned": round(float((tuned.argmax(1) == truth).mean()), 4),
        "difference": round(found.accuracy, 4), "interval": [round(bound, 4) for bound in found.accuracy_interval],
        "macro_f1": round(found.macro_f1, 4),
        "seconds": round(spent, 1), "cpu_seconds": round(cpu, 1),
    }  # fmt: skip


def main() -> None:
    """Measure all combinations and print one row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="prepared FERPlus folder with seven labels")
    parser.add_argument("--faces", type=int, nargs="+", default=[50, 200, 1000, 5000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", default=["camera", "moods"], choices=["camera", "moods"])
    parser.add_argument("--work", type=Path, default=Path("build/own-faces"), help="folder of the changed faces")
    parser.add_argument("--save", action="store_true", help="save the rows in benchmarks/results")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    names, arrays = read_info(options.data).labels, load_cached(options.data, options.work)
    sources: dict[str, Mapping[str, tuple[str, ...]]] = {"camera": {name: (name,) for name in names}, "moods": MOODS}
    path = options.work / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    for count, task, seed in product(options.faces, options.tasks, range(options.seeds)):
        if (task, count, seed) not in {(row["task"], row["faces"], row["seed"]) for row in rows}:
            rows.append(measure(Task(task, sources[task]), count, seed, arrays, names, options.work))
            with path.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(json.dumps(rows[-1]), flush=True)
    if options.save:
        save_results("own_faces", {"rows": sorted(rows, key=lambda row: (row["task"], row["faces"], row["seed"]))})


if __name__ == "__main__":
    main()
