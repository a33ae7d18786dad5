"""Writing of files that may exist already; unchanged ones keep their time of modification."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgeinfer.errors import path_text


def write_new(target: Path, content: bytes) -> bool:
    """Write a file unless it already has this content; return True if it was written."""
    if target.is_file() and target.read_bytes() == content:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return True


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV table unless the file already has this content."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_new(path, path_text(text.getvalue()).encode())


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object unless the file already has this content."""
    write_new(path, (json.dumps(value, indent=2) + "\n").encode())
