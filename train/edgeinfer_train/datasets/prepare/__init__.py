"""From a data set as it is published to the layout that `edgeinfer_train.datasets.load` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edgeinfer_train.datasets.prepare.ckplus import DEFAULT_FOLDS, prepare_ckplus
from edgeinfer_train.datasets.prepare.fer2013 import prepare_fer2013
from edgeinfer_train.datasets.prepare.ferplus import NeutralRule, prepare_ferplus
from edgeinfer_train.datasets.prepare.folders import prepare_folder
from edgeinfer_train.datasets.prepare.writing import PrepareReport, Progress, Reason, Skipped
from edgeinfer_train.errors import ConfigError, DataError
from edgeinfer_train.labels import LabelMode

__all__ = [
    "NeutralRule",
    "PrepareReport",
    "Progress",
    "Reason",
    "Skipped",
    "SourceKind",
    "prepare",
    "prepare_ckplus",
    "prepare_fer2013",
    "prepare_ferplus",
    "prepare_folder",
]

SourceKind = Literal["ferplus", "fer2013", "ckplus", "folder"]
MEANT_FOR: dict[str, tuple[SourceKind, ...]] = {
    "--neutral-rule": ("ferplus",),
    "--folds": ("ckplus",),
    "--fold": ("ckplus",),
    "--seed": ("fer2013", "ckplus", "folder"),
}


def prepare(
    kind: SourceKind,
    source: Path,
    out: Path,
    *,
    classes: Literal[7, 8] = 7,
    label_mode: LabelMode | None = None,
    neutral_rule: NeutralRule = "plurality",
    folds: int | None = None,
    fold: int | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Prepare a data set of any layout; each has a function of its own that says more.

    Args:
        kind: the layout.
        source: where it is.
        out: the data folder to fill.
        classes: 8 keeps contempt.
        label_mode: what `load_split` does by default; "votes" for FERPlus, "argmax" for the others, which have no
            votes.
        neutral_rule: of FERPlus.
        folds: of CK+; 5 unless told otherwise.
        fold: of CK+; 1 unless told otherwise.
        seed: of the splits that are made here, 0 unless told otherwise; FERPlus brings its own.
        progress: called with (done, in all).

    Raises:
        ConfigError: an option has no meaning for this layout.
        DataError: the source or `out` cannot be used, or the label mode needs votes.
        RunError: `out` cannot be written.
    """
    given = {
        "--neutral-rule": neutral_rule != "plurality",
        "--folds": folds is not None,
        "--fold": fold is not None,
        "--seed": seed is not None,
    }
    for option, kinds in MEANT_FOR.items():
        if given[option] and kind not in kinds:
            raise ConfigError(f"{option} goes with {', '.join(kinds)}, not with {kind}")
    if kind == "ferplus":
        return prepare_ferplus(
            source, out, classes=classes, label_mode=label_mode or "votes", neutral_rule=neutral_rule, progress=progress
        )
    if label_mode not in (None, "argmax"):
        raise DataError(f"{kind} has one label a face and no votes; only --label-mode argmax goes with it")
    draw = 0 if seed is None else seed
    if kind == "ckplus":
        return prepare_ckplus(
            source,
            out,
            classes=classes,
            folds=DEFAULT_FOLDS if folds is None else folds,
            fold=1 if fold is None else fold,
            seed=draw,
            progress=progress,
        )
    one_label = prepare_fer2013 if kind == "fer2013" else prepare_folder
    return one_label(source, out, classes=classes, seed=draw, progress=progress)
