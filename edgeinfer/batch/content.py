"""Hashes of the files of a source."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from edgeinfer.errors import EdgeInferError, shown_path
from edgeinfer.system import interrupts

_BLOCK_BYTES = 1 << 20


def file_hash(path: str, error: type[EdgeInferError]) -> str:
    """Return the SHA-256 of a file's content, checking for interruptions.

    Args:
        path: Path of the file.
        error: Exception to raise if the file cannot be read.

    Raises:
        EdgeInferError: `error`, because the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - also names that are not UTF-8
            while block := file.read(_BLOCK_BYTES):
                interrupts.check()
                digest.update(block)
    except OSError as reason:
        raise error(f"{shown_path(path)} cannot be read: {reason.strerror}") from reason
    return digest.hexdigest()


def content_hash(files: Iterable[str]) -> str:
    """Return a hash of the names and contents of files; a file that cannot be read counts as empty."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(os.fsencode(os.path.basename(path)) + b"\0")  # noqa: PTH119 - see above
        try:
            digest.update(file_hash(path, EdgeInferError).encode())
        except EdgeInferError:
            digest.update(b"-")
    return digest.hexdigest()


def identity_hash(files: Iterable[str]) -> str:
    """Return a hash of the resolved paths, sizes and modification times of files; a missing file counts as empty."""
    digest = hashlib.sha256()
    for path in files:
        try:
            status = os.stat(path)  # noqa: PTH116 - see above
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        except (OSError, ValueError):
            stamp = ""
        digest.update(os.fsencode(os.path.realpath(path)) + b"\0" + stamp.encode() + b"\0")
    return digest.hexdigest()
