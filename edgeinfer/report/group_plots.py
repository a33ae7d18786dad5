"""Comparison of groups on the page: a bar per group, and a plot of intervals per expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeinfer.report.details import percent, share_rows
from edgeinfer.report.groups import RESAMPLES, GroupSummary
from edgeinfer.report.overview import shown_label, shown_name

MAX_GROUPS = 200
MAX_PLOTTED_GROUPS = 20
"""Number of groups in the plots: those with the most recordings."""
FEW_RECORDINGS = 10
"""Number of recordings below which a bootstrap interval is too narrow."""
SCALES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def group_values(groups: Sequence[GroupSummary], labels: Sequence[str]) -> dict[str, Any]:
    """Return the values that the template of the comparison shows.

    Args:
        groups: Groups in order.
        labels: Labels of the page.
    """
    shown = groups[:MAX_GROUPS]
    rows = [
        {
            "name": shown_name(group.name),
            "recordings": f"{group.recordings:,}",
            "with_faces": f"{group.with_faces:,}",
            "shares": share_rows({label: each.mean for label, each in group.estimates.items()}, labels),
        }
        for group in shown
    ]
    largest = sorted((group for group in shown if group.with_faces), key=lambda group: -group.with_faces)
    plotted = [group for group in shown if group in largest[:MAX_PLOTTED_GROUPS]]
    plots = [_plot(plotted, channel, label) for channel, label in enumerate(labels)]
    return {"text": _group_text(groups, len(shown), len(plotted)), "rows": rows, "plots": plots}


def _plot(groups: Sequence[GroupSummary], channel: int, label: str) -> dict[str, Any]:
    """Return the plot of one expression, which ends at the first of `SCALES` above all intervals."""
    estimates = [group.estimates[label] for group in groups]
    highest = max((each.high or each.mean for each in estimates), default=1.0)
    scale = next((limit for limit in SCALES if highest <= limit), 1.0)
    return {"channel": channel, "label": shown_label(label), "scale": scale, "rows": _plot_rows(groups, label, scale)}


def _plot_rows(groups: Sequence[GroupSummary], label: str, scale: float) -> list[dict[str, Any]]:
    rows = []
    for group in groups:
        each = group.estimates[label]
        text = percent(each.mean)
        if each.low is not None and each.high is not None:
            text += f" [{100 * each.low:.0f}, {100 * each.high:.0f}]"
        position = {
            name: None if share is None else round(100 * share / scale, 2)
            for name, share in (("mean", each.mean), ("low", each.low), ("high", each.high))
        }
        rows.append({"name": shown_name(group.name), "text": text, **position})
    return rows


def _group_text(groups: Sequence[GroupSummary], shown: int, plotted: int) -> str:
    sentences = [
        "Mean share of each expression over the recordings of a group, all with the same weight, with 95 % bootstrap "
        f"intervals over recordings ({RESAMPLES:,} resamples)."
    ]
    counts = [group.with_faces for group in groups]
    if 1 in counts:
        sentences.append("A group with one recording has no interval.")
    if any(1 < count < FEW_RECORDINGS for count in counts):
        sentences.append(f"Intervals from fewer than {FEW_RECORDINGS} recordings are too narrow.")
    if shown < len(groups):
        sentences.append(f"The first {shown} of {len(groups):,} groups are shown.")
    if plotted < sum(count > 0 for count in counts[:shown]):
        sentences.append(f"The plots show the {plotted} groups with the most recordings.")
    return " ".join(sentences)
