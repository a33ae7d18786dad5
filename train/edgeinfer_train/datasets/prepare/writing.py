"""What every layout shares: the data folder that is filled, and the report of what went into it."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from edgeinfer.results import Image
from edgeinfer_train.datasets.load import DATASET_FILE, SKIPPED_FILE, SPLITS, Split, pixel_digest
from edgeinfer_train.errors import DataError, RunError
from edgeinfer_train.labels import LabelMode

Reason = Literal[
    "no name", "duplicate name", "missing value", "unknown split", "split absent", "missing image", "not an image",
    "no class", "no subject", "unreadable image", "unknown code", "wrong number of pixels", "unknown", "not a face",
    "contempt",
]  # fmt: skip
Progress = Callable[[int, int], None]
"""Called with (done, in all), in rows or files."""


AS_PUBLISHED = "as published"
ONE_LABEL = "one label a face"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row or picture that was not used, and why."""

    split: str
    name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What `prepare` did.

    Attributes:
        labels: the class folders in order.
        counts: faces by split and label, zeros included.
        skipped: everything not used.
        absent: splits that the data folder goes without.
        written: files that were not there before.
        split_rule: where the splits come from, in words.
        duplicates: for two splits, how many faces of the first have the same pixels as a face of the second.
    """

    labels: tuple[str, ...]
    counts: dict[Split, dict[str, int]]
    skipped: tuple[Skipped, ...]
    absent: tuple[Split, ...]
    written: int
    split_rule: str = AS_PUBLISHED
    duplicates: dict[tuple[Split, Split], int] = field(default_factory=dict)

    @property
    def empty_labels(self) -> tuple[str, ...]:
        """Labels without a single face in any split."""
        return tuple(name for name in self.labels if not any(c[name] for c in self.counts.values()))

    def skipped_by_reason(self) -> dict[Reason, list[str]]:
        """Names of what was not used, by reason, in the order of the source."""
        found: dict[Reason, list[str]] = {}
        for row in self.skipped:
            found.setdefault(row.reason, []).append(row.name)
        return found


@dataclass(frozen=True, slots=True)
class Identity:
    """What must agree for a second run to go on in the same data folder.

    Attributes:
        name: of the data set.
        labels: the class folders in order.
        label_mode: the rule that chose the folders, in words.
        key: name of the digest in dataset.json.
        digest: of what the source says about every face.
    """

    name: str
    labels: tuple[str, ...]
    label_mode: str
    key: str
    digest: str

    def to_mapping(self) -> dict[str, Any]:
        """Values for dataset.json."""
        return {"name": self.name, "labels": list(self.labels), "label_mode": self.label_mode, self.key: self.digest}


def one_label_identity(name: str, labels: tuple[str, ...], faces: Iterable[str]) -> Identity:
    """Identity of a data set without votes.

    Args:
        name: of the data set.
        labels: the class folders in order.
        faces: what tells each face, its split and its label from others.
    """
    digest = hashlib.sha256("\n".join(faces).encode()).hexdigest()
    return Identity(name, labels, ONE_LABEL, "faces_sha256", digest)


def check_classes(labels: Collection[str], source: Path) -> None:
    """Refuse training faces that leave nothing to tell apart.

    Args:
        labels: of the training faces.
        source: for the message.

    Raises:
        DataError: they are all of one label.
    """
    if len(set(labels)) == 1:
        raise DataError(f"{source} has training faces of {next(iter(labels))} alone; two classes are the least")


class DataWriter:
    """Fills a data folder face by face; what is there already is not written again.

    Args:
        out: the data folder.
        identity: of what goes into it.
        default_label_mode: for `load_split`.

    Attributes:
        skipped: what is not used.
    """

    def __init__(self, out: Path, identity: Identity, default_label_mode: LabelMode) -> None:
        self.out, self._identity, self._default = out, identity, default_label_mode
        self.skipped: list[Skipped] = []
        self._counts: Counter[tuple[Split, str]] = Counter()
        self._pixels: dict[Split, Counter[bytes]] = {split: Counter() for split in SPLITS}
        self._written = 0

    def add(self, split: Split, label: str, name: str, content: bytes, image: Image) -> str:
        """Put one face into its class folder.

        Args:
            split: of the data set.
            label: ours.
            name: of the file.
            content: its bytes.
            image: its pixels, by which copies are found.

        Returns:
            Its path below the data folder.
        """
        target = self.out / split / label / name
        self._written += write_new(target, content)
        self._counts[split, label] += 1
        self._pixels[split][pixel_digest(image)] += 1
        return target.relative_to(self.out).as_posix()

    def finish(self, absent: Iterable[Split], *, split_rule: str = AS_PUBLISHED) -> PrepareReport:
        """Declare the data folder complete.

        Args:
            absent: splits that it goes without.
            split_rule: where the splits come from, in words.
        """
        labels, without = self._identity.labels, tuple(absent)
        rows = [[s.split, s.name, s.reason] for s in self.skipped]
        write_csv(self.out / SKIPPED_FILE, ["split", "name", "reason"], rows)
        counts = {s: {label: self._counts[s, label] for label in labels} for s in SPLITS if s not in without}
        copies = self._copies()
        values = {
            "complete": True, "counts": counts, "default_label_mode": self._default, "split_rule": split_rule,
            "duplicates": {f"{one}/{other}": count for (one, other), count in copies.items()},
        }  # fmt: skip
        write_json(self.out / DATASET_FILE, {**self._identity.to_mapping(), **values})
        return PrepareReport(labels, counts, tuple(self.skipped), without, self._written, split_rule, copies)

    def _copies(self) -> dict[tuple[Split, Split], int]:
        found = {
            (one, other): sum(count for digest, count in self._pixels[one].items() if digest in self._pixels[other])
            for one, other in combinations(SPLITS, 2)
        }
        return {pair: count for pair, count in found.items() if count}


@contextlib.contextmanager
def open_writer(out: Path, identity: Identity, default_label_mode: LabelMode) -> Iterator[DataWriter]:
    """Claim a data folder for a data set, new or begun by an earlier run.

    Raises:
        DataError: the folder holds something else.
        RunError: it cannot be written.
    """
    try:
        _claim(out, identity.to_mapping())
        yield DataWriter(out, identity, default_label_mode)
    except OSError as error:
        raise RunError(f"cannot write the data folder {out}: {error.strerror or error}") from error


def _claim(out: Path, info: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = out / DATASET_FILE
    if path.is_file():
        old: Any = None
        with contextlib.suppress(ValueError):
            old = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(old, dict):
            if any(old.get(key) != value for key, value in info.items()):
                raise DataError(
                    f"{out} already holds another data set, other classes or other splits; choose a new --out folder"
                )
            return
    elif any(out.iterdir()):
        raise DataError(f"{out} is not empty and holds no prepared data; choose a new --out folder")
    write_json(path, {**info, "complete": False})


def write_new(target: Path, content: bytes) -> bool:
    """Write a file unless it is there with this content; tell whether it was written."""
    if target.is_file() and target.read_bytes() == content:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return True


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table, unless it is there already."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_new(path, text.getvalue().encode())


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write an object, unless it is there already."""
    write_new(path, (json.dumps(value, indent=2) + "\n").encode())
