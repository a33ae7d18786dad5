"""Tables for people, as plain text that a pipe carries unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeinfer_train.data import SPLITS
from edgeinfer_train.prepare import PrepareReport

SHOWN_NAMES = 5


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under a header: the first one flush left, figures flush right.

    Args:
        header: names of the columns.
        rows: cells, as many in each row as in the header.
    """
    widths = [max(len(cells[i]) for cells in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(
            c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()

    return "\n".join([line(header), "  ".join("-" * w for w in widths), *map(line, rows)])


def counts_table(report: PrepareReport) -> str:
    """Faces by label and split, with totals."""
    splits = [split for split in SPLITS if split in report.counts]
    rows = []
    for label in report.labels:
        found = [report.counts[split][label] for split in splits]
        rows.append([label, *(f"{n:,}" for n in found), f"{sum(found):,}"])
    totals = [sum(report.counts[split].values()) for split in splits]
    rows.append(["total", *(f"{n:,}" for n in totals), f"{sum(totals):,}"])
    return table(["label", *splits, "total"], rows)


def skipped_table(report: PrepareReport) -> str:
    """Rows not used, by reason, with the first few names."""
    reasons = report.skipped_by_reason()
    if not reasons:
        return "every row was used"
    width = max(len(reason) for reason in ("rows not used", *reasons))
    lines = [
        f"{'rows not used'.ljust(width)}  {'number':>6}  first names",
        f"{'-' * width}  {'-' * 6}  {'-' * 11}",
    ]
    for reason, names in reasons.items():
        shown = [name for name in names[:SHOWN_NAMES] if name]
        more = " …" if len(names) > SHOWN_NAMES and shown else ""
        lines.append(f"{reason.ljust(width)}  {len(names):6,}  {' '.join(shown)}{more}".rstrip())
    return "\n".join(lines)


def evaluation_table(values: Mapping[str, Any]) -> str:
    """The figures of an `Evaluation.to_mapping()`, warnings included."""
    low, high = values["accuracy_interval"]
    head = {
        "model": values["model"],
        "data": f"{values['dataset']}, {values['split']} split, {values['count']:,} faces",
        "labels by": f"{values['label_mode']}, {len(values['labels'])} labels",
        "loss": f"{values['loss']:.4f} nats",
        "accuracy": f"{values['accuracy']:.4f}  (95 % interval {low:.4f} to {high:.4f})",
        "macro-F1": f"{values['macro_f1']:.4f}",
        "mean recall": f"{values['mean_recall']:.4f}",
    }
    rows = [
        [
            label,
            f"{s['count']:,}",
            *((f"{s[k]:.3f}" if s["count"] else "-") for k in ("recall", "precision", "f1")),
        ]
        for label, s in values["per_class"].items()
    ]
    lines = [f"{name:13}{text}" for name, text in head.items()]
    lines += ["", table(["label", "faces", "recall", "precision", "F1"], rows)]
    return "\n".join([*lines, *(f"\nwarning: {warning}" for warning in values["warnings"])])
