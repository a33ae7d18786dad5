"""Files that an evaluation or an export reads, which its outputs must not overwrite."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from edgeinfer.system.identity import NamedPath, files_below
from edgeinfer_train.datasets.layout import DATASET_FILE, FACES_FILE, SKIPPED_FILE, VOTES_FILE

RUN_FILES = (
    "model.keras",
    "model.weights.h5",
    "config.toml",
    "history.csv",
    "held-out.csv",
    "left-out.csv",
    "metrics.json",
    "curves.png",
    "confusion.png",
    "reliability.png",
)


def model_inputs(model: Path) -> Iterator[NamedPath]:
    """Yield a model file, or the files of a run folder."""
    names = RUN_FILES if os.path.isdir(model) else ("",)  # noqa: PTH112 - false for a path that is too long
    for name in names:
        yield NamedPath("the model", str(model / name))


def exported_inputs(run: Path) -> Iterator[NamedPath]:
    """Yield the exported models of a run folder, and their reports."""
    for path in run.glob("*.onnx"):
        yield NamedPath("the model", str(path))
        yield NamedPath("the report", str(path.with_suffix(".json")))


def data_inputs(data: Path) -> Iterator[NamedPath]:
    """Yield the files of a prepared data folder; other files directly in it are not read."""
    for name in (DATASET_FILE, VOTES_FILE, FACES_FILE, SKIPPED_FILE):
        yield NamedPath("the data", str(data / name))
    if os.path.isdir(data):  # noqa: PTH112 - false for a path that is too long
        for folder in data.iterdir():
            if folder.is_dir():
                yield from files_below("the data", folder)
