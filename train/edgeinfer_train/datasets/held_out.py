"""Validation faces of a model whose run split the faces itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer_train.datasets.layout import Split
from edgeinfer_train.datasets.load import Faces, concatenate, load_split


def load_unseen(data: Path, split: Split, held_out: Sequence[str], **options: Any) -> Faces:
    """Read a split; for validation, the faces that the training of a model left out, if the folder contains them.

    Args:
        data: Prepared data folder.
        split: Split to read.
        held_out: Names in the `ModelInfo` of the model; empty if its run used the splits of its data folder.
        options: Other arguments of `load_split`.

    Raises:
        DataError: As for `load_split`.
    """
    if split != "valid" or not held_out or not all((data / name).is_file() for name in held_out):
        return load_split(data, split, **options)
    faces = concatenate(load_split(data, "train", **options), load_split(data, "valid", **options))
    return faces.take(np.isin(np.array(faces.names), list(held_out)))
