"""Comparison of groups of recordings, with bootstrap intervals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgeinfer.errors import UsageError, one_line, path_text
from edgeinfer.sources.order import natural_key
from edgeinfer.system import interrupts

OTHER_GROUP = "other"
"""Group of the recordings whose name does not match."""
RESAMPLES = 2000
SEED = 0
PERCENTILES = (2.5, 97.5)
MAX_NAME_CHARACTERS = 1000
"""Length of the end of a name that is searched; it limits the time of a slow expression."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean share of one expression in a group.

    Attributes:
        mean: Mean over the recordings, 0..1.
        low: Lower end of the 95 % interval, or None for a single recording.
        high: Upper end of the interval, or None.
    """

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """Comparison of one group.

    Attributes:
        name: Name of the group.
        recordings: Number of recordings.
        with_faces: Number of recordings with a face, over which the means are taken.
        estimates: Map from label to its mean share; empty without faces.
    """

    name: str
    recordings: int
    with_faces: int
    estimates: dict[str, Estimate]


def compile_group(pattern: str) -> re.Pattern[str]:
    """Compile the regular expression that defines groups.

    Raises:
        UsageError: The expression is invalid.
    """
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(
            f"invalid `group` {one_line(path_text(pattern))[:100]!r}: expected a regular expression, for example "
            rf"'^(person\d+)/' ({error})"
        ) from error


def group_of(pattern: re.Pattern[str], *names: str) -> str:
    """Return the group of a recording: the first capture group of a match, or the whole match.

    Args:
        pattern: Regular expression.
        names: Texts to search, for example the name of the source and the path of the result; the first match counts.

    Returns:
        Name of the group, or "other" without a match.

    Examples:
        >>> group_of(re.compile("^(p[0-9]+)/"), "p07/morning.mp4"), group_of(re.compile("morning"), "p07/morning.mp4")
        ('p07', 'morning')
    """
    for name in names:
        found = pattern.search(name[-MAX_NAME_CHARACTERS:])
        if found is not None:
            return (found[1] if pattern.groups else found[0]) or OTHER_GROUP
    return OTHER_GROUP


def compare_groups(recordings: Sequence[tuple[str, dict[str, float]]], labels: Sequence[str]) -> list[GroupSummary]:
    """Return the mean share of each expression per group, with percentile bootstrap intervals over the recordings.

    Every recording has the same weight, however long it is. A recording without a face belongs to its group, but not to
    the means (B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, section 13).

    Args:
        recordings: Group and shares of each recording.
        labels: Labels to compare.

    Returns:
        Groups in the order of their name, "other" last.

    Examples:
        >>> groups = compare_groups([("a", {"happy": 1.0}), ("a", {"happy": 0.5, "sad": 0.5})], ["happy", "sad"])
        >>> groups[0].estimates["happy"]
        Estimate(mean=0.75, low=0.5, high=1.0)
    """
    rows: dict[str, list[dict[str, float]]] = {}
    for group, shares in recordings:
        rows.setdefault(group, []).append(shares)
    groups = []
    for name in sorted(rows, key=group_order):
        interrupts.check()
        groups.append(_summary(name, rows[name], labels))
    return groups


def group_order(name: str) -> tuple[bool, str]:
    """Return the sort key of a group: natural order, "other" last."""
    return name == OTHER_GROUP, natural_key(name)


def _summary(name: str, rows: Sequence[dict[str, float]], labels: Sequence[str]) -> GroupSummary:
    import numpy as np  # noqa: PLC0415 - only for groups

    filled = [row for row in rows if row]
    if not filled:
        return GroupSummary(name, len(rows), 0, {})
    values = np.array([[row.get(label, 0.0) for label in labels] for row in filled])
    means = values.mean(axis=0)
    if len(filled) == 1:
        estimates = {label: Estimate(float(mean), None, None) for label, mean in zip(labels, means, strict=True)}
        return GroupSummary(name, len(rows), 1, estimates)
    random = np.random.default_rng(SEED)
    resampled = np.array(
        [values[random.integers(len(values), size=len(values))].mean(axis=0) for _ in range(RESAMPLES)]
    )
    low, high = np.percentile(resampled, PERCENTILES, axis=0)
    return GroupSummary(
        name,
        len(rows),
        len(filled),
        {label: Estimate(float(means[i]), float(low[i]), float(high[i])) for i, label in enumerate(labels)},
    )
