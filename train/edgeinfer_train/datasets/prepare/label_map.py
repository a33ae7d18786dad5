"""Label maps: names of labels under which faces of different data sets are merged."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeinfer.errors import shown_path
from edgeinfer.units import counted
from edgeinfer_train.config_file import read_settings
from edgeinfer_train.errors import ConfigError, DataError
from edgeinfer_train.labels import check_labels, class_label, order_labels

DROPPED = ""
"""Target of labels whose faces are left out."""


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Targets of labels, by label.

    Attributes:
        labels: Targets for all sets.
        sets: Targets for one set, by its name; they take precedence.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    sets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def target(self, name: str, label: str) -> str | None:
        """Return the target of a label of the set `name`, or None if it has no entry."""
        return self.sets.get(name, {}).get(label, self.labels.get(label))


def read_label_map(path: Path) -> LabelMap:
    """Read a label map.

    The table `[labels]` applies to all sets, `[sets.NAME]` to the set in the folder NAME. A key is a label of a set,
    its value the label in the merged set, or "" to leave the faces out. Synonyms of the standard labels, such as
    `happiness`, stand for these.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or has other tables or values.
    """
    values = read_settings(path, "label map")
    unknown = [name for name in values if name not in ("labels", "sets")]
    if unknown:
        raise ConfigError(
            f"{shown_path(path)} has the unknown entry {shown_path(unknown[0])}: expected the tables [labels] and "
            "[sets.NAME]"
        )
    sets = values.get("sets", {})
    if not isinstance(sets, dict):
        raise ConfigError(f"sets in {shown_path(path)} is not a table: expected [sets.NAME]")
    tables = {name: _entries(path, f"sets.{name}", table) for name, table in sets.items()}
    return LabelMap(_entries(path, "labels", values.get("labels", {})), tables)


def _entries(path: Path, title: str, table: object) -> dict[str, str]:
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise ConfigError(
            f"[{shown_path(title)}] in {shown_path(path)} is not a table of texts: expected lines such as "
            'bored = "neutral"'
        )
    return {class_label(label): class_label(target) if target.strip() else DROPPED for label, target in table.items()}


def map_labels(
    sets: Mapping[str, tuple[str, ...]], label_map: LabelMap
) -> tuple[tuple[str, ...], dict[str, dict[str, str]]]:
    """Determine the labels of a merged set.

    The labels of the first set are those of the merged one, unless the map changes them. Every label of the other
    sets must be one of these, or have an entry.

    Args:
        sets: Labels of each set, by its name.
        label_map: Renamed and dropped labels.

    Returns:
        The labels of the merged set, and the target of each label by name of the set; `DROPPED` for a dropped one.

    Raises:
        ConfigError: The map names a set or a label that does not exist, or leaves fewer than two labels.
        DataError: A label has no target.
    """
    _check_entries(sets, label_map)
    given = {name: {label: label_map.target(name, label) for label in labels} for name, labels in sets.items()}
    first = next(iter(sets))
    known = {target for table in given.values() for target in table.values() if target}
    known |= {label for label, target in given[first].items() if target is None}
    complete: dict[str, dict[str, str]] = {}
    for name, table in given.items():
        missing = [label for label, target in table.items() if target is None and label not in known]
        if missing:
            raise DataError(
                f"{shown_path(name)} has {counted(len(missing), 'label')} that {shown_path(first)} lacks "
                f"({', '.join(map(shown_path, missing))}): map each in the table [sets.{_key(name)}] of a "
                f'`label_map` to one of {", ".join(order_labels(known))}, to itself, or to "" to leave its faces out '
                "(the first set determines the labels)"
            )
        complete[name] = {label: label if target is None else target for label, target in table.items()}
    kept = [target for target in complete[first].values() if target]
    labels = tuple(kept) if set(kept) == known and len(kept) == len(known) else order_labels(known)
    return check_labels(labels), complete


def _key(name: str) -> str:
    """Return a name as a key in TOML."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{shown_path(name)}"'


def _check_entries(sets: Mapping[str, tuple[str, ...]], label_map: LabelMap) -> None:
    names = ", ".join(map(shown_path, sets))
    for name, table in label_map.sets.items():
        if name not in sets:
            raise ConfigError(f"the label map has a table for the set {shown_path(name)}: expected one of {names}")
        _check_known(table, sets[name], f"the set {shown_path(name)}")
    _check_known(label_map.labels, {label for labels in sets.values() for label in labels}, f"the sets {names}")


def _check_known(table: Mapping[str, str], labels: Collection[str], where: str) -> None:
    unknown = [label for label in table if label not in labels]
    if unknown:
        raise ConfigError(
            f"the label map has an entry for {shown_path(unknown[0])}, which is not a label of {where}: expected one "
            f"of {', '.join(order_labels(labels))}"
        )
