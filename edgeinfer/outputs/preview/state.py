"""What a preview shows: written by the run, read by those who watch, neither waiting for the other."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2

from edgeinfer.outputs.draw import FaceBlur, annotate, cover
from edgeinfer.outputs.preview.timeline import Timeline
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Box, Frame, Image, Result, SourceState, State

PICTURES_PER_S = 12.0
LARGEST_PICTURE = 960
"""Longer side of a picture of the stream, in pixels."""
QUALITY = 80
STALE_S = 30.0
"""Without a frame for so long, a run is not well."""
RATE_OVER_S, PRUNE_EVERY_S = 3.0, 1.0


@dataclass(frozen=True, slots=True)
class Shown:
    """The newest frame.

    Attributes:
        number: counts what was shown, from 1.
        frame: as it was read.
        result: what it shows.
        covered: what is made unrecognizable in every picture of it.
        at_s: when it was shown, on the monotonic clock.
    """

    number: int
    frame: Frame
    result: Result
    covered: tuple[Box, ...]
    at_s: float


class PreviewState:
    """The newest frame, the last minute and the counts of a run.

    Pictures are made for those who watch and by their threads, each once, at most `PICTURES_PER_S` a second.
    """

    def __init__(self, *, blur: bool = False) -> None:
        """Nothing to show yet.

        Args:
            blur: make faces unrecognizable.
        """
        self._changed = threading.Condition()
        self._blur = FaceBlur() if blur else None
        self._shown: Shown | None = None
        self._strip, self._pruned_s = Timeline(), 0.0
        self._ticks: deque[tuple[float, int]] = deque(maxlen=16)
        self._delay_ms: float | None = None
        self._state: State = "live"
        self._detail = ""
        self._header: RunHeader | None = None
        self._summary: Callable[[], RunSummary] | None = None
        self._last_summary: tuple[float, RunSummary] | None = None
        self._making = threading.Lock()
        self._picture: tuple[int, bytes] = (0, b"")
        self._next_picture_s = 0.0
        self.closed = threading.Event()

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """A run begins."""
        self._header, self._summary = header, summary

    def show(self, frame: Frame, result: Result) -> None:
        """Show a frame; costs the run next to nothing."""
        now_s = time.monotonic()
        covered = self._blur.places(result) if self._blur else ()
        with self._changed:
            number = self._shown.number + 1 if self._shown else 1
            self._shown = Shown(number, frame, result, covered, now_s)
            self._strip.update(result)
            if not self._ticks or now_s - self._ticks[-1][0] >= RATE_OVER_S / 12:
                self._ticks.append((now_s, number))
            if now_s - self._pruned_s >= PRUNE_EVERY_S:
                self._strip.prune()
                self._pruned_s = now_s
            self._delay_ms = None if frame.captured_s is None else 1000 * (now_s - frame.captured_s)
            self._changed.notify_all()

    def tell(self, state: SourceState) -> None:
        """A live source fares otherwise."""
        with self._changed:
            self._state, self._detail = state.state, state.detail
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will be shown."""
        self.closed.set()
        with self._changed:
            self._changed.notify_all()

    def newest(self, *, after: int, within_s: float) -> Shown | None:
        """The newest frame, waited for where it is not newer than one that was seen; None when none came."""
        with self._changed:
            self._changed.wait_for(lambda: self._number() > after or self.closed.is_set(), within_s)
            return self._shown if self._number() > after else None

    def picture(self, *, after: int, within_s: float) -> tuple[int, bytes] | None:
        """The newest picture of the stream: its number and its JPEG; None when no newer one came."""
        if self._picture[0] > after:
            return self._picture
        shown = self.newest(after=after, within_s=within_s)
        if shown is None:
            return None
        with self._making:
            if self._picture[0] <= after:
                self.closed.wait(max(0.0, self._next_picture_s - time.monotonic()))
                self._next_picture_s = time.monotonic() + 1 / PICTURES_PER_S
                shown = self._shown or shown
                self._picture = (shown.number, _jpeg(shown, LARGEST_PICTURE))
            return self._picture

    def snapshot(self) -> bytes | None:
        """The newest frame at its own size as JPEG; None before the first."""
        shown = self._shown
        return None if shown is None else _jpeg(shown, None)

    def summary(self) -> RunSummary | None:
        """What was counted, at most a second ago."""
        kept = self._last_summary
        if kept and time.monotonic() - kept[0] < 1.0:
            return kept[1]
        now = self._summary() if self._summary else None
        if now is not None:
            self._last_summary = (time.monotonic(), now)
        return now

    @property
    def header(self) -> RunHeader | None:
        """What the run reads and with what; None before it began."""
        return self._header

    @property
    def state(self) -> State:
        """How the source fares; one that is no camera is "live" all the same."""
        return self._state

    @property
    def age_s(self) -> float | None:
        """Seconds since the newest frame was shown; None before the first."""
        return None if self._shown is None else time.monotonic() - self._shown.at_s

    @property
    def well(self) -> bool:
        """Whether frames come."""
        return self._state == "live" and self._shown is not None and (self.age_s or 0.0) < STALE_S

    def status(self) -> dict[str, Any]:
        """How the run fares and what its faces showed in the last minute, as JSON."""
        summary = self.summary()
        with self._changed:
            shown, tracks, delay_ms = self._shown, self._strip.told(), self._delay_ms
        return {
            "source": self._header.source if self._header else "",
            "labels": list(self._header.labels) if self._header else [],
            "state": self._state,
            "detail": self._detail,
            "fps": round(self._fps(), 1),
            "delay_ms": None if delay_ms is None else round(delay_ms, 1),
            "frames": shown.number if shown else 0,
            "dropped": summary.dropped if summary else None,
            "reconnects": summary.reconnects if summary else None,
            "time_s": round(shown.result.timestamp_s, 2) if shown else 0.0,
            "tracks": tracks,
        }

    def _number(self) -> int:
        return self._shown.number if self._shown else 0

    def _fps(self) -> float:
        """Frames a second of late; it falls when none come."""
        now_s = time.monotonic()
        with self._changed:
            recent = [tick for tick in self._ticks if now_s - tick[0] <= RATE_OVER_S]
            first = recent[0] if recent else None
            return (self._number() - first[1]) / max(now_s - first[0], 1e-3) if first else 0.0


def _jpeg(shown: Shown, longest: int | None) -> bytes:
    image, result = shown.frame.image, shown.result
    image = cover(image, shown.covered) if shown.covered else image
    shrink = 1.0 if longest is None else min(1.0, longest / max(image.shape[:2]))
    if shrink < 1:
        image, result = _smaller(image, result, shrink)
    _, data = cv2.imencode(".jpg", annotate(image, result), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()


def _smaller(image: Image, result: Result, shrink: float) -> tuple[Image, Result]:
    size_wh = max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink))
    picture: Any = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
    faces = (replace(face, box=Box(*(round(shrink * side) for side in face.box.xywh))) for face in result.faces)
    return picture, replace(result, faces=tuple(faces))
