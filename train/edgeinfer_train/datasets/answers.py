"""Answers of teachers for training faces, stored in one small file.

A student that learns from answers needs no teacher at hand. Each face has one answer, whatever its augmentation: the
teacher saw it undamaged, so that its answer for a small, dark or covered face is better than one for the damaged face.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.system.files import replacing
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.errors import DataError


@dataclass(frozen=True, slots=True)
class Answers:
    """Mean probabilities of teachers for N faces.

    Attributes:
        labels: K labels.
        names: N paths relative to the data folder.
        probabilities: (N, K) float16.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    probabilities: NDArray[np.float16]

    def save(self, path: Path) -> None:
        """Write an `.npz` file; an existing file is replaced once the new one is complete."""
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez_compressed(
                file, labels=np.array(self.labels), names=np.array(self.names), probabilities=self.probabilities
            )

    @classmethod
    def load(cls, path: Path) -> Answers:
        """Read a file written by `save`.

        Raises:
            DataError: The file cannot be read or contains something else.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                labels, names, probabilities = arrays["labels"], arrays["names"], arrays["probabilities"]
        except OSError as error:
            raise DataError(f"cannot read the answers {path}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} contains no answers: write it with edgeinfer-train answers") from error
        if probabilities.shape != (len(names), len(labels)) or not np.isfinite(probabilities).all():
            raise DataError(f"{path} is damaged: write it again with edgeinfer-train answers")
        return cls(tuple(labels.tolist()), tuple(names.tolist()), probabilities)

    def blend(self, faces: Faces, labels: tuple[str, ...], weight: float) -> Faces:
        """Return faces whose soft labels are partly the answers.

        Args:
            faces: Training faces.
            labels: Labels of the faces.
            weight: Share of the answers, 0..1.

        Raises:
            DataError: The labels differ, or a face has no answer.
        """
        if set(labels) != set(self.labels):
            raise DataError(f"`answers` has the labels {' '.join(self.labels)}, but the data have {' '.join(labels)}")
        rows = {name: row for row, name in enumerate(self.names)}
        if missing := [name for name in faces.names if name not in rows]:
            raise DataError(
                f"`answers` lacks {len(missing):,} of {len(faces):,} training faces, such as {missing[0]}: "
                "write it again with edgeinfer-train answers"
            )
        columns = [self.labels.index(label) for label in labels]
        found = self.probabilities[[rows[name] for name in faces.names]][:, columns].astype(np.float32)
        found /= found.sum(axis=1, keepdims=True)  # rounded to float16
        return replace(faces, soft_labels=(1 - weight) * faces.soft_labels + weight * found)
