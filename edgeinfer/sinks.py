"""Where results go: JSONL, CSV, an annotated video, a window.

A line is written whole, in one call and without a buffer of ours, so that a killed run leaves only whole lines.
"""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np

from edgeinfer.draw import annotate
from edgeinfer.errors import CapabilityError, OutputError, UsageError
from edgeinfer.patience import SourceState
from edgeinfer.results import Result
from edgeinfer.sources import Frame

SCHEMA = 1
STDOUT = "-"
WINDOW = "edgeinfer"


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What a run reads and with what.

    Attributes:
        source: its name.
        fps: frames a second where the source tells, else None.
        labels: the classifier's, in order.
        model: name of the model.
        model_sha256: of its file, hexadecimal; empty for a classifier without one.
        versions: package name to version.
    """

    source: str
    fps: float | None
    labels: tuple[str, ...]
    model: str
    model_sha256: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run saw and what it cost.

    Attributes:
        frames: read.
        faces: boxes over all frames.
        labels: label to number of faces that showed it.
        elapsed_s: from the first read to the last output closed, in seconds.
        stages_ms: stage to {"p50", "p95"} in milliseconds, over the last 10,000 frames.
        delay_ms: {"p50", "p95"} from a frame's capture to the end of its writing, in milliseconds, over as many frames;
            None unless the source is live.
        dropped: frames that a live source left out, None for the others.
        reconnects: how often a live source was lost and came back, None for the others.
        skipped: frames that could not be decoded, None where there was none.
    """

    frames: int
    faces: int
    labels: Mapping[str, int]
    elapsed_s: float
    stages_ms: Mapping[str, Mapping[str, float]]
    delay_ms: Mapping[str, float] | None = None
    dropped: int | None = None
    reconnects: int | None = None
    skipped: int | None = None

    @property
    def fps(self) -> float:
        """Frames a second of the whole run."""
        return self.frames / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def dominant(self) -> str | None:
        """The label shown most, None without faces."""
        return max(self.labels, key=lambda label: self.labels[label]) if self.faces else None


class Stopped(Exception):  # noqa: N818 - a wish, not an error
    """Somebody closed the window: the run ends as if the source had."""


class Sink(Protocol):
    """The role of whatever takes results. A context manager, entered before `start`."""

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """The run begins; `summary` may be called when the sink is closed."""

    def write(self, frame: Frame, result: Result) -> None:
        """One frame."""

    def __enter__(self) -> Any: ...
    def __exit__(self, *_: Any) -> bool | None: ...


@runtime_checkable
class StateListener(Protocol):
    """The role of a sink that is told how a live source fares."""

    def source_state(self, state: SourceState) -> None:
        """The source is connecting, live, stalled or lost."""


class _Lines:
    """Whole lines into a file or stdout."""

    def __init__(self, target: str) -> None:
        self._name = "stdout" if target == STDOUT else target
        try:
            # An older file is emptied by `start` only, so that a source that cannot be read costs nobody his results.
            handle = 1 if target == STDOUT else os.open(target, os.O_WRONLY | os.O_CREAT, 0o666)
            self._file = open(handle, "wb", buffering=0, closefd=target != STDOUT)  # noqa: SIM115
        except OSError as error:
            raise OutputError(f"cannot write {self._name}: {error.strerror}; does its folder exist?") from error
        self._regular = target != STDOUT and stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)

    def start(self) -> None:
        if self._regular:
            self._file.truncate(0)

    def write(self, line: str) -> None:
        data = line.encode()
        written = 0
        try:
            while written < len(data):
                written += self._file.write(data[written:]) or 0
        except OSError as error:
            self._drop(written)
            raise OutputError(
                f"cannot write {self._name}: {error.strerror}; what was written before is kept"
            ) from error

    def _drop(self, written: int) -> None:
        """Take back the part of a line that still went in."""
        if self._regular and written:
            self._file.truncate(self._file.tell() - written)

    def close(self) -> None:
        self._file.close()


class JsonlSink(AbstractContextManager["JsonlSink"]):
    """One JSON object a line: a header, the frames, a summary (schema 1)."""

    def __init__(self, target: str) -> None:
        """Open a file, or stdout for "-".

        Raises:
            OutputError: it cannot be written.
        """
        self._lines = _Lines(target)
        self._summary: Callable[[], RunSummary] | None = None

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Write the header line."""
        self._lines.start()
        model = {"name": header.model, "sha256": header.model_sha256, "labels": list(header.labels)}
        self._put(
            {
                "type": "header",
                "schema": SCHEMA,
                "source": header.source,
                "model": model,
                "versions": dict(header.versions),
            }
        )
        self._summary = summary

    def write(self, frame: Frame, result: Result) -> None:
        """Write one frame's line."""
        faces = [
            {
                "track": face.track_id,
                "box": list(face.box.xywh),
                "label": face.emotion.label,
                "confidence": round(face.emotion.confidence, 4),
                "probabilities": _rounded(face.emotion.probabilities),
                "raw": _rounded(face.raw.probabilities),
            }
            for face in result.faces
        ]
        self._put({"type": "frame", "frame": frame.index, "time_s": round(frame.timestamp_s, 4), "faces": faces})

    def __exit__(self, *_: object) -> None:
        """Write the summary line, also of a run that broke off."""
        summary, self._summary = self._summary, None
        try:
            if summary:
                self._put(_summary_line(summary()))
        finally:
            self._lines.close()

    def _put(self, value: dict[str, Any]) -> None:
        try:
            self._lines.write(json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")
        except OutputError:
            self._summary = None
            raise


class CsvSink(AbstractContextManager["CsvSink"]):
    """One row a face: frame, time_s, track, x, y, w, h, label, confidence and a probability for each label."""

    def __init__(self, target: str) -> None:
        """Open a file.

        Raises:
            OutputError: it cannot be written.
        """
        self._lines = _Lines(target)

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Write the row of column names."""
        self._lines.start()
        self._put("frame", "time_s", "track", "x", "y", "w", "h", "label", "confidence", *header.labels)

    def write(self, frame: Frame, result: Result) -> None:
        """Write a row for each face."""
        for face in result.faces:
            emotion = face.emotion
            shares = _rounded({"": emotion.confidence, **emotion.probabilities}).values()
            self._put(
                frame.index,
                round(frame.timestamp_s, 4),
                face.track_id,
                *face.box.xywh,
                emotion.label,
                *shares,
            )

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._lines.close()

    def _put(self, *values: object) -> None:
        line = io.StringIO(newline="")
        csv.writer(line, lineterminator="\n").writerow(values)
        self._lines.write(line.getvalue())


class VideoSink(AbstractContextManager["VideoSink"]):
    """An annotated MP4. Pictures of another size than the first are fitted into it."""

    def __init__(self, path: str) -> None:
        """Name the file; it is opened with the first frame.

        Raises:
            UsageError: the suffix is not .mp4.
            OutputError: its folder does not exist or cannot be written.
        """
        self._path = Path(path)
        if self._path.suffix.lower() != ".mp4":
            raise UsageError(f"a video is written as .mp4, not {self._path.suffix or path!r}")
        check_writable(self._path)
        self._writer: cv2.VideoWriter | None = None
        self._size_wh, self._fps = (0, 0), 30.0

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Take the source's rate; 30 a second where it tells none."""
        self._fps = header.fps or 30.0

    def write(self, frame: Frame, result: Result) -> None:
        """Annotate and append one frame."""
        picture = annotate(frame.image, result)
        if self._writer is None:
            self._size_wh = (picture.shape[1], picture.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._fps, self._size_wh)
            if not self._writer.isOpened():
                raise OutputError(
                    f"cannot write the video {self._path}; is the disk full, or MPEG-4 missing in this OpenCV?"
                )
        self._writer.write(_fit(picture, self._size_wh))

    def __exit__(self, *_: object) -> None:
        """Finish the file.

        Raises:
            OutputError: nothing of it reached the disk.
        """
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            if not self._path.is_file() or self._path.stat().st_size == 0:
                raise OutputError(f"the video {self._path} could not be written; is the disk full?")


class WindowSink(AbstractContextManager["WindowSink"]):
    """A window with the annotated picture; q or Escape ends the run."""

    def __init__(self) -> None:
        """Check that this OpenCV can show windows here.

        Raises:
            CapabilityError: it was built without them, or there is no screen.
        """
        try:
            cv2.namedWindow(WINDOW, cv2.WINDOW_NORMAL)
        except cv2.error as error:
            raise CapabilityError(
                "this OpenCV shows no windows; with a screen, put opencv-python in the place of opencv-python-headless"
            ) from error

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Put the source into the title."""
        cv2.setWindowTitle(WINDOW, f"edgeinfer: {header.source}")

    def write(self, frame: Frame, result: Result) -> None:
        """Show one frame.

        Raises:
            Stopped: q or Escape was pressed.
        """
        cv2.imshow(WINDOW, annotate(frame.image, result))
        if cv2.waitKey(1) & 0xFF in (ord("q"), 27):
            raise Stopped

    def __exit__(self, *_: object) -> None:
        """Close the window."""
        cv2.destroyWindow(WINDOW)


SINKS: dict[str, Callable[[str], Sink]] = {".jsonl": JsonlSink, ".csv": CsvSink}


def open_sink(target: str) -> Sink:
    """Open an output by its suffix; "-" is JSONL on stdout.

    Raises:
        UsageError: no output has this suffix.
        OutputError: it cannot be written.
    """
    return SINKS[check_target(target)](target)


def check_target(target: str) -> str:
    """The suffix that decides an output's format, nothing opened yet.

    Raises:
        UsageError: no output has this suffix.
    """
    suffix = ".jsonl" if target == STDOUT else Path(target).suffix.lower()
    if suffix not in SINKS:
        raise UsageError(f"cannot tell the format of {target}; an output ends in {' or '.join(SINKS)}, or is '-'")
    return suffix


def check_writable(path: Path) -> None:
    """Refuse what could not be written later, before any work is done.

    Raises:
        OutputError: its folder does not exist or cannot be written, or it is a folder.
    """
    folder = path.resolve().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK) or path.is_dir():
        raise OutputError(f"cannot write {path}; does its folder exist, and may you write there?")


def _rounded(probabilities: Mapping[str, float]) -> dict[str, float]:
    return {label: round(value, 4) for label, value in probabilities.items()}


def _summary_line(summary: RunSummary) -> dict[str, Any]:
    live = {} if summary.delay_ms is None else {"delay_ms": dict(summary.delay_ms), "dropped": summary.dropped}
    return {
        "type": "summary",
        "frames": summary.frames,
        "faces": summary.faces,
        "labels": dict(summary.labels),
        "elapsed_s": round(summary.elapsed_s, 3),
        "fps": round(summary.fps, 1),
        "stages_ms": {stage: dict(values) for stage, values in summary.stages_ms.items()},
        **live,
    }


def _fit(picture: np.ndarray[Any, np.dtype[np.uint8]], size_wh: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    height, width = picture.shape[:2]
    if (width, height) == size_wh:
        return picture
    scale = min(size_wh[0] / width, size_wh[1] / height)
    wide, high = max(1, int(width * scale)), max(1, int(height * scale))
    x, y = (size_wh[0] - wide) // 2, (size_wh[1] - high) // 2
    canvas = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    canvas[y : y + high, x : x + wide] = cv2.resize(picture, (wide, high), interpolation=cv2.INTER_AREA)
    return canvas
