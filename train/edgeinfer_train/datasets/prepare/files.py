"""Writing of files that may exist already; unchanged ones keep their time of modification."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgeinfer.errors import path_text
from edgeinfer.system.files import write_file


def write_new(target: Path, content: bytes) -> bool:
    """Write a face unless the file already has this content; return True if it was written."""
    if _has_content(target, content):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return True


def _has_content(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _replace(path: Path, content: bytes) -> None:
    """Write a table atomically, so that a full disk or an interruption leaves the previous one."""
    if not _has_content(path, content):
        write_file(path, content)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV table unless the file already has this content."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    _replace(path, path_text(text.getvalue()).encode())


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object unless the file already has this content."""
    _replace(path, (json.dumps(value, indent=2) + "\n").encode())
