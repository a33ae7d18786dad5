"""Recognition of video files by the suffix of their names, and the command that processes many of them."""

from __future__ import annotations

import shlex
from pathlib import PurePath

from edgeinfer.errors import shown_path

VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".divx", ".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".vob",
    ".ts", ".m2ts", ".mts", ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".ogm", ".mjpeg", ".mjpg", ".h264",
    ".264", ".h265", ".265", ".hevc", ".dv", ".mxf", ".y4m", ".ivf", ".nut",
})  # fmt: skip
"""File name suffixes of videos in folders and globs, in lower case. A named file may have any suffix."""


def has_video_suffix(path: str | PurePath) -> bool:
    """Return True if a file name ends in one of `VIDEO_SUFFIXES`, in upper or lower case."""
    return PurePath(path).suffix.lower() in VIDEO_SUFFIXES


def batch_command(source: str) -> str:
    """Return the command line that processes all recordings of a folder or glob, for a message."""
    return f"edgeinfer batch {shlex.quote(shown_path(source))} --out DIR"
