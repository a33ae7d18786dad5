"""State shown by the preview: written by the run and read by the server's threads without blocking the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import cv2

from edgeinfer.errors import path_text
from edgeinfer.outputs.draw import FaceBlur, annotate, cover
from edgeinfer.outputs.palette import label_colours
from edgeinfer.outputs.preview.followers import Follower, frame_object
from edgeinfer.outputs.preview.timeline import Timeline
from edgeinfer.outputs.rate import RateMeter
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import UNKNOWN, Box, Frame, Image, Result, SourceState, State
from edgeinfer.units import counted

STREAM_FPS = 12.0
"""Maximum frame rate of the MJPEG stream, in frames per second."""
STREAM_SIDE = 960
"""Maximum length of the longer side of the stream's pictures, in pixels."""
JPEG_QUALITY = 80
"""JPEG quality of stream and snapshot, 0..100."""
STALE_S = 30.0
"""Age of the latest frame from which a run is unhealthy, in seconds."""
RATE_WINDOW_S = 3.0
"""Window of the frame rate, in seconds."""
PRUNE_INTERVAL_S = 1.0
"""Interval between removals of expired timeline spans, in seconds."""
SUMMARY_AGE_S = 1.0
"""Maximum age of the cached run summary, in seconds."""

ShownState: TypeAlias = State | Literal["ended"]
"""State of a source, or "ended" after the last frame of a run."""


@dataclass(frozen=True, slots=True)
class LatestFrame:
    """The latest frame of a run with its result.

    Attributes:
        number: sequence number of the frame in the run, from 1.
        frame: the frame.
        result: its result.
        covered: boxes to make unrecognizable in every picture of it.
        updated_s: time at which the frame arrived, in seconds of `time.monotonic()`.
    """

    number: int
    frame: Frame
    result: Result
    covered: tuple[Box, ...]
    updated_s: float


class PreviewState:
    """Latest frame, timeline and counts of a run; safe to use from several threads.

    Pictures are encoded on demand in the threads of the clients; each frame at most once for the stream.

    Attributes:
        closed: set once the run has ended.
    """

    def __init__(self, *, blur: bool = False) -> None:
        """Initialize a state without frames.

        Args:
            blur: make faces unrecognizable.
        """
        self._changed = threading.Condition()
        self._blur = FaceBlur() if blur else None
        self._latest: LatestFrame | None = None
        self._followers: list[Follower] = []
        self._timeline, self._pruned_s = Timeline(), 0.0
        self._rate = RateMeter(RATE_WINDOW_S)
        self._delay_ms: float | None = None
        self._source_state: ShownState = "live"
        self._detail = ""
        self._header: RunHeader | None = None
        self._summarize: Callable[[], RunSummary] | None = None
        self._cached_summary: tuple[float, RunSummary] | None = None
        self._encoding = threading.Lock()
        self._stream_jpeg: tuple[int, bytes] = (0, b"")
        self._next_jpeg_s = 0.0
        self.closed = threading.Event()

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Store the header and the summary function of a run."""
        self._header, self._summarize = header, summary

    def update(self, frame: Frame, result: Result) -> None:
        """Replace the latest frame without encoding it."""
        now_s = time.monotonic()
        covered = self._blur.regions(frame, result) if self._blur else ()
        self._rate.add()
        with self._changed:
            if self._followers:
                line = frame_object(frame, result)
                for follower in self._followers:
                    follower.add(line)
            self._latest = LatestFrame(self._latest_number() + 1, frame, result, covered, now_s)
            self._timeline.update(result)
            if now_s - self._pruned_s >= PRUNE_INTERVAL_S:
                self._timeline.prune()
                self._pruned_s = now_s
            self._delay_ms = None if frame.captured_s is None else 1000 * (now_s - frame.captured_s)
            self._changed.notify_all()

    def update_source_state(self, state: SourceState) -> None:
        """Store the state of a live source."""
        with self._changed:
            self._set_source_state(state.state, state.detail)

    def end(self) -> None:
        """Show that the run has ended; the latest frame is the last one."""
        with self._changed:
            frames = counted(self._latest_number(), "frame")
            self._set_source_state("ended", f"Ended after {frames}; this is the last one.")

    def _set_source_state(self, state: ShownState, detail: str) -> None:
        """Store the source's state; the caller holds the condition."""
        self._source_state, self._detail = state, detail
        for follower in self._followers:
            follower.add_state()
        self._changed.notify_all()

    @property
    def farewell(self) -> str:
        """Sentence for the clients when the preview is closed."""
        event = "has ended" if self._source_state == "ended" else "was stopped"
        return f"The run {event}; waiting for the next run."

    def close(self) -> None:
        """Set `closed` and wake all waiting threads."""
        self.closed.set()
        with self._changed:
            self._changed.notify_all()

    def wait_for_frame(self, *, after: int, timeout_s: float) -> LatestFrame | None:
        """Return the latest frame as soon as its number exceeds `after`; None at the timeout or the end of the run."""
        with self._changed:
            self._changed.wait_for(lambda: self._latest_number() > after or self.closed.is_set(), timeout_s)
            return self._latest if self._latest_number() > after else None

    def wait_for_jpeg(self, *, after: int, timeout_s: float) -> tuple[int, bytes] | None:
        """Return the number and JPEG of the latest stream picture; None if none newer than `after` arrives in time."""
        if self._stream_jpeg[0] > after:
            return self._stream_jpeg
        latest = self.wait_for_frame(after=after, timeout_s=timeout_s)
        if latest is None:
            return None
        with self._encoding:
            if self._stream_jpeg[0] <= after:
                self.closed.wait(max(0.0, self._next_jpeg_s - time.monotonic()))
                self._next_jpeg_s = time.monotonic() + 1 / STREAM_FPS
                latest = self._latest or latest
                self._stream_jpeg = (latest.number, _encode(latest, STREAM_SIDE))
            return self._stream_jpeg

    def snapshot_jpeg(self) -> bytes | None:
        """Return the latest frame in full resolution as JPEG, None before the first."""
        latest = self._latest
        return None if latest is None else _encode(latest, None)

    def summary(self) -> RunSummary | None:
        """Return the summary of the run so far, cached for `SUMMARY_AGE_S`; None before the run has begun."""
        cached = self._cached_summary
        if cached and time.monotonic() - cached[0] < SUMMARY_AGE_S:
            return cached[1]
        summary = self._summarize() if self._summarize else None
        if summary is not None:
            self._cached_summary = (time.monotonic(), summary)
        return summary

    @property
    def header(self) -> RunHeader | None:
        """Source, model and versions of the run; None before the run has begun."""
        return self._header

    @property
    def source_state(self) -> ShownState:
        """State of the source: "ended" after the run; until then always "live" for a source that is not live."""
        return self._source_state

    @property
    def frame_age_s(self) -> float | None:
        """Seconds since the latest frame, None before the first."""
        latest = self._latest
        return None if latest is None else time.monotonic() - latest.updated_s

    @property
    def healthy(self) -> bool:
        """True if the source is live and the latest frame is newer than `STALE_S`."""
        age_s = self.frame_age_s
        return self._source_state == "live" and age_s is not None and age_s < STALE_S

    @contextmanager
    def follower(self) -> Iterator[Follower]:
        """Yield a queue of the latest frame and all frames that follow until the end of the block."""
        follower = Follower(self._changed, self.closed)
        with self._changed:
            self._followers.append(follower)
            if self._latest is not None:
                follower.add(frame_object(self._latest.frame, self._latest.result))
        try:
            yield follower
        finally:
            with self._changed:
                self._followers.remove(follower)

    def frame(self) -> dict[str, Any] | None:
        """Return the latest frame as a JSON object, None before the first; see `frame_object`."""
        latest = self._latest
        return None if latest is None else frame_object(latest.frame, latest.result)

    def status(self) -> dict[str, Any]:
        """Return the source, model, labels and their colours, state and counts of the run as a JSON object."""
        header, summary, latest, delay_ms = self._header, self.summary(), self._latest, self._delay_ms
        labels = header.labels if header else ()
        return {
            "source": path_text(header.source) if header else "",
            "model": header.model if header else "",
            "version": header.versions.get("edgeinfer", "") if header else "",
            "labels": list(labels),
            "colours": label_colours((*labels, UNKNOWN)),
            "state": self._source_state,
            "detail": self._detail,
            "fps": round(self._rate.per_second(), 1),
            "delay_ms": None if delay_ms is None else round(delay_ms, 1),
            "frames": latest.number if latest else 0,
            "dropped": summary.dropped if summary else None,
            "reconnects": summary.reconnects if summary else None,
            "time_s": round(latest.result.timestamp_s, 2) if latest else 0.0,
        }

    def page_status(self) -> dict[str, Any]:
        """Return the status with the timeline of the last minute, "tracks"."""
        with self._changed:
            tracks = self._timeline.snapshot()
        return {**self.status(), "tracks": tracks}

    def _latest_number(self) -> int:
        return self._latest.number if self._latest else 0


def _encode(latest: LatestFrame, max_side: int | None) -> bytes:
    """Return an annotated JPEG, scaled down if its longer side exceeds `max_side` pixels."""
    image, result = latest.frame.image, latest.result
    image = cover(image, latest.covered) if latest.covered else image
    scale = 1.0 if max_side is None else min(1.0, max_side / max(image.shape[:2]))
    if scale < 1:
        image, result = _scale_down(image, result, scale)
    annotated = annotate(image, result, track_ids=latest.frame.picture is None)
    _, data = cv2.imencode(".jpg", annotated, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def _scale_down(image: Image, result: Result, scale: float) -> tuple[Image, Result]:
    """Return a picture and its boxes scaled by a factor below 1."""
    size_wh = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    picture: Any = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
    faces = (replace(face, box=Box(*(round(scale * side) for side in face.box.xywh))) for face in result.faces)
    return picture, replace(result, faces=tuple(faces))
