"""Results of result files as the values that a pipeline returns."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeinfer.errors import SourceError, shown_path
from edgeinfer.readers.base import FaceDetails, FaceRow, FrameRow, NotAResultError, RunInfo
from edgeinfer.readers.files import ResultFile
from edgeinfer.readers.inputs import find_inputs
from edgeinfer.readers.select import read_steps
from edgeinfer.results import Box, Emotion, Face, Pose, Result
from edgeinfer.units import counted

_NO_DETAILS = FaceDetails({}, {}, None)


def read_results(path: str | Path) -> Iterator[Result]:
    """Read the results of `edgeinfer run` and `edgeinfer batch`, one frame at a time and in constant memory.

    The values are those of a live pipeline, with the decimals of the file, without `stages_ms`, and with `index`,
    `picture` and `source`. Boxes are in pixels of the source. JSONL has all frames; CSV and Parquet have those with
    faces, unless they were written with `empty_frames`, and no unsmoothed expression, so that `raw` equals `emotion`.

    An incomplete last line, such as that of a killed run, is left out. Other lines that cannot be read are left out
    with a warning, and so is a file of a folder that is not a result.

    Args:
        path: JSONL, CSV or Parquet file; or a folder of them, such as that of a batch, in the natural order of the
            names. Of the results of one source in several formats, the JSONL file is read, or else the Parquet file.

    Returns:
        An iterator over the frames with all runs of a file, in order.

    Raises:
        SourceNotFoundError: The file does not exist, or the folder contains no result, or only subtitles.
        SourceError: The file cannot be read or is not a result, for example subtitles or anonymous counts; this is
            raised when the iterator reaches that place.
        CapabilityError: The file is Parquet and pyarrow is not installed.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "faces.csv")
        ...     with edgeinfer.open_source(str(asset_path("demo.mp4"))) as source:
        ...         sinks = [edgeinfer.open_sink(str(path))]
        ...         summary = edgeinfer.run(source, edgeinfer.load_pipeline(), sinks, max_frames=2)
        ...     [(result.index, result.faces[0].emotion.label) for result in edgeinfer.read_results(path)]
        [(0, 'happy'), (1, 'happy')]
    """
    return chain.from_iterable(map(_read_file, find_inputs([str(path)]).files))


def _read_file(file: ResultFile) -> Iterator[Result]:
    collector = _Collector(file)
    skipped = torn = 0
    try:
        for _ in read_steps(file.path, collector):
            skipped, torn = skipped + torn, collector.rejected
            collector.rejected = 0
            while collector.results:
                yield collector.results.popleft()
    except NotAResultError as error:
        if file.named:
            raise
        warnings.warn(f"{error}; the file was left out", stacklevel=2)
    except OSError as error:
        raise SourceError(f"{shown_path(file.path)} cannot be read: {error.strerror}") from error
    yield from collector.results
    if skipped:
        warnings.warn(f"{shown_path(file.path)}: {counted(skipped, 'line')} could not be read", stacklevel=2)


class _Collector:
    """Receiver that converts the frames of one file.

    Attributes:
        results: Frames that are not consumed yet.
        rejected: Number of lines that could not be read.
    """

    wants_details = True

    def __init__(self, file: ResultFile) -> None:
        self.results: deque[Result] = deque()
        self.rejected = 0
        self._name, self._shown, self._source = file.name, file.shown, file.shown

    def begin(self, info: RunInfo) -> None:
        self._source = self._name or info.source or self._shown

    def add(self, frame: FrameRow) -> None:
        faces = tuple(map(_face, frame.faces))
        self.results.append(Result(faces, frame.time_s, index=frame.number, picture=frame.picture, source=self._source))

    def list_all_frames(self) -> None: ...

    def summarize(self, summary: Mapping[str, Any]) -> None: ...

    def reject(self) -> None:
        self.rejected += 1


def _face(row: FaceRow) -> Face:
    details = row.details or _NO_DETAILS
    emotion = Emotion(row.label, row.confidence, details.probabilities)
    pose = None if details.pose is None else Pose(*details.pose)
    return Face(row.track, Box(*row.xywh, pose=pose), emotion, _raw(details.raw) or emotion)


def _raw(probabilities: Mapping[str, float]) -> Emotion | None:
    """Return the most probable expression, or None without probabilities."""
    label = max(probabilities, key=probabilities.__getitem__, default=None)
    return None if label is None else Emotion(label, probabilities[label], probabilities)
