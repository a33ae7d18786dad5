"""Summarizing of recordings, one frame at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from edgeinfer.outputs.anonymous import LONGEST_STEP_S
from edgeinfer.readers.base import FaceRow, FrameRow, RunInfo
from edgeinfer.readers.batch_list import BatchEntry
from edgeinfer.readers.files import ResultFile
from edgeinfer.report.bins import CHANNELS, TimeGrid
from edgeinfer.report.recording import Moment, Recording, Share, Track
from edgeinfer.report.remarks import Counts, remarks_of

DEFAULT_STEP_S = 1 / 30
"""Duration of a frame that is the only one of its recording, in seconds."""
LARGEST_WIDTH_PX = 10_000
"""Largest width of a face that the median distinguishes, in pixels."""
MAX_RUNS = 1000
"""Number of runs of one file that are kept apart; later ones are joined."""
OTHER = "other"
"""Label that replaces the labels beyond the first `CHANNELS - 1` of a recording."""
PRESENT, ABSENT = 0, 1

PictureFace = Callable[[FrameRow, FaceRow], None]
"""Function that receives each face of a picture."""


class RecordingBuilder:
    """Receiver of the runs in one result file."""

    wants_details = False

    def __init__(
        self, file: ResultFile, finished: Callable[[Recording], None], picture_face: PictureFace | None = None
    ) -> None:
        """Create a builder.

        Args:
            file: Result file.
            finished: Function that receives each recording when it is complete.
            picture_face: Function that receives each face of a picture, or None.
        """
        self._file, self._finished, self._picture_face = file, finished, picture_face
        self._current: _Run | None = None
        self._runs = 0

    def begin(self, info: RunInfo) -> None:
        """Start a recording, and finish the previous one."""
        if self._runs == MAX_RUNS:
            return
        self.close()
        self._runs += 1
        self._current = _Run(self._file, info, self._runs, self._picture_face)

    def add(self, frame: FrameRow) -> None:
        """Add a frame."""
        if self._current is not None:
            self._current.add(frame)

    def list_all_frames(self) -> None:
        """Note that frames without a face have rows."""
        if self._current is not None:
            self._current.recording.lists_all_frames = True

    def summarize(self, summary: Mapping[str, Any]) -> None:
        """Add the counts at the end of a run."""
        if self._current is not None:
            self._current.counts.add_summary(summary)

    def reject(self) -> None:
        """Count a row that cannot be read."""
        if self._current is not None:
            self._current.counts.rejected += 1

    def close(self) -> None:
        """Finish the last recording."""
        if self._current is not None:
            current, self._current = self._current, None
            self._finished(current.finish())


class _Run:
    """Sums of one recording.

    A frame lasts until the next one, at most `LONGEST_STEP_S`, so it is counted when its successor is known.
    """

    def __init__(self, file: ResultFile, info: RunInfo, number: int, picture_face: PictureFace | None) -> None:
        name = file.name or info.source or file.shown
        self.recording = Recording(name if number == 1 else f"{name} ({number})", file.shown, info)
        self.recording.has_pictures, self.recording.lists_all_frames = bool(info.has_pictures), info.lists_all_frames
        self.counts = Counts()
        self._entry: BatchEntry | None = file.entry
        self._picture_face = picture_face
        self._tracks: dict[int, Track] = {}
        self._channels: dict[str, int] = {}
        self._widths: Counter[int] = Counter()
        self._first: FrameRow | None = None
        self._last: FrameRow | None = None
        self._step_s = 0.0
        self._end_s = 0.0

    def add(self, frame: FrameRow) -> None:
        recording = self.recording
        if self._first is None:
            self._first = frame
            recording.has_pictures = frame.picture is not None
            recording.grid = TimeGrid(frame.time_s)
            recording.start_s = self._end_s = frame.time_s
        recording.frames += 1
        recording.frames_with_face += bool(frame.faces)
        recording.faces += len(frame.faces)
        if recording.has_pictures:
            self._count_picture(frame)
        elif self._last is not None:
            self._count(self._last, self._step_s_between(self._last, frame))
        self._last = frame

    def _step_s_between(self, previous: FrameRow, frame: FrameRow) -> float:
        """Return the duration of the previous frame in seconds."""
        step_s, frames = frame.time_s - previous.time_s, frame.number - previous.number
        if not self.recording.lists_all_frames and frames > 1:
            step_s /= frames  # the frames in between have no face
        if step_s > 0:
            self._step_s = min(step_s, LONGEST_STEP_S)
        return self._step_s

    def _count(self, frame: FrameRow, step_s: float) -> None:
        """Add a frame of a video that lasted some seconds."""
        end_s = frame.time_s + step_s
        self._end_s = max(self._end_s, end_s)
        self.recording.start_s = min(self.recording.start_s, frame.time_s)
        parts = self.recording.grid.parts(frame.time_s, end_s)
        self.recording.presence.add(self.recording.grid, parts, PRESENT if frame.faces else ABSENT, 1.0)
        for face in frame.faces:
            label, channel = self._label(face.label)
            track = self._tracks.get(face.track)
            if track is None:
                track = self._tracks[face.track] = Track(face.track, frame.time_s, frame.time_s)
            track.first_s, track.last_s = min(track.first_s, frame.time_s), max(track.last_s, frame.time_s)
            track.times.add(self.recording.grid, parts, channel, face.confidence)
            for shares in (track.shares, self.recording.shares):
                shares.setdefault(label, Share()).add(step_s, face.confidence)
            if track.best is None or face.confidence > track.best.confidence:
                track.best = _moment(frame, face)
            self._widths[min(face.xywh[2], LARGEST_WIDTH_PX)] += 1

    def _count_picture(self, frame: FrameRow) -> None:
        for face in frame.faces:
            share = self.recording.shares.setdefault(self._label(face.label)[0], Share())
            share.add(1.0, face.confidence)
            if share.best is None or face.confidence > share.best.confidence:
                share.best = _moment(frame, face)
            self._widths[min(face.xywh[2], LARGEST_WIDTH_PX)] += 1
            if self._picture_face is not None:
                self._picture_face(frame, face)

    def _label(self, label: str) -> tuple[str, int]:
        """Return the label under which a face is counted, and its channel."""
        channel = self._channels.get(label)
        if channel is None:
            if len(self._channels) >= CHANNELS - 1:
                label = OTHER
            channel = self._channels.setdefault(label, len(self._channels))
            self.recording.labels = list(self._channels)
        return label, channel

    def finish(self) -> Recording:
        """Return the recording."""
        recording = self.recording
        if self._last is not None and not recording.has_pictures:
            self._count(self._last, self._step_s or DEFAULT_STEP_S)
            recording.end_s = self._end_s
        if not recording.lists_all_frames:
            self._estimate_extent()
        recording.tracks = [self._tracks[number] for number in sorted(self._tracks)]
        for series in (recording.presence, *(track.times for track in recording.tracks)):
            series.fit(recording.grid)
        recording.face_width_px = _median(self._widths)
        if recording.info.has_summary and not self.counts.has_summary:
            recording.status = "incomplete"
        elif not recording.faces:
            recording.status = "no faces"
        recording.remarks = remarks_of(recording, self.counts, self._entry)
        return recording

    def _estimate_extent(self) -> None:
        """Estimate the number of frames, start and end from frame numbers, summary and the list of the batch."""
        recording, entry = self.recording, self._entry
        if self._first is not None and self._last is not None:
            recording.frames = max(recording.frames, self._last.number + 1)
            if not recording.has_pictures:
                frames = self._last.number - self._first.number
                span_s = self._last.time_s - self._first.time_s
                step_s = span_s / frames if frames > 0 and span_s > 0 else DEFAULT_STEP_S
                recording.start_s = min(recording.start_s, self._first.time_s - self._first.number * step_s)
        recording.frames = max(recording.frames, self.counts.frames)
        if entry is not None:
            recording.frames = max(recording.frames, entry.frames)
            if not recording.has_pictures:
                recording.end_s = max(recording.end_s, recording.start_s + entry.duration_s)


def _moment(frame: FrameRow, face: FaceRow) -> Moment:
    return Moment(face.confidence, frame.number, frame.time_s, face.xywh, frame.picture)


def _median(widths: Counter[int]) -> int | None:
    """Return the lower median of counted values, or None without values."""
    seen = 0
    for width in sorted(widths):
        seen += widths[width]
        if 2 * seen >= widths.total():
            return width
    return None
