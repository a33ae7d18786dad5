"""One labelling session: the crops of a source, and their page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgeinfer.errors import path_text, shown_path
from edgeinfer.pipeline import Pipeline
from edgeinfer_train.datasets.labelling.crops import Crop, LabelSettings, Progress, find_sources, write_crops
from edgeinfer_train.datasets.labelling.page import PAGE_FILE, PageFace, page_face, save_page
from edgeinfer_train.errors import DataError, RunError
from edgeinfer_train.labels import check_labels


def label_faces(
    source: Path,
    out: Path,
    create_pipeline: Callable[[bool], Pipeline],
    settings: LabelSettings,
    *,
    warn: Callable[[str], None],
    progress: Progress | None = None,
) -> tuple[Path, list[Crop]]:
    """Write the crops of all faces, and a page to correct their labels.

    An interruption leaves the crops so far, with their page.

    Args:
        source: Folder with pictures and clips, or one file.
        out: Folder to create; an existing one must be empty.
        create_pipeline: Function that creates a pipeline, with its argument True to track faces between frames.
        settings: Selection of faces.
        warn: Callback with a sentence about a source that cannot be read.
        progress: Callback with the arguments (sources done, total sources).

    Returns:
        The page, and the crops.

    Raises:
        ConfigError: The labels are invalid.
        DataError: The source does not exist, or contains no pictures, clips or faces.
        RunError: `out` is not empty or cannot be written.
    """
    labels = check_labels(settings.labels) if settings.labels else create_pipeline(False).classifier.labels
    find_sources(source)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise RunError(f"{shown_path(out)} is not empty: choose a new `out` folder, so that no label is lost")
    except OSError as error:
        raise RunError(f"cannot write {shown_path(out)}: {error.strerror or error}") from error
    crops: list[Crop] = []
    rows: list[PageFace] = []
    try:
        for crop in write_crops(source, out, create_pipeline, settings, warn=warn, progress=progress):
            crops.append(crop)
            rows.append(page_face(crop))
    finally:
        if rows:
            save_page(out / PAGE_FILE, path_text(source.resolve().name), rows, labels)
    if not rows:
        out.rmdir()
        raise DataError(f"no face of at least {settings.min_size} pixels was found in {shown_path(source)}")
    return out / PAGE_FILE, crops
