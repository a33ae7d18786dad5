"""Lookup and loading of OpenCV's Haar cascade files."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2

from edgeinfer.detection.base import is_cascade_path
from edgeinfer.errors import CapabilityError, ModelError, ModelNotFoundError, shown_path
from edgeinfer.system.paths import local_path, native_path

DEFAULT_CASCADE = "haarcascade_frontalface_default"


def find_cascade(cascade: str | Path | None) -> Path:
    """Return the XML file for a cascade name or path; None selects the frontal face cascade.

    Raises:
        CapabilityError: this OpenCV has no cascade classifier or lacks its cascade files.
        ModelNotFoundError: the cascade does not exist.
    """
    if not hasattr(cv2, "CascadeClassifier"):
        raise CapabilityError(
            f"OpenCV {cv2.__version__} has no cascade classifier (removed in 5.0); "
            "run: pip install 'opencv-python-headless>=4.12,<5'"
        )
    if cascade is not None and is_cascade_path(cascade):
        path = local_path(cascade, ModelNotFoundError)
        if path.is_file():
            return path
    bundled = {path.stem: path for path in _cascade_folder().glob("haarcascade_*.xml")}
    if cascade is None and DEFAULT_CASCADE not in bundled:
        raise CapabilityError(
            f"OpenCV {cv2.__version__} was installed without its cascade files; run: pip install --force-reinstall "
            "'opencv-python-headless>=4.12,<5', or set `cascade` to the path of an XML file"
        )
    name = DEFAULT_CASCADE if cascade is None else str(cascade).removesuffix(".xml")
    if name not in bundled:
        raise ModelNotFoundError(
            f"cascade {shown_path(cascade or name)} not found: set `cascade` to the path of an XML file or to one of "
            f"{', '.join(sorted(bundled))}"
        )
    return bundled[name]


def load_cascade(cascade: str | Path | None) -> cv2.CascadeClassifier:
    """Load a cascade by name or path; None selects the frontal face cascade.

    A file that is not bundled with OpenCV must pass the rules of `cascade_admission`.

    Raises:
        CapabilityError: this OpenCV has no cascade classifier or lacks its cascade files.
        ModelError: the cascade does not exist, or the file is not a valid cascade.
    """
    path = find_cascade(cascade)
    content = None if is_bundled(path) else _admit(path)
    loaded = cv2.CascadeClassifier()
    with contextlib.suppress(cv2.error):
        if content is None:
            with native_path(path) as file:
                loaded.load(file)  # the constructor raises a SystemError for a damaged file
        else:
            # The document must stay alive while its nodes are read.
            document = cv2.FileStorage(content, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
            loaded.read(document.getFirstTopLevelNode())
            document.release()
    if loaded.empty():
        raise ModelError(f"{shown_path(path)} is not a cascade that OpenCV {cv2.__version__} can read")
    return loaded


def is_bundled(path: Path) -> bool:
    """Return True if a cascade file is in OpenCV's own folder, and therefore trusted."""
    return path.parent.resolve() == _cascade_folder().resolve()


def _admit(path: Path) -> str:
    """Return the validated content of an untrusted cascade file as XML."""
    from edgeinfer.detection.cascade_admission import MAX_BYTES, read_cascade, to_xml  # noqa: PLC0415 - seldom needed

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"the cascade {shown_path(path)} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ModelError(f"the cascade {shown_path(path)} is larger than {MAX_BYTES >> 20} MB")
    try:
        return to_xml(read_cascade(data))
    except ValueError as error:
        raise ModelError(
            f"{shown_path(path)} is not a valid cascade: {error}; expected an XML file from OpenCV"
        ) from error


def _cascade_folder() -> Path:
    data = getattr(cv2, "data", None)  # missing in some builds of OpenCV
    return Path(data.haarcascades) if data else Path()
