"""Training history: one row of metrics per epoch."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.system.files import write_file
from edgeinfer_train.config import Monitor

History = list[dict[str, float]]
"""One row per epoch: epoch (from 1), accuracy, loss, val_accuracy, val_loss, learning_rate."""


def best_epoch(history: History, monitor: Monitor) -> int:
    """Return the index of the best row by `monitor`, the first one on a tie."""
    values = [row[monitor] for row in history]
    return values.index(min(values) if monitor == "val_loss" else max(values))


def write_history(history: History, path: Path) -> None:
    """Write the history as CSV, one row per epoch."""
    columns = list(history[0])
    lines = [
        ",".join(columns),
        *(",".join(f"{row[c]:g}" if c == "epoch" else f"{row[c]:.6g}" for c in columns) for row in history),
    ]
    write_file(path, "\n".join(lines) + "\n")
