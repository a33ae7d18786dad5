"""Small generated data sets: FERPlus as published, and toy faces that are easy to classify."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer_train.augmentation import AugmentConfig
from edgeinfer_train.config import FitConfig
from edgeinfer_train.labels import VOTE_COLUMNS
from edgeinfer_train.networks import edgenet
from edgeinfer_train.training.fit import fit
from tools.shared import build_once

NO_AUGMENTATION = AugmentConfig(
    rotation=0.0, zoom=0.0, shift=0.0, shear=0.0, flip=False, brightness=0.0, contrast=0.0, blur=0.0, noise=0.0,
    erasing=0.0, mixup=0.0,
)  # fmt: skip
SHALLOW = ((32, 1),)
"""Stages of the edge networks in these tests: one residual block, because building a network takes most time."""
FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}


def png(value: int, *, lower: int | None = None, seed: int = 0, size: int = 48) -> bytes:
    """Encode a noisy grey image, optionally with a different grey level in its lower half."""
    levels = np.full((size, 1), value)
    levels[size // 2 :] = value if lower is None else lower
    noise = np.random.default_rng(seed).integers(-20, 21, (size, size))
    done, data = cv2.imencode(".png", np.clip(levels + noise, 0, 255).astype(np.uint8))
    assert done
    return data.tobytes()


@dataclass(frozen=True)
class Row:
    """One row of fer2013new.csv with its image; None omits the image."""

    usage: str
    name: str
    votes: str
    picture: bytes | None = b"default"


class FerplusMaker:
    """Writer of FERPlus in its published layout."""

    def __call__(self, root: Path, rows: Sequence[Row], *, nested: str = "", archive: bool = False) -> Path:
        files = {"fer2013new.csv": self.table(rows).encode()}
        for number, row in enumerate(rows):
            folder = FOLDERS.get(row.usage)
            if folder is None or not row.name or row.picture is None:
                continue
            # The published folders contain files of this name with different votes.
            files.setdefault(f"{folder}/label.csv", f'{row.name},"(0, 0, 48, 48)",0,0,0,0,0,0,0,0,0,10\n'.encode())
            path = f"{folder}/{row.name}"
            files.setdefault(path, png(100, seed=number) if row.picture == b"default" else row.picture)
        return self._zip(root, files, nested) if archive else self._folder(root, files, nested)

    @staticmethod
    def table(rows: Sequence[Row]) -> str:
        """Return the text of fer2013new.csv."""
        header = ",".join(["Usage", "Image name", *VOTE_COLUMNS])
        return "\n".join([header, *(f"{r.usage},{r.name},{r.votes}" for r in rows)]) + "\n"

    @staticmethod
    def _folder(root: Path, files: dict[str, bytes], nested: str) -> Path:
        for name, content in files.items():
            path = root / nested / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    @staticmethod
    def _zip(root: Path, files: dict[str, bytes], nested: str) -> Path:
        path = root.with_suffix(".zip")
        with zipfile.ZipFile(path, "w") as file:
            for name, content in files.items():
                file.writestr(f"{nested}/{name}" if nested else name, content)
        return path


@contextmanager
def shallow_networks() -> Iterator[None]:
    """Build edge networks with one block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edgenet, "STAGES", SHALLOW)
        yield


@pytest.fixture(autouse=True, scope="module")
def _shallow_networks() -> Iterator[None]:
    with shallow_networks():
        yield


@pytest.fixture
def make_row() -> type[Row]:
    return Row


@pytest.fixture
def make_ferplus() -> FerplusMaker:
    return FerplusMaker()


@pytest.fixture
def make_png() -> Callable[..., bytes]:
    return png


def write_toy_data(
    data: Path, *, train: int = 96, valid: int = 48, labels: tuple[str, ...] = ("neutral", "happy")
) -> Path:
    """Write dark faces; those of the second label have a bright lower half."""
    for split, count in {"train": train, "valid": valid}.items():
        for number in range(count):
            folder = data / split / labels[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            seed = number + (10_000 if split == "valid" else 0)
            (folder / f"{number:04d}.png").write_bytes(png(60, lower=200 if number % 2 else 60, seed=seed))
    info = {"name": "Toy", "labels": labels, "label_mode": "by brightness", "complete": True}
    (data / "dataset.json").write_text(json.dumps(info))
    return data


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_data(tmp_path_factory.mktemp("toy") / "data")


@pytest.fixture
def voted_data(tmp_path: Path, toy_data: Path) -> Path:
    """Copy the toy data with votes: every third face has a majority label, the others only a plurality."""
    data = tmp_path / "voted"
    shutil.copytree(toy_data, data)
    rows = [",".join(["file", *VOTE_COLUMNS])]
    for path in sorted(data.glob("*/*/*.png")):
        own, other, unknown = (9, 0, 0) if int(path.stem) % 3 == 0 else (4, 3, 3)
        first, second = (own, other) if path.parent.name == "neutral" else (other, own)
        rows.append(f"{path.relative_to(data).as_posix()},{first},{second},0,0,0,0,0,0,{unknown},0")
    (data / "votes.csv").write_text("\n".join(rows) + "\n")
    return data


@pytest.fixture
def make_toy_data() -> Callable[..., Path]:
    return write_toy_data


@pytest.fixture(scope="session")
def toy_config() -> FitConfig:
    return FitConfig(
        width=0.25, epochs=4, batch_size=8, learning_rate=0.05, warmup_epochs=0.0, ema_momentum=0.8,
        precision="float32", augment=AugmentConfig(brightness=0.05, contrast=0.1, rotation=5.0),
    )  # fmt: skip


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory, toy_data: Path, toy_config: FitConfig) -> Path:
    """Train a run. Tests must copy it before they modify it."""

    def train(folder: Path) -> None:
        with shallow_networks():
            fit(toy_data, folder / "run", toy_config)

    return build_once(tmp_path_factory, "toy-run", train) / "run"


@pytest.fixture(scope="session")
def toy_export(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the toy run's model, with its report next to it."""
    export = pytest.importorskip("edgeinfer_export.publish.export")
    name = "toy.onnx"
    return build_once(tmp_path_factory, "toy-export", lambda folder: export.export_model(toy_run, folder / name)) / name


@pytest.fixture
def grey_faces() -> NDArray[np.uint8]:
    """Return (6, 48, 48, 1) uint8 images, smooth and asymmetric."""
    rows, columns = np.mgrid[0:48, 0:48]
    pictures = [120 + 60 * np.sin(rows / (5 + i)) + 50 * np.cos(columns / (7 + i) + 1) for i in range(6)]
    return np.stack(pictures).clip(0, 255).astype(np.uint8)[..., None]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Disable graph compilation, which takes longer than a few eager steps."""
    monkeypatch.setattr(keras.Sequential, "compile", partialmethod(keras.Sequential.compile, run_eagerly=True))
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def restored_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore the signal handlers and the warning printer that the command line replaces."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], restored_terminal: None
) -> Callable[..., Outcome]:
    """Return a function that runs `edgeinfer-train` in this process."""
    from edgeinfer_train.cli.app import main

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["edgeinfer-train", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        assert isinstance(end.value.code, int)
        return Outcome(end.value.code, out, err)

    return run
