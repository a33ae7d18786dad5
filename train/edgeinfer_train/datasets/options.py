"""Kinds of sources, and the options of `prepare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from edgeinfer.options.fields import option, option_fields
from edgeinfer_train.datasets.layout import SIZE_RANGE
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.labels import LabelMode

NeutralRule = Literal["plurality", "others"]
SourceKind = Literal["ferplus", "fer2013", "ckplus", "jaffe", "rafdb", "affectnet", "folder", "merge"]
SUPPORTED_KINDS: dict[str, tuple[SourceKind, ...]] = {
    "classes": ("ferplus", "fer2013", "ckplus", "jaffe", "rafdb", "affectnet", "folder"),
    "neutral_rule": ("ferplus",),
    "folds": ("ckplus", "jaffe"),
    "fold": ("ckplus", "jaffe"),
    "seed": ("fer2013", "ckplus", "jaffe", "rafdb", "affectnet", "folder", "merge"),
    "labels": ("folder",),
    "group_regex": ("folder",),
    "corrections": ("folder",),
    "label_map": ("merge",),
}
"""Kinds to which an option applies, for those that do not apply to all."""


@dataclass(frozen=True)
class PrepareOptions:
    """Options of `prepare`; the defaults of those that apply to some kinds only mean that they were not given.

    Attributes:
        classes: Number of labels; 8 includes contempt. None uses 7, and for class folders the labels that they have.
        label_mode: Default label mode of `load_split`. None selects "votes" if the source has votes, else "argmax".
        neutral_rule: Label rule of FERPlus.
        folds: Number of folds of CK+ and JAFFE; None uses 5.
        fold: Validation fold of CK+ and JAFFE, counted from 1; None uses 1.
        seed: Seed of splits that are created here; None uses 0. FERPlus has published splits.
        size: Side in pixels to which faces are scaled, or None to keep their size.
        labels: Labels to use, in order; an item may contain several, separated by commas. Empty uses all.
        group_regex: Regular expression for the person in a file name, whose faces stay in one split.
        corrections: Table that replaces labels, see `prepare_folder`.
        label_map: TOML file that renames or drops labels, see `read_label_map`.
    """

    title: ClassVar[str] = "Options"

    classes: int | None = option(
        None, "Number of labels; 8 includes contempt. Default: 7, for folder those of the source.",
        metavar="7|8", minimum=7, maximum=8,
    )  # fmt: skip
    label_mode: LabelMode | None = option(
        None, "Default label mode of fit and evaluate. Default: votes if the source has votes, else argmax."
    )
    neutral_rule: NeutralRule = option(
        "plurality", "others: if neutral wins, use the strongest other emotion that has a vote (ferplus)."
    )
    folds: int | None = option(None, "Number of folds by subject (ckplus, jaffe). Default: 5.")
    fold: int | None = option(None, "Fold used for validation, from 1 (ckplus, jaffe). Default: 1.")
    seed: int | None = option(None, "Random seed of the validation split (all but ferplus). Default: 0.")
    size: int | None = option(
        None,
        "Side of the square to which faces are scaled. Default: as in the source; one size for all with merge.",
        metavar="PIXELS", minimum=SIZE_RANGE[0], maximum=SIZE_RANGE[1],
    )  # fmt: skip
    labels: tuple[str, ...] = option(
        (), "Labels to use, in this order (folder). Default: all.", metavar="NAME,NAME,...", show_default=False
    )
    group_regex: str | None = option(
        None,
        "Person in a file name, as first group or match; persons stay in one split (folder). Default: common names.",
        metavar="REGEX", show_default=False,
    )  # fmt: skip
    corrections: Path | None = option(
        None, "Corrected labels: CSV file from the page of label (folder).", show_default=False
    )
    label_map: Path | None = option(
        None, "Labels to rename or drop: TOML file (merge).", metavar="FILE.toml", show_default=False
    )

    def check_applicable(self, kind: SourceKind) -> None:
        """Validate that each option that was given applies to a kind.

        Raises:
            ConfigError: An option does not apply.
        """
        for field in option_fields(PrepareOptions):
            kinds = SUPPORTED_KINDS.get(field.name)
            if kinds and kind not in kinds and getattr(self, field.name) != field.default:
                raise ConfigError(f"`{field.name}` applies to {', '.join(kinds)} only, not to {kind}")
