"""Files written by an export."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.errors import OutputError
from edgeinfer.system import files


def write_file(path: Path, content: bytes) -> None:
    """Write `content` to a file.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        files.write_file(path, content)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
