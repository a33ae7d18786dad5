"""Annotated copies of pictures."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Self

import cv2

from edgeinfer.errors import OutputError, SourceError, UsageError, exists_already, shown_path
from edgeinfer.outputs.draw import cover_regions, draw_faces
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Image, Result
from edgeinfer.system.files import write_file
from edgeinfer.system.stderr import silenced
from edgeinfer.units import counted

QUALITY = 92
"""Quality of copies in a lossy format, of 100."""
_JPEG = [
    cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]  # fmt: skip
_ENCODERS: dict[str, tuple[str, list[int]]] = {
    ".jpg": (".jpg", _JPEG), ".jpeg": (".jpg", _JPEG), ".jpe": (".jpg", _JPEG), ".jfif": (".jpg", _JPEG),
    ".webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, QUALITY]), ".avif": (".avif", [cv2.IMWRITE_AVIF_QUALITY, QUALITY]),
}  # fmt: skip
"""Format and parameters of OpenCV's encoder by suffix, where they are not the suffix itself and the defaults."""


class PictureCopySink(AbstractContextManager["PictureCopySink"]):
    """Sink that writes an annotated copy of each picture, in its format and at its size.

    A picture that was reduced for the search is read again. A copy has 8 bits per channel, no transparency and no
    metadata; the stored orientation is applied. A picture in a format that OpenCV cannot write becomes PNG, with .png
    appended to its name. Of two copies with the same path, the second is numbered.
    """

    def __init__(
        self,
        target: Callable[[Frame], Path],
        *,
        read: Callable[[str], Image],
        folder: str | None = None,
        blur: bool = False,
        no_overwrite: bool = False,
    ) -> None:
        """Initialize the sink without creating a folder.

        Args:
            target: Function that returns the path of the copy of a frame, whose `picture` is set. Its suffix selects
                the format.
            read: Function that returns a picture at its full size, in the orientation of its frame. It raises
                `SourceError` if that is impossible.
            folder: Folder that is created before the first picture and named in the summary; None for neither.
            blur: Make faces unrecognizable.
            no_overwrite: Refuse to replace an existing copy.
        """
        self._target, self._read = target, read
        self._folder = None if folder is None else Path(folder)
        self._blur, self._no_overwrite = blur, no_overwrite
        self._numbers: dict[int, int] = {}  # latest number by hash of the path, to keep a million paths small
        self._unsupported: set[str] = set()
        self._copies = 0

    def __enter__(self) -> Self:
        """Return the sink."""
        return self

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Create the folder.

        Raises:
            UsageError: The source does not consist of pictures.
            OutputError: The folder cannot be created or is not writable.
        """
        if not header.has_pictures:
            raise UsageError(
                f"`save_pictures` copies pictures, and {shown_path(header.source)} is not a picture; for an annotated "
                "copy of a video or a camera, set `save_video`"
            )
        if self._folder is not None:
            _create_folder(self._folder)
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise OutputError(f"cannot write to the folder {shown_path(self._folder)}; choose another one")

    def write(self, frame: Frame, result: Result) -> None:
        """Write the copy of one picture.

        Raises:
            OutputError: The copy cannot be written.
        """
        target = self._target(frame)
        _create_folder(target.parent)
        path, data = self._encoded(self._drawn(frame, result), target)
        path = self._unused(path)
        if self._no_overwrite and os.path.lexists(path):
            raise OutputError(exists_already(f"the annotated copy {path}"))
        if path.is_symlink():
            raise OutputError(
                f"cannot write the copy {shown_path(path)}: it is a link to another file; remove it, or choose another "
                "folder"
            )
        try:
            write_file(path, data)
        except OSError as error:
            raise OutputError(f"cannot write the copy {shown_path(path)}: {error.strerror}") from error
        self._copies += 1

    def __exit__(self, *_: object) -> None:
        """Do nothing; each copy is complete."""

    @property
    def written(self) -> tuple[str, ...]:
        """Folder and number of copies; empty without copies."""
        if self._folder is None or not self._copies:
            return ()
        return (f"{shown_path(self._folder)} ({counted(self._copies, 'annotated picture')})",)

    def _drawn(self, frame: Frame, result: Result) -> Image:
        """Return an annotated copy at the picture's own size."""
        picture, faces = self._full_size(frame), result.faces
        if picture is None:
            picture = frame.image.copy()
        else:
            faces = tuple(replace(face, box=frame.source_box(face.box)) for face in faces)
        if self._blur:
            cover_regions(picture, [face.box for face in faces])
        draw_faces(picture, replace(result, faces=faces), track_ids=False)
        return picture

    def _full_size(self, frame: Frame) -> Image | None:
        """Return the picture of a reduced frame as stored, or None if the frame is not reduced."""
        if frame.full_size_wh is None or frame.picture is None:
            return None
        try:
            picture = self._read(frame.picture)
            if picture.shape[1::-1] != frame.full_size_wh:
                raise SourceError("has changed since it was read")
        except SourceError as error:
            warnings.warn(f"{shown_path(frame.picture)} {error}: its copy is reduced", stacklevel=2)
            return None
        return picture

    def _encoded(self, picture: Image, path: Path) -> tuple[Path, bytes]:
        """Return the path and the content of a copy, as PNG if its own format cannot be written.

        Raises:
            OutputError: Neither can be written.
        """
        data = _encode(picture, path.suffix)
        if data is not None:
            return path, data
        png = path.with_name(f"{path.name}.png")
        if path.suffix.lower() not in self._unsupported:
            self._unsupported.add(path.suffix.lower())
            warnings.warn(
                f"the copy of {shown_path(path.name)} is {shown_path(png.name)}, because OpenCV cannot write "
                f"{path.suffix} in colour or at this size; others like it become PNG too",
                stacklevel=2,
            )
        data = _encode(picture, ".png")
        if data is None:
            raise OutputError(f"cannot write the copy {shown_path(png)}: this OpenCV cannot encode it")
        return png, data

    def _unused(self, path: Path) -> Path:
        """Return the path, numbered if an earlier copy has it, even in another letter case."""
        key = hash(str(path).casefold())
        unused = path
        while (taken := hash(str(unused).casefold())) in self._numbers:
            self._numbers[key] += 1
            unused = path.with_stem(f"{path.stem}-{self._numbers[key]}")
        self._numbers[taken] = 1
        return unused


def _create_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create the folder {shown_path(folder)}: {error.strerror}") from error


def _encode(picture: Image, suffix: str) -> bytes | None:
    """Return a picture in the format of a suffix, or None if OpenCV cannot write it in colour and at this size."""
    name, parameters = _ENCODERS.get(suffix.lower(), (suffix.lower(), []))
    try:
        with silenced(native_only=True):  # OpenCV prints the cause
            encoded, data = cv2.imencode(name, picture, parameters)
    except cv2.error:
        return None
    return data.tobytes() if encoded else None
