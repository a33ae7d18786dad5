"""Shared functions of the benchmarks: machine name, results file, faces embedded in frames."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeinfer.results import Image
from edgeinfer.system.hardware import cpu_name, versions

RESULTS = Path(__file__).parent / "results"
FACE_SIDE, FRAME_SIDE = 120, 240


def machine_name() -> str:
    """Return the architecture, processor and number of cores as a file name."""
    words = f"{platform.machine()} {cpu_name()} {os.cpu_count()} cores"
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", words.lower())).strip("-")


def read_results() -> dict[str, Any]:
    """Return the saved figures of all benchmarks on this machine, by name."""
    path = RESULTS / f"{machine_name()}.json"
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return results


def save_results(name: str, figures: dict[str, Any]) -> None:
    """Save the figures of a benchmark in the results file for this machine, next to those from other benchmarks."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{machine_name()}.json"
    results = read_results()
    results[name] = {"measured": datetime.now(UTC).date().isoformat(), "versions": versions(), **figures}
    path.write_text(json.dumps(_rounded(results), indent=1) + "\n", encoding="utf-8")
    print(f"saved in {path}")


def _rounded(value: Any) -> Any:
    """Return JSON values with six significant digits."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, tuple("---" for _ in head), *rows))


def embed_face(face: Image) -> Image:
    """Return a (240, 240) grey frame with a (48, 48) face enlarged in its centre; the border repeats its edge."""
    enlarged = cv2.resize(face, (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_CUBIC)
    pad = (FRAME_SIDE - FACE_SIDE) // 2
    frame = cv2.copyMakeBorder(enlarged, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    frame = cv2.GaussianBlur(frame, (0, 0), 6)
    frame[pad : pad + FACE_SIDE, pad : pad + FACE_SIDE] = enlarged
    return np.asarray(frame, dtype=np.uint8)
