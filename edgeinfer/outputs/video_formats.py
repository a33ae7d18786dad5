"""Formats of annotated videos and the package that they need; this module imports no other one."""

from __future__ import annotations

SUFFIXES = (".mp4", ".mkv", ".webm")
"""Formats of annotated videos."""
INSTALL = "pip install 'edgeinfer[video]'"
"""Command that installs PyAV."""
NO_PYAV = f"PyAV; install it with: {INSTALL}"
"""Description of the missing package, for the end of a sentence."""


def fallback_remark(missing: str) -> str:
    """Return the sentence about copies that OpenCV writes, because something is missing for H.264."""
    return f"annotated videos are MPEG-4 Part 2, which browsers do not play; H.264 needs {missing}"
