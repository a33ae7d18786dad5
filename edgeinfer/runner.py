"""The loop of `edgeinfer run`: every frame of a source through a pipeline into sinks."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import chain, islice

import numpy as np

from edgeinfer.expression.classifier import EmotionClassifier
from edgeinfer.outputs.base import Sink, StateListener, Stopped
from edgeinfer.outputs.jsonl import JsonlSink
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.pipeline import Pipeline
from edgeinfer.results import Frame, Result, SourceState
from edgeinfer.sources.base import Source
from edgeinfer.sources.live import LiveSource
from edgeinfer.system.hardware import versions

STAGES = ("decode", "detect", "track", "classify", "write")
_REMEMBERED_FRAMES = 10_000


class _Tally:
    """Counts and times in bounded memory."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._delays: deque[float] = deque(maxlen=_REMEMBERED_FRAMES)
        self._started = time.perf_counter()
        self._frames = 0
        self._labels: Counter[str] = Counter()
        self._times: dict[str, deque[float]] = {stage: deque(maxlen=_REMEMBERED_FRAMES) for stage in STAGES}

    def add(self, frame: Frame, result: Result, stages_ms: Mapping[str, float]) -> None:
        self._frames += 1
        if frame.captured_s is not None:
            self._delays.append(1000 * (time.monotonic() - frame.captured_s))
        self._labels.update(face.emotion.label for face in result.faces)
        for stage, value in stages_ms.items():
            self._times[stage].append(value)

    def summary(self) -> RunSummary:
        stages = {stage: _percentiles(times) for stage, times in self._times.items()}
        elapsed_s = time.perf_counter() - self._started
        source = self._source
        live = source if isinstance(source, LiveSource) else None
        return RunSummary(
            self._frames, self._labels.total(), dict(self._labels), elapsed_s, stages,
            delay_ms=_percentiles(self._delays) if source.live else None,
            dropped=source.dropped if source.live else None,
            reconnects=live.reconnects if live else None,
            skipped=source.skipped or None,
        )  # fmt: skip


def _percentiles(times_ms: deque[float]) -> dict[str, float]:
    now = list(times_ms)  # other threads ask, too, while frames are added
    return {f"p{q}": round(float(np.percentile(now, q)), 3) for q in (50, 95)} if now else {}


def run(
    source: Source,
    pipeline: Pipeline,
    sinks: Iterable[Sink] = (),
    *,
    max_frames: int | None = None,
    on_result: Callable[[Frame, Result], None] | None = None,
    on_frame: Callable[[Frame, Result, Mapping[str, float]], None] | None = None,
) -> RunSummary:
    """Read a source to its end; every sink is closed on the way out, whatever happens.

    Args:
        source: opened, and entered by the caller.
        pipeline: what reads the frames.
        sinks: taken over and closed.
        max_frames: stop after so many.
        on_result: called after each frame is written.
        on_frame: Called after `on_result` with the frame, its result and the milliseconds spent in "decode", "detect",
            "track", "classify" and "write".

    Raises:
        SourceError: the source gave no frame, or a live one was lost.
        OutputError: an output cannot be written; what was written before stays.
    """
    tally = _Tally(source)
    with ExitStack() as stack:
        # What ends with a summary is entered first, so that it is closed last and its times hold everything.
        ordered = sorted(sinks, key=lambda sink: not isinstance(sink, JsonlSink))
        for sink in ordered:
            stack.enter_context(sink)
        states = _States(source)
        frames = _timed(source, max_frames)
        # A source that cannot be read fails here, before an output is begun, unless somebody waits for it.
        first = [] if states.awaited else list(islice(frames, 1))
        header = _header(source, pipeline)
        for sink in ordered:
            sink.start(header, tally.summary)
        states.offer(ordered)
        with suppress(Stopped):
            for frame, decode_ms in chain(first, frames):
                result = pipeline(frame.image, timestamp_s=frame.timestamp_s)
                started = time.perf_counter()
                for sink in ordered:
                    sink.write(frame, result)
                write_ms = 1000 * (time.perf_counter() - started)
                stages_ms = {"decode": decode_ms, **result.stages_ms, "write": write_ms}
                tally.add(frame, result, stages_ms)
                if on_result:
                    on_result(frame, result)
                if on_frame:
                    on_frame(frame, result, stages_ms)
    return tally.summary()


class _States:
    """Passes the states of a live source on to the sinks that listen, from before they began, too."""

    def __init__(self, source: Source) -> None:
        self._sinks: list[StateListener] | None = None
        self._early: list[SourceState] = []
        live = source if isinstance(source, LiveSource) else None
        self.awaited = live is not None and live.patience.allows(1, opened=False)
        if live is not None:
            live.listener = self._hear

    def offer(self, sinks: Iterable[Sink]) -> None:
        self._sinks = [sink for sink in sinks if isinstance(sink, StateListener)]
        for state in self._early:
            self._hear(state)

    def _hear(self, state: SourceState) -> None:
        if self._sinks is None:
            self._early.append(state)
        else:
            for sink in self._sinks:
                sink.source_state(state)


def _header(source: Source, pipeline: Pipeline) -> RunHeader:
    classifier = pipeline.classifier
    if isinstance(classifier, EmotionClassifier):
        name, digest = classifier.card.name, classifier.card.sha256
    else:
        name, digest = type(classifier).__name__, ""
    return RunHeader(source.name, source.fps, classifier.labels, name, digest, versions())


def _timed(source: Source, max_frames: int | None) -> Iterator[tuple[Frame, float]]:
    """Frames with the milliseconds that reading each one took."""
    frames = iter(source)
    given = 0
    while max_frames is None or given < max_frames:
        started = time.perf_counter()
        frame = next(frames, None)
        if frame is None:
            return
        yield frame, 1000 * (time.perf_counter() - started)
        given += 1
