"""Plain-text tables for the terminal, the same in a pipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import category, east_asian_width

from edgeinfer.errors import shown_path
from edgeinfer_train.datasets.layout import SPLITS
from edgeinfer_train.datasets.prepare.report import PrepareReport
from edgeinfer_train.evaluation.compare import Leaderboard

SHOWN_NAMES = 5


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table with the first column left-aligned and the others right-aligned.

    Args:
        header: Column names.
        rows: Rows of cells, each as long as the header.
    """
    widths = [max(_width(cells[i]) for cells in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        gaps = [" " * (w - _width(c)) for c, w in zip(cells, widths, strict=True)]
        return "  ".join(g + c if i else c + g for i, (c, g) in enumerate(zip(cells, gaps, strict=True))).rstrip()

    return "\n".join([line(header), "  ".join("-" * w for w in widths), *map(line, rows)])


def _width(text: str) -> int:
    """Return the number of columns of a text in a terminal: two for a wide character, none for a combining mark."""
    return sum(1 + (east_asian_width(c) in "WF") for c in text if category(c) not in ("Mn", "Me"))


def counts_table(report: PrepareReport) -> str:
    """Format the number of faces by label and split, with totals."""
    splits = [split for split in SPLITS if split in report.counts]
    rows = []
    for label in report.labels:
        found = [report.counts[split][label] for split in splits]
        rows.append([label, *(f"{n:,}" for n in found), f"{sum(found):,}"])
    totals = [sum(report.counts[split].values()) for split in splits]
    rows.append(["total", *(f"{n:,}" for n in totals), f"{sum(totals):,}"])
    return table(["label", *splits, "total"], rows)


def skipped_table(report: PrepareReport) -> str:
    """Format the number of skipped rows by reason, with the first few names."""
    reasons = report.skipped_by_reason()
    if not reasons:
        return "no rows skipped"
    width = max(len(reason) for reason in ("rows skipped", *reasons))
    lines = [
        f"{'rows skipped'.ljust(width)}  {'number':>6}  first names",
        f"{'-' * width}  {'-' * 6}  {'-' * 11}",
    ]
    for reason, names in reasons.items():
        shown = [shown_path(name) for name in names[:SHOWN_NAMES] if name]
        more = " …" if len(names) > SHOWN_NAMES and shown else ""
        lines.append(f"{reason.ljust(width)}  {len(names):6,}  {' '.join(shown)}{more}".rstrip())
    return "\n".join(lines)


def evaluation_table(values: Mapping[str, Any]) -> str:
    """Format the metrics and warnings of an `Evaluation.to_mapping()`."""
    low, high = values["accuracy_interval"]
    prior = values.get("prior", "natural")  # missing in runs from earlier versions
    head = {
        "model": values["model"],
        "data": f"{values['dataset']}, {values['split']} split, {values['count']:,} faces",
        "labels by": f"{values['label_mode']}, {len(values['labels'])} labels",
        "expected": prior if isinstance(prior, str) else "given shares",
        "loss": f"{values['loss']:.4f} nats",
        "accuracy": f"{values['accuracy']:.4f}  (95 % interval {low:.4f} to {high:.4f})",
        "macro-F1": f"{values['macro_f1']:.4f}",
        "mean recall": f"{values['mean_recall']:.4f}",
        "calibration": f"{values['calibration_error']:.4f} expected error",
    }
    rows = [
        [
            label,
            f"{s['count']:,}",
            *((f"{s[k]:.3f}" if s["count"] else "-") for k in ("recall", "precision", "f1")),
            "{:.2f} to {:.2f}".format(*s["recall_interval"]) if s["count"] and "recall_interval" in s else "-",
        ]
        for label, s in values["per_class"].items()
    ]
    lines = [f"{name:13}{text}" for name, text in head.items()]
    lines += ["", table(["label", "faces", "recall", "precision", "F1", "95 % of recall"], rows)]
    return "\n".join([*lines, *(f"\nwarning: {warning}" for warning in values["warnings"])])


def baselines_table(values: Mapping[str, Any]) -> str:
    """Format the baselines in the metrics.json of a run, with the difference of the run from each."""
    rows = [
        [
            entry["description"],
            f"{entry['count']:,}",
            f"{entry['accuracy']:.4f}",
            f"{entry['run_accuracy']:.4f}",
            f"{entry['change']['accuracy']:+.4f}",
            "{:+.4f} to {:+.4f}".format(*entry["change"]["accuracy_interval"]),
        ]
        for entry in values.get("baselines", ())  # missing in runs from earlier versions
    ]
    lines = [table(["baseline", "faces", "its accuracy", "this run", "difference", "95 % interval"], rows)]
    if values.get("folds"):
        lines.append(f"before training and constant: validation faces and {values['folds']}-fold cross-validation")
    return "\n".join(lines)


def leaderboard_table(leaderboard: Leaderboard) -> str:
    """Format the runs, the most accurate first, between the measurement conditions and an explanation of the marks."""
    front = leaderboard.front
    rows = [
        [
            entry.name,
            f"{entry.accuracy:.4f}",
            "{:.4f} to {:.4f}".format(*entry.accuracy_interval),
            f"{entry.macro_f1:.4f}",
            f"{entry.parameters:,}",
            f"{entry.multiply_adds / 1e6:,.2f} M",
            f"{entry.size_bytes / 1e6:,.2f} MB",
            "not exported" if entry.latency_ms is None else f"{entry.latency_ms:,.3f} ms",
            "*" if entry in front else "",
        ]
        for entry in leaderboard.entries
    ]
    header = ["run", "accuracy", "95 % interval", "macro-F1", "parameters", "multiply-adds", ".keras", "ONNX", "front"]
    cost = "multiply-adds" if leaderboard.cost == "multiply_adds" else "latency"
    lines = [
        f"{leaderboard.dataset}, {leaderboard.split} split, {leaderboard.count:,} faces, "
        f"labels by {leaderboard.label_mode}",
        "",
        table(header, rows),
        "",
        f"*: Pareto front, no other run is at least as good in accuracy and {cost} and better in one of them",
    ]
    if any(entry.latencies_ms for entry in leaderboard.entries):
        lines.append(
            f"ONNX: median latency of one face on one thread of {leaderboard.machine}; the fastest file of each run"
        )
    return "\n".join(lines)
