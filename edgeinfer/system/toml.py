"""Reading of TOML files from any source."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

MAX_BYTES = 1 << 16
"""Maximum size of a TOML file in bytes; the parsing time grows with the square of the length of a dotted key."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file. A byte order mark, which Windows editors write, is skipped.

    Raises:
        OSError: The file cannot be read, or is neither a regular file nor a pipe.
        ValueError: The file is too large, not UTF-8, not TOML, or nested too deeply.
    """
    import tomllib  # noqa: PLC0415 - most commands read no TOML

    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"the file is larger than {MAX_BYTES >> 10} kB")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("the file is UTF-16; save it as UTF-8 (invalid UTF-8 at byte 1)")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"invalid UTF-8 at byte {error.start + 1}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
