"""Kinds of files: video, picture or neither, by suffix, and by content if the suffix is unknown."""

from __future__ import annotations

import os
import re

from edgeinfer.batch.jobs import Kind
from edgeinfer.sources.picture_size import PICTURE_SUFFIXES, picture_format
from edgeinfer.sources.video_suffix import VIDEO_SUFFIXES

_HEAD_BYTES = 1024
_EXAMINED_BYTES = 4_000_000
_VIDEO = re.compile(
    rb"....ftyp(?!M4[AB] |F4[AB] |hei[cxms]|hev[cxms]|mif1|msf1)"  # ISO base media, except sound and HEIF pictures
    rb"|....(moov|mdat|wide)"  # QuickTime before 2001
    rb"|\x1a\x45\xdf\xa3"  # Matroska and WebM
    rb"|RIFF....AVI "
    rb"|\0\0\x01[\xb3\xba]"  # MPEG-1 and MPEG-2
    rb"|(....)?\x47(.{187}\x47|.{191}\x47){2}"  # MPEG transport stream, also with a time code before each packet
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11"  # ASF
    rb"|FLV\x01"
    rb"|OggS.{22,}?(theora|\x01video)",  # Ogg, except sound
    re.DOTALL,
)
_SOUND_SUFFIXES = frozenset({".mka", ".weba", ".wma"})
"""Suffixes of sound in a container that also holds videos, in lower case."""


def kind_by_suffix(name: str) -> Kind | None:
    """Return the kind of a file by its suffix, or None for an unknown suffix."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - called for each of many files
    return "pictures" if suffix in PICTURE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def kind_of(path: str) -> Kind | None:
    """Return the kind of a regular file, or None for one that is neither a video nor a picture, or not readable."""
    if kind := kind_by_suffix(path):
        return kind
    if os.path.splitext(path)[1].lower() in _SOUND_SUFFIXES:  # noqa: PTH122
        return None
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a path as given
            head = file.read(_HEAD_BYTES)
            if picture_format(head) is None:
                return "video" if _VIDEO.match(head) else None
            # A sequence of JPEG pictures is a video.
            return "video" if b"\xff\xd9\xff\xd8\xff" in head + file.read(_EXAMINED_BYTES) else "pictures"
    except OSError:
        return None
