"""HTML page about a prepared data set: counts, persons, duplicates, quality, samples and skipped items."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edgeinfer.errors import OutputError, shown_path
from edgeinfer.outputs.palette import label_colours
from edgeinfer.report.html import content_policy, create_environment, template_text
from edgeinfer.system.files import write_file
from edgeinfer.units import counted
from edgeinfer_train.datasets.grouping import MAX_HASHED_FACES, group_hashes, persons_by_name
from edgeinfer_train.datasets.layout import SPLITS
from edgeinfer_train.datasets.load import read_image, read_info
from edgeinfer_train.datasets.pages import picture_uri
from edgeinfer_train.datasets.prepare.report import PreparedFace, PrepareReport, persons_in_several_splits

SAMPLES = 12
"""Sample faces per label."""
SHOWN_DUPLICATES = 12
SHOWN_NAMES = 5
BINS = 20
THUMBNAIL_SIDE = 64
_TEMPLATES = "edgeinfer_train.datasets"


@dataclass(frozen=True, slots=True)
class Bin:
    """Bar of a histogram: height in percent of the largest, and its text."""

    height: float
    text: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Distribution of a property.

    Attributes:
        name: Name of the property, with its unit.
        bins: Bars.
        first: Lower end of the axis.
        last: Upper end of the axis.
        summary: Percentiles as text.
    """

    name: str
    bins: tuple[Bin, ...]
    first: str
    last: str
    summary: str


def save_summary_page(data: Path, report: PrepareReport, path: Path) -> None:
    """Write the page of a data set that was just prepared.

    Args:
        data: Prepared data folder.
        report: Report of the preparation.
        path: The .html file.

    Raises:
        CapabilityError: Jinja2 is not installed.
        DataError: A sample face cannot be read.
        OutputError: The page cannot be written.
    """
    info = read_info(data)
    splits = [split for split in SPLITS if split in report.counts]
    css = template_text(_TEMPLATES, "summary.css")
    shades = label_colours(report.labels).values()
    colours = "".join(f".c{i} {{ background: {shade}; }}\n" for i, shade in enumerate(shades))
    values: dict[str, Any] = {
        "policy": content_policy(css + colours + _bin_rules()), "css": css + colours + _bin_rules(),
        "name": info.name, "protocol": info.protocol(), "split_rule": report.split_rule, "splits": splits,
        "rows": _count_rows(report), "totals": [sum(report.counts[split].values()) for split in splits],
        "total": len(report.faces), "persons": _persons(report.faces), "duplicates": _duplicates(data, report),
        "size": report.size, "histograms": _histograms(report.faces), "samples": _samples(data, report),
        "skipped": [
            (reason, len(names), [shown_path(name) for name in names[:SHOWN_NAMES] if name])
            for reason, names in report.skipped_by_reason().items()
        ],
    }  # fmt: skip
    try:
        write_file(path, create_environment(_TEMPLATES, extra="train").get_template("summary.html").render(values))
    except OSError as error:
        raise OutputError(f"cannot write {shown_path(path)}: {error.strerror or error}") from error


def _bin_rules() -> str:
    """Return the classes `h0` to `h100` for heights and `w0` to `w100` for widths in percent."""
    return "".join(f".h{n} {{ height: {n}%; }}\n.w{n} {{ width: {n}%; }}\n" for n in range(101))


def _count_rows(report: PrepareReport) -> list[dict[str, Any]]:
    totals = {label: sum(counts[label] for counts in report.counts.values()) for label in report.labels}
    largest = max(*totals.values(), 1)
    return [
        {
            "number": number,
            "label": label,
            "counts": [report.counts[split][label] for split in SPLITS if split in report.counts],
            "total": totals[label],
            "share": 100 * totals[label] / max(len(report.faces), 1),
            "width": round(100 * totals[label] / largest),
        }
        for number, label in enumerate(report.labels)
    ]


def _persons(faces: Sequence[PreparedFace]) -> list[str]:
    """Return sentences about the persons."""
    persons = [face.person for face in faces]
    if not any(persons):
        named = persons_by_name([face.file for face in faces])
        if named is None:
            return ["The source does not name persons: faces of one person may be in several splits."]
        persons = [person or "" for person in named]
    counts = Counter(person for person in persons if person)
    several = persons_in_several_splits(zip(persons, [face.split for face in faces], strict=True))
    sizes = counts.values()
    return [
        f"{len(counts):,} persons with {min(sizes):,} to {max(sizes):,} faces each, median {median(sizes):,.0f}.",
        f"{several:,} persons are in more than one split." if several else "No person is in more than one split.",
    ]


def _duplicates(data: Path, report: PrepareReport) -> dict[str, Any]:
    """Return sentences about equal and near-identical faces in different splits, and pictures of some."""
    faces = report.faces
    lines = [
        f"{counted(count, f'{one} face')} with the same pixels as a {other} face."
        + (" Training excludes them." if one == "train" else "")
        for (one, other), count in report.duplicates.items()
    ]
    groups = group_hashes(np.array([face.perceptual_hash for face in faces], np.uint64).reshape(-1, 2))
    members: dict[int, list[PreparedFace]] = defaultdict(list)
    for group, face in zip(groups.tolist(), faces, strict=True):
        members[group].append(face)
    across = [found for found in members.values() if len({face.split for face in found}) > 1]
    affected = sum(len(found) for found in across)
    what = "equal perceptual hashes" if len(faces) > MAX_HASHED_FACES else "near-identical pictures by perceptual hash"
    lines.append(f"{counted(affected, 'face')} in {counted(len(across), 'group')} of {what} in more than one split.")
    shown = []
    for found in across[:SHOWN_DUPLICATES]:
        first, *others = sorted(found, key=lambda face: SPLITS.index(face.split))
        second = next(face for face in others if face.split != first.split)
        shown.append([_thumbnail(data, face) for face in (first, second)])
    return {"lines": lines, "pairs": shown}


def _histograms(faces: Sequence[PreparedFace]) -> list[Histogram]:
    sizes = np.array([min(face.width, face.height) for face in faces], float)
    sharpness = np.array([face.sharpness for face in faces], float)
    return [_histogram("Shorter side in pixels", sizes), _histogram("Sharpness", sharpness)]


def _histogram(name: str, values: np.ndarray[Any, np.dtype[np.float64]]) -> Histogram:
    low, high = float(values.min()), float(np.quantile(values, 0.99))
    counts, edges = np.histogram(np.minimum(values, high), BINS, (low, max(high, low + 1)))
    bars = tuple(
        Bin(100 * n / max(counts.max(), 1), f"{edges[i]:.0f} to {edges[i + 1]:.0f}: {n:,}")
        for i, n in enumerate(counts.tolist())
    )
    tenth, middle, ninth = (f"{np.quantile(values, q):,.0f}" for q in (0.1, 0.5, 0.9))
    return Histogram(
        name, bars, f"{low:,.0f}", f"{edges[-1]:,.0f}", f"10 % below {tenth}, median {middle}, 90 % below {ninth}"
    )


def _samples(data: Path, report: PrepareReport) -> list[tuple[str, list[dict[str, str]]]]:
    """Return sample pictures of each label."""
    samples = report.samples(SAMPLES)
    return [(label, [_thumbnail(data, face) for face in samples[label]]) for label in report.labels]


def _thumbnail(data: Path, face: PreparedFace) -> dict[str, str]:
    return {"uri": picture_uri(read_image(data / face.file), THUMBNAIL_SIDE), "file": face.file}
