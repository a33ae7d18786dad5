"""Layout of prepared data sets: splits, names of files, and the range of sizes. Imports no numerical package."""

from __future__ import annotations

from typing import Literal, get_args

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

DATASET_FILE = "dataset.json"
SKIPPED_FILE = "skipped.csv"
VOTES_FILE = "votes.csv"
FACES_FILE = "faces.csv"
"""Properties of the faces that the source has, such as person, valence and arousal, one row per file."""
SIZE_RANGE = (16, 1024)
"""Smallest and largest side of faces that `prepare` scales, in pixels."""
