"""Paths that the operating system and native libraries accept."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgeinfer.errors import EdgeInferError, shown_path

MAX_NATIVE_BYTES = 1000
"""Longest path that is passed to a native library; some copy it to a buffer of 1024 bytes."""
_PLAIN = re.compile(r"/[^\x00-\x1f\x7f%?\\\ud800-\udfff]*")
_PLAIN_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}")


def local_path(name: str | Path, error: type[EdgeInferError], *, expand_home: bool = True) -> Path:
    """Return a path with `~` expanded; the file need not exist.

    Args:
        name: Path as the user wrote it.
        error: Exception to raise if the path is invalid.
        expand_home: False to leave `~` as it is.

    Raises:
        EdgeInferError: `error`, because the home folder is unknown, the path is too long, or it contains characters
            that are not allowed in paths.
    """
    try:
        path = Path(name).expanduser() if expand_home else Path(name)
        os.lstat(path)
    except RuntimeError:
        raise error(f"no home folder for {shown_path(name)}: expected a full path") from None
    except ValueError:
        raise error(f"invalid path {shown_path(name)}: it contains a character that is not allowed in paths") from None
    except OSError as cause:
        if cause.errno == errno.ENAMETOOLONG:
            raise error(f"the path {shown_path(name)} is too long: expected at most 255 bytes per part") from None
    return path


@contextlib.contextmanager
def native_path(path: str | Path) -> Iterator[str]:
    """Yield a name of the same file that is safe to pass to OpenCV and FFmpeg.

    OpenCV crashes if a name is not UTF-8, and FFmpeg reads "2024-01-01T12:30.mp4" as a protocol and "%03d" as a
    counter. An absolute path avoids the first meaning of a colon; where that is not enough, the name is a temporary
    symbolic link. It is valid within the block only; a library that has opened the file by then keeps it open.

    Args:
        path: Path of a file, which need not exist yet.

    Raises:
        OSError: The link cannot be created.
    """
    absolute = Path.cwd() / path
    if _is_plain(absolute):
        yield str(absolute)
        return
    with tempfile.TemporaryDirectory(prefix="edgeinfer-") as folder:
        link = Path(folder, f"file{absolute.suffix if _PLAIN_SUFFIX.fullmatch(absolute.suffix) else ''}")
        if not _is_plain(link):
            raise OSError(
                errno.EINVAL, "the path of the temporary folder is too long or contains unsupported characters"
            )
        link.symlink_to(absolute)
        yield str(link)


def package_file(package: str, name: str) -> Path | None:
    """Return the path of a file in an installed package, which is not imported; None if there is none."""
    spec = importlib.util.find_spec(package)
    folders = [] if spec is None else spec.submodule_search_locations or []
    return next((path for folder in folders if (path := Path(folder) / name).is_file()), None)


def _is_plain(path: Path) -> bool:
    text = str(path)
    return _PLAIN.fullmatch(text) is not None and len(os.fsencode(text)) <= MAX_NATIVE_BYTES
