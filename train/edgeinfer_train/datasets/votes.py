"""Votes of several annotators per face, from the votes file of a prepared data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer_train.datasets.layout import VOTES_FILE
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import EIGHT_LABELS, VOTE_COLUMNS


@dataclass(frozen=True, slots=True)
class Votes:
    """Votes of a prepared data set.

    Attributes:
        columns: Labels of the M columns; for FERPlus these are the eight labels, `unknown` and `NF`.
        by_file: (M,) float32 votes by path relative to the data folder.
        ignores_single: True to treat single votes as errors, the rule of FERPlus for its ten annotators.
    """

    columns: tuple[str, ...]
    by_file: dict[str, NDArray[np.float32]]
    ignores_single: bool

    def shares(self, names: Sequence[str], labels: Sequence[str], fallback: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the vote shares of N faces.

        Args:
            names: Paths relative to the data folder.
            labels: K labels; votes for other columns are ignored, and a label without a column has none.
            fallback: (N, K) rows for faces without votes.

        Returns:
            (N, K) float32; each row sums to 1.
        """
        counts = np.zeros((len(names), len(labels)), np.float32)
        votes = self._counts(names)
        for at, label in enumerate(labels):
            if label in self.columns:
                counts[:, at] = votes[:, self.columns.index(label)]
        return vote_distribution(counts, fallback, ignores_single=self.ignores_single)

    def have_majority(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Return for N faces whether one label has more than half of the votes; see `has_majority`."""
        return has_majority(self._counts(names), ignores_single=self.ignores_single)

    def _counts(self, names: Sequence[str]) -> NDArray[np.float32]:
        none = np.zeros(len(self.columns), np.float32)
        return np.stack([self.by_file.get(name, none) for name in names])


def read_votes(data: Path) -> Votes:
    """Read the votes of a prepared data set.

    If the neutral rule of FERPlus assigned a face to another emotion, its neutral votes are 0.

    Raises:
        DataError: The data set has no votes.
    """
    if not (data / VOTES_FILE).is_file():
        raise DataError(f"{data} has one label per face and no votes: set `label_mode` to argmax")
    import pandas as pd  # noqa: PLC0415 - only needed for votes

    table = pd.read_csv(data / VOTES_FILE, index_col="file", keep_default_na=False)
    votes = table.to_numpy(np.float32)
    columns, is_ferplus = tuple(map(str, table.columns)), set(table.columns) == set(VOTE_COLUMNS)
    if is_ferplus:
        votes, columns = table[list(VOTE_COLUMNS)].to_numpy(np.float32), (*EIGHT_LABELS, *VOTE_COLUMNS[8:])
        folders = np.array([name.split("/")[1] for name in table.index], dtype=str)
        votes[(folders != EIGHT_LABELS[0]) & (votes.argmax(1) == 0), 0] = 0
    return Votes(columns, dict(zip(map(str, table.index), votes, strict=True)), is_ferplus)


def vote_distribution(
    votes: NDArray[np.float32], fallback: NDArray[np.float32], *, ignores_single: bool = True
) -> NDArray[np.float32]:
    """Convert vote counts to soft labels.

    Args:
        votes: (N, K) vote counts.
        fallback: (N, K) rows for faces without votes.
        ignores_single: True to treat single votes as errors and set them to 0 if other votes remain, the rule of
            FERPlus (Barsoum et al. 2016).

    Returns:
        (N, K) float32; each row sums to 1.

    Examples:
        >>> vote_distribution(np.array([[6, 2, 1]], np.float32), np.eye(3, dtype=np.float32)[:1]).tolist()
        [[0.75, 0.25, 0.0]]
    """
    kept = without_single_votes(votes) if ignores_single else votes
    total = kept.sum(1, keepdims=True)
    return np.where(total > 0, kept / np.where(total > 0, total, 1), fallback).astype(np.float32)


def without_single_votes(votes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Set single votes to 0 in each of (N, K) rows, unless it has no other votes; see `vote_distribution`."""
    trusted = np.where(votes > 1, votes, 0)
    return np.where(trusted.sum(1, keepdims=True) > 0, trusted, votes)


def has_majority(votes: NDArray[np.float32], *, ignores_single: bool = True) -> NDArray[np.bool_]:
    """Return True for the faces with a majority label, by the rule of Microsoft's FERPlus code.

    The winning column needs more than half of the votes.

    Args:
        votes: (N, M) counts in all columns, for FERPlus in the order of `VOTE_COLUMNS`.
        ignores_single: True to set single votes to 0 first, the rule of FERPlus.

    Returns:
        (N,) bool, True if the column with the most votes has a majority.
    """
    trusted = np.where(votes > 1, votes, 0) if ignores_single else votes
    return np.asarray(trusted.max(1) > trusted.sum(1) / 2)
