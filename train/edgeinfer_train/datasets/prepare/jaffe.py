"""JAFFE as published: pictures such as KA.AN1.39.tiff, with the subject and the expression in the name."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Literal

from edgeinfer.errors import shown_path
from edgeinfer_train.datasets.load import IMAGE_SUFFIXES
from edgeinfer_train.datasets.prepare.pictures import Options, Picture
from edgeinfer_train.datasets.prepare.report import PrepareReport, Progress, Skipped
from edgeinfer_train.datasets.prepare.subjects import DEFAULT_FOLDS, Folds, prepare_by_subject
from edgeinfer_train.datasets.prepare.tree import FileTree, is_visible, open_tree
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import EIGHT_LABELS

CODES = {
    "AN": "angry", "DI": "disgust", "FE": "fear", "HA": "happy", "NE": "neutral", "SA": "sad", "SU": "surprise",
}  # fmt: skip
"""Labels of the expression codes (Lyons et al. 1998, doi:10.1109/AFGR.1998.670949)."""
NAME = re.compile(r"(?P<subject>[A-Z]{2})[._-](?P<code>[A-Z]{2})\d*[._-]\d+", re.IGNORECASE)
"""Subject, expression with the number of the pose, and number of the picture."""


def prepare_jaffe(
    source: Path,
    out: Path,
    *,
    classes: Literal[7, 8] = 7,
    folds: int = DEFAULT_FOLDS,
    fold: int = 1,
    seed: int = 0,
    size: int | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Prepare JAFFE, split by subject as CK+ is; see `prepare_ckplus`.

    The pictures show the whole head and are written as they are. JAFFE has ten subjects: ten folds leave one out.

    Args:
        source: Folder or .zip with pictures such as KA.AN1.39.tiff, at any depth.
        out: Data folder to write.
        classes: Number of labels; 8 adds contempt, for which JAFFE has no pictures.
        folds: Number of folds, at most the number of subjects.
        fold: Validation fold, 1..folds.
        seed: Seed of the fold assignment.
        size: Side in pixels to which pictures are scaled, or None to keep their size.
        progress: Callback with the arguments (files done, total files).

    Raises:
        ConfigError: The fold does not exist.
        DataError: The source is missing, or has no picture with such a name or fewer subjects than folds; or `out`
            contains a different data set.
        RunError: `out` cannot be written.
    """
    chosen = Folds(folds, fold)
    with open_tree(source) as tree:
        found, skipped = _list_pictures(tree)
        if not found:
            raise DataError(
                f"{shown_path(source)} has no pictures such as KA.AN1.39.tiff: expected JAFFE's pictures with their "
                "published names (for class folders use the kind folder)"
            )
        options = Options("JAFFE", EIGHT_LABELS[:classes], seed, size=size)
        return prepare_by_subject(tree, source, out, found, skipped, options, chosen, progress)


def _list_pictures(tree: FileTree) -> tuple[list[Picture], list[Skipped]]:
    found: dict[str, Picture] = {}
    skipped = list(tree.skipped)
    for path in sorted(filter(is_visible, tree.files)):
        name = PurePosixPath(path)
        if name.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        match = NAME.fullmatch(name.stem)
        label = CODES.get(match["code"].upper()) if match else None
        if match is None or label is None:
            skipped.append(Skipped("", path, "unknown code" if match else "no class"))
        elif name.name in found:
            skipped.append(Skipped("", path, "duplicate name"))
        else:
            found[name.name] = Picture(path, tree.files[path], None, label, match["subject"].upper())
    return list(found.values()), skipped
