"""Self-contained HTML page to correct the labels of crops with the keyboard; it saves a table for `prepare`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.errors import shown_path
from edgeinfer.outputs.palette import label_colours, text_colour
from edgeinfer.report.html import content_policy, create_environment, data_script, template_text
from edgeinfer.system.files import write_file
from edgeinfer_train.datasets.labelling.crops import Crop
from edgeinfer_train.datasets.pages import picture_uri
from edgeinfer_train.errors import RunError

PAGE_FILE = "label.html"
CORRECTIONS_FILE = "corrections.csv"
THUMBNAIL_SIDE = 112
"""Longest side of the pictures in the page, in pixels: about 3 kB each."""
_TEMPLATES = "edgeinfer_train.datasets.labelling"


@dataclass(frozen=True, slots=True)
class PageFace:
    """Row of the page: file, label or "", confidence in percent, and picture as a data URI."""

    file: str
    label: str
    confidence: int
    picture: str


def page_face(crop: Crop) -> PageFace:
    """Return the row of a crop, with a reduced picture."""
    return PageFace(crop.file, crop.label, round(100 * crop.confidence), picture_uri(crop.image, THUMBNAIL_SIDE))


def save_page(path: Path, title: str, faces: Sequence[PageFace], labels: Sequence[str]) -> None:
    """Write the page.

    Args:
        path: The .html file.
        title: Name of the source.
        faces: Rows of the page.
        labels: Labels to choose from, in the order of their keys.

    Raises:
        CapabilityError: Jinja2 is not installed.
        RunError: The page cannot be written.
    """
    rows = [[face.file, face.label, face.confidence, face.picture] for face in faces]
    identity = hashlib.sha256("\n".join(face.file for face in faces).encode(errors="replace")).hexdigest()[:16]
    colours = list(label_colours(labels).values())
    data: dict[str, Any] = {
        "id": identity, "labels": list(labels), "colours": colours, "inks": list(map(text_colour, colours)),
        "faces": rows, "file": CORRECTIONS_FILE,
    }  # fmt: skip
    css, script = (template_text(_TEMPLATES, f"label.{kind}") for kind in ("css", "js"))
    values = {
        "policy": content_policy(css, script), "title": title, "css": css, "script": script, "data": data_script(data)
    }  # fmt: skip
    try:
        write_file(path, create_environment(_TEMPLATES, extra="train").get_template("label.html").render(values))
    except OSError as error:
        raise RunError(f"cannot write {shown_path(path)}: {error.strerror or error}") from error
