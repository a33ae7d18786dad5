"""Which form is published, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import MAX_DROP, MAX_F1_DROP, PRESETS, VariantName

if TYPE_CHECKING:
    from edgeinfer_export.selection.study import Study
from edgeinfer_export.selection.criteria import fault, loss

PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class Choice:
    """The form that is published.

    Attributes:
        name: of it.
        rule: how it was chosen, a sentence.
        outcomes: "published", or why not, for every candidate.
    """

    name: VariantName
    rule: str
    outcomes: dict[VariantName, str]


def choose(study: Study) -> Choice:
    """Choose among the forms of one source, as its options say.

    Raises:
        ExportError: int8 was asked for and is at fault, or loses more than an explicit `max_drop`.
    """
    options = study.options
    names = [candidate.name for candidate in study.candidates]
    if options.quantize == "none":
        return Choice("fp32", "float32 was asked for", {"fp32": PUBLISHED})
    if options.quantize == "int8":
        return _asked_for(study, names)
    limit = MAX_DROP if options.max_drop is None else options.max_drop
    outcomes: dict[VariantName, str] = {c.name: fault(c) or loss(c, limit) or "" for c in study.candidates}
    fitting = [name for name in names if not outcomes[name]]
    kept = f"keeps accuracy within {limit:g} and macro-F1 within {MAX_F1_DROP:g} of float32"
    if options.target:
        preset = PRESETS[options.target]
        chosen = next(name for name in preset.prefer if name in fitting)
        rule = f"preset {options.target}: {preset.rule}; not measured on this board. Taken: the first that {kept}"
        other = f"comes after {chosen} in the preset"
    else:
        medians = dict(zip(names, np.median(study.times_ms, axis=1), strict=True))
        chosen = min(fitting, key=lambda name: medians[name])
        rule = f"the fastest on this machine that {kept}"
        other = f"slower than {chosen}"
    return Choice(chosen, rule, {n: outcomes[n] or (PUBLISHED if n == chosen else other) for n in names})


def _asked_for(study: Study, names: list[VariantName]) -> Choice:
    """int8, or its mixture with float32 where that wins accuracy back."""
    chosen = study.candidates[-1]
    limit, wrong = study.options.max_drop, fault(chosen)
    if wrong:
        raise ExportError(f"refused: {chosen.name}: {wrong}; nothing was written")
    if limit is not None and chosen.change is not None and -chosen.change.accuracy > limit:
        low, high = chosen.change.accuracy_interval
        raise ExportError(
            f"refused: {chosen.name} changes accuracy by {chosen.change.accuracy:+.4f} [{low:+.4f}, {high:+.4f}], "
            f"more than --max-drop {limit:g} allows; nothing was written"
        )
    outcomes: dict[VariantName, str] = dict.fromkeys(names, "int8 was asked for")
    if chosen.name == "int8-mixed":
        outcomes["int8"] = "less accurate than the mixed form"
    outcomes[chosen.name] = PUBLISHED
    return Choice(chosen.name, "int8 was asked for", outcomes)
