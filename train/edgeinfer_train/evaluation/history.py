"""Training history: one row per epoch."""

from __future__ import annotations

from pathlib import Path

from edgeinfer_train.config import Monitor

History = list[dict[str, float]]
"""One row an epoch: epoch (from 1), accuracy, loss, val_accuracy, val_loss, learning_rate."""


def best_epoch(history: History, monitor: Monitor) -> int:
    """Position of the first best epoch."""
    values = [row[monitor] for row in history]
    return values.index(min(values) if monitor == "val_loss" else max(values))


def write_whole(path: Path, text: str) -> None:
    """Replace a text file in one step, so that a killed process never leaves half of it."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_history(history: History, path: Path) -> None:
    """Write one CSV row an epoch."""
    columns = list(history[0])
    lines = [
        ",".join(columns),
        *(",".join(f"{row[c]:g}" if c == "epoch" else f"{row[c]:.6g}" for c in columns) for row in history),
    ]
    write_whole(path, "\n".join(lines) + "\n")
