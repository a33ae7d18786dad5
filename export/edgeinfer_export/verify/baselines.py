"""Comparison of a run with its baselines, which its metrics.json contains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeinfer_export.errors import ExportError
from edgeinfer_train.evaluation.evaluate import RUN_METRICS
from edgeinfer_train.networks.model import MODEL_FILE


def check_baselines(source: str, *, force: bool) -> None:
    """Reject a run that is not more accurate than its most frequent label.

    Args:
        source: Path of a run folder or its model; other models have no baselines and are accepted.
        force: True to accept every run.

    Raises:
        ExportError: The 95 % interval of the difference from the constant baseline is not above 0.
    """
    constant = _read_baselines(source).get("constant")
    if constant and not force and not constant["change"]["accuracy_interval"][0] > 0:
        raise ExportError(
            f"rejected: {source} is not better than the answer '{constant['description']}': {_difference(constant)}; "
            "nothing was written. Check the labels, add faces, or set `force` to publish it nevertheless"
        )


def baseline_warnings(source: str) -> list[str]:
    """Return warnings about a run that may be no better than the most frequent label or than its start.

    Args:
        source: Path of a run folder or its model.
    """
    found, warnings = _read_baselines(source), []
    constant, start = found.get("constant"), found.get("start")
    if constant and not constant["change"]["accuracy_interval"][0] > 0:
        warnings.append(f"not better than the answer '{constant['description']}': {_difference(constant)}")
    if start and start["change"]["accuracy_interval"][0] <= 0 <= start["change"]["accuracy_interval"][1]:
        warnings.append(f"the training may not have improved the model from which it started: {_difference(start)}")
    return warnings


def _difference(baseline: dict[str, Any]) -> str:
    low, high = baseline["change"]["accuracy_interval"]
    return (
        f"accuracy {baseline['run_accuracy']:.4f} against {baseline['accuracy']:.4f}, difference "
        f"{baseline['change']['accuracy']:+.4f} [{low:+.4f}, {high:+.4f}] on {baseline['count']:,} faces"
    )


def _read_baselines(source: str) -> dict[str, Any]:
    """Return the baselines of a run by name; empty if there are none."""
    path = Path(source)
    if not path.is_dir() and path.name != MODEL_FILE:
        return {}
    metrics = (path if path.is_dir() else path.parent) / RUN_METRICS
    try:
        values = json.loads(metrics.read_text(encoding="utf-8"))
        return {str(entry["name"]): entry for entry in values.get("baselines", [])}
    except (OSError, ValueError, AttributeError, KeyError, TypeError):  # absent, damaged or from another program
        return {}
