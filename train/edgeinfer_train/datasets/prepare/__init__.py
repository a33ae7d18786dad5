"""Preparation of published data sets: conversion to the layout that `edgeinfer_train.datasets.load` reads.

>>> import tempfile
>>> from pathlib import Path
>>> import cv2
>>> import numpy as np
>>> with tempfile.TemporaryDirectory() as folder:
...     for label in ("happy", "sad"):
...         (Path(folder) / "faces" / label).mkdir(parents=True)
...         for i in range(5):
...             image = np.full((48, 48), 40 * i, np.uint8)
...             _ = cv2.imwrite(f"{folder}/faces/{label}/{i}.png", image)
...     report = prepare("folder", [Path(folder) / "faces"], Path(folder) / "data")
>>> {split: sum(counts.values()) for split, counts in report.counts.items()}
{'train': 8, 'valid': 2}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeinfer_train.datasets.options import NeutralRule, PrepareOptions, SourceKind
from edgeinfer_train.datasets.prepare.affectnet import prepare_affectnet
from edgeinfer_train.datasets.prepare.ckplus import prepare_ckplus
from edgeinfer_train.datasets.prepare.fer2013 import prepare_fer2013
from edgeinfer_train.datasets.prepare.ferplus import prepare_ferplus
from edgeinfer_train.datasets.prepare.folders import prepare_folder
from edgeinfer_train.datasets.prepare.jaffe import prepare_jaffe
from edgeinfer_train.datasets.prepare.merge import prepare_merged
from edgeinfer_train.datasets.prepare.rafdb import prepare_rafdb
from edgeinfer_train.datasets.prepare.report import PrepareReport, Progress, Reason, Skipped
from edgeinfer_train.datasets.prepare.subjects import DEFAULT_FOLDS
from edgeinfer_train.errors import ConfigError, DataError
from edgeinfer_train.labels import split_labels

__all__ = [
    "NeutralRule",
    "PrepareOptions",
    "PrepareReport",
    "Progress",
    "Reason",
    "Skipped",
    "SourceKind",
    "prepare",
    "prepare_affectnet",
    "prepare_ckplus",
    "prepare_fer2013",
    "prepare_ferplus",
    "prepare_folder",
    "prepare_jaffe",
    "prepare_merged",
    "prepare_rafdb",
]

READERS: dict[SourceKind, Callable[..., PrepareReport]] = {
    "fer2013": prepare_fer2013,
    "ckplus": prepare_ckplus,
    "jaffe": prepare_jaffe,
    "rafdb": prepare_rafdb,
    "affectnet": prepare_affectnet,
    "folder": prepare_folder,
}
"""Readers of the layouts without published votes."""
DEFAULTS = PrepareOptions()


def prepare(
    kind: SourceKind,
    sources: Sequence[Path],
    out: Path,
    options: PrepareOptions = DEFAULTS,
    progress: Progress | None = None,
) -> PrepareReport:
    """Convert a published data set into a prepared data folder; see the function of each layout for details.

    Args:
        kind: Layout of the source; "merge" combines prepared data folders.
        sources: One folder, zip or CSV file as published; two or more prepared data folders for "merge".
        out: Data folder to write.
        options: Options, some of which apply to a few layouts only.
        progress: Callback with the arguments (done, total).

    Returns:
        Counts of the prepared faces and the list of skipped rows.

    Raises:
        ConfigError: An option does not apply to this layout, or the number of sources is wrong.
        DataError: A source or `out` cannot be used, or the label mode needs votes.
        RunError: `out` cannot be written.
    """
    options.check_applicable(kind)
    arguments: dict[str, Any] = {"size": options.size, "progress": progress}
    if kind == "merge":
        arguments |= {"label_map": options.label_map, "label_mode": options.label_mode, "seed": options.seed or 0}
        return prepare_merged(sources, out, **arguments)
    if len(sources) != 1:
        raise ConfigError(f"{kind} reads one source, not {len(sources)}: prepare each, then combine them with merge")
    arguments["classes"] = options.classes or (None if kind == "folder" else 7)
    if kind == "ferplus":
        arguments |= {"label_mode": options.label_mode or "votes", "neutral_rule": options.neutral_rule}
        return prepare_ferplus(sources[0], out, **arguments)
    if options.label_mode not in (None, "argmax") and not (kind == "folder" and sources[0].suffix.lower() == ".csv"):
        raise DataError(f"{kind} has one label per face and no votes: set `label_mode` to argmax")
    arguments["seed"] = options.seed or 0
    if kind in ("ckplus", "jaffe"):
        arguments["folds"] = DEFAULT_FOLDS if options.folds is None else options.folds
        arguments["fold"] = 1 if options.fold is None else options.fold
    if kind == "folder":
        arguments |= {
            "label_mode": options.label_mode, "labels": split_labels(options.labels) or None,
            "group_regex": options.group_regex, "corrections": options.corrections,
        }  # fmt: skip
    return READERS[kind](sources[0], out, **arguments)
