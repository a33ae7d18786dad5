"""Selection of the variant to publish."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import MAX_DROP, MAX_F1_DROP, PRESETS, VariantName
from edgeinfer_export.selection.criteria import batch_dependence, excess_loss
from edgeinfer_export.selection.evaluation import Evaluation

PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class Choice:
    """The selected variant.

    Attributes:
        name: Name of the variant.
        rule: Rule that selected it, in one sentence.
        outcomes: For each candidate, "published" or the reason for its rejection.
    """

    name: VariantName
    rule: str
    outcomes: dict[VariantName, str]


def choose(evaluation: Evaluation) -> Choice:
    """Select one of the variants of a model according to the export options.

    Raises:
        ExportError: int8 was requested, but its outputs depend on the batch or it loses more than an explicit
            `max_drop`.
    """
    options = evaluation.options
    if options.quantize == "none":
        return Choice("fp32", "float32 was requested", {"fp32": PUBLISHED})
    if options.quantize == "int8":
        return _choose_int8(evaluation)
    names = [candidate.name for candidate in evaluation.candidates]
    max_drop = MAX_DROP if options.max_drop is None else options.max_drop
    rejections = {c.name: batch_dependence(c) or excess_loss(c, max_drop) for c in evaluation.candidates}
    accepted = [name for name in names if rejections[name] is None]
    criterion = f"keeps accuracy within {max_drop:g} and macro-F1 within {MAX_F1_DROP:g} of float32"
    if options.target:
        preset = PRESETS[options.target]
        chosen = next(name for name in preset.prefer if name in accepted)
        rule = (
            f"preset {options.target}: {preset.rule}; not measured on this board. Selected: the first that {criterion}"
        )
        other = f"comes after {chosen} in the preset"
    else:
        medians_ms = dict(zip(names, np.median(evaluation.latencies_ms, axis=1), strict=True))
        chosen = min(accepted, key=lambda name: medians_ms[name])
        rule = f"the fastest on this machine that {criterion}"
        other = f"slower than {chosen}"
    return Choice(chosen, rule, {n: rejections[n] or (PUBLISHED if n == chosen else other) for n in names})


def _choose_int8(evaluation: Evaluation) -> Choice:
    """Select int8, or the mixed variant if one was built because it is more accurate."""
    chosen = evaluation.candidates[-1]
    max_drop, error = evaluation.options.max_drop, batch_dependence(chosen)
    if error:
        raise ExportError(f"rejected: {chosen.name}: {error}; nothing was written")
    if max_drop is not None and chosen.change is not None and -chosen.change.accuracy > max_drop:
        low, high = chosen.change.accuracy_interval
        raise ExportError(
            f"rejected: {chosen.name} changes accuracy by {chosen.change.accuracy:+.4f} [{low:+.4f}, {high:+.4f}], "
            f"more than `max_drop` {max_drop:g} allows; nothing was written"
        )
    outcomes: dict[VariantName, str] = {candidate.name: "int8 was requested" for candidate in evaluation.candidates}
    if chosen.name == "int8-mixed":
        outcomes["int8"] = "less accurate than int8-mixed"
    outcomes[chosen.name] = PUBLISHED
    return Choice(chosen.name, "int8 was requested", outcomes)
