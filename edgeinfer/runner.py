"""Main loop: passes each frame of a source through a pipeline to the sinks."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import chain, islice

from edgeinfer.outputs.base import EventListener, Sink, StateListener, Stopped
from edgeinfer.outputs.events import HOLD_S, Event, EventDetector
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.pipeline import Paceable, Pipeline
from edgeinfer.results import Frame, Result, SourceState
from edgeinfer.sources.base import ReconnectingSource, Source
from edgeinfer.system import interrupts
from edgeinfer.system.hardware import versions
from edgeinfer.url import without_credentials

STAGES = ("decode", "detect", "track", "classify", "write")
_WINDOW_FRAMES = 10_000
"""Number of latest frames over which percentiles are computed."""


def run(
    source: Source,
    pipeline: Pipeline,
    sinks: Iterable[Sink] = (),
    *,
    max_frames: int | None = None,
    on_result: Callable[[Frame, Result], None] | None = None,
    on_frame: Callable[[Frame, Result, Mapping[str, float]], None] | None = None,
) -> RunSummary:
    """Process a source to its end.

    All sinks are entered before the first frame is read, and closed on return and after any error. Existing output
    files keep their content until the first frame is written.

    Args:
        source: Open source; the caller closes it.
        pipeline: Detector, tracker and classifier.
        sinks: Outputs, not yet entered.
        max_frames: Number of frames after which to stop, or None for no limit.
        on_result: Callback for each frame, after it is written.
        on_frame: Callback for each frame, after `on_result`; its third argument maps "decode", "detect", "track",
            "classify" and "write" to milliseconds.

    Returns:
        Counts and times of the run.

    Raises:
        SourceError: The source has no readable frame, or a live source was lost.
        OutputError: An output cannot be written; frames that were already written are kept.
        CapabilityError: A window cannot be opened.

    Examples:
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> with edgeinfer.open_source(str(asset_path("demo.mp4"))) as source:
        ...     summary = edgeinfer.run(source, edgeinfer.load_pipeline(), max_frames=3)
        >>> summary.frames, summary.dominant
        (3, 'happy')
    """
    statistics = _Statistics(source)
    if isinstance(pipeline, Paceable):  # any callable with a classifier is a pipeline
        pipeline.keep_pace(source.live)
    with ExitStack() as stack:
        outputs = _Outputs(sinks, stack)
        states = _StateRelay(source)
        frames = _timed_frames(source, max_frames)
        # A source without a readable frame fails here, before an output is started, unless the run waits for it.
        first = [] if states.waits_for_source else list(islice(frames, 1))
        outputs.start(_header(source, pipeline), statistics.summary)
        states.connect(outputs.sinks)
        with suppress(Stopped):
            for frame, result, stages_ms in _process(chain(first, frames), pipeline, outputs, statistics):
                if on_result:
                    on_result(frame, result)
                if on_frame:
                    on_frame(frame, result, stages_ms)
    return statistics.summary()


def _process(
    frames: Iterable[tuple[Frame, float]], pipeline: Pipeline, outputs: _Outputs, statistics: _Statistics
) -> Iterator[tuple[Frame, Result, Mapping[str, float]]]:
    """Yield each frame with its result and stage times in milliseconds, after it is written and counted."""
    for frame, decode_ms in frames:
        interrupts.check()
        result = pipeline(frame.image, timestamp_s=frame.timestamp_s)
        started_s = time.perf_counter()
        outputs.write(frame, result)
        write_ms = 1000 * (time.perf_counter() - started_s)
        stages_ms = {"decode": decode_ms, **result.stages_ms, "write": write_ms}
        statistics.add(frame, result, stages_ms)
        yield frame, result, stages_ms


class _Outputs:
    """All sinks of a run, and the event detector that they share.

    Attributes:
        sinks: In the order in which they were entered; sinks that close last are entered first.
    """

    def __init__(self, sinks: Iterable[Sink], stack: ExitStack) -> None:
        """Enter all sinks; the stack closes them."""
        self.sinks = sorted(sinks, key=lambda sink: not getattr(sink, "closes_last", False))
        for sink in self.sinks:
            stack.enter_context(sink)
        self._listeners = [sink for sink in self.sinks if isinstance(sink, EventListener)]
        self._detector = EventDetector(hold_s=HOLD_S) if self._listeners else None
        stack.callback(self._close_events)

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        for sink in self.sinks:
            sink.start(header, summary)

    def write(self, frame: Frame, result: Result) -> None:
        if self._detector is not None and (events := self._detector.update(result)):
            self._send(events, frame, result)
        for sink in self.sinks:
            sink.write(frame, result)

    def _close_events(self) -> None:
        """Send the "left" events of all faces that are still in view."""
        if self._detector is not None and (events := self._detector.close()):
            self._send(events, None, None)

    def _send(self, events: Sequence[Event], frame: Frame | None, result: Result | None) -> None:
        for listener in self._listeners:
            listener.handle_events(events, frame, result)


class _Statistics:
    """Counts and times of a run, in bounded memory."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._reconnecting = source if isinstance(source, ReconnectingSource) else None
        self._started_s = time.perf_counter()
        self._frames = 0
        self._labels: Counter[str] = Counter()
        self._delays_ms: deque[float] = deque(maxlen=_WINDOW_FRAMES)
        self._stages_ms: dict[str, deque[float]] = {stage: deque(maxlen=_WINDOW_FRAMES) for stage in STAGES}

    def add(self, frame: Frame, result: Result, stages_ms: Mapping[str, float]) -> None:
        """Count one frame that has just been written."""
        self._frames += 1
        if frame.captured_s is not None:
            self._delays_ms.append(1000 * (time.monotonic() - frame.captured_s))
        self._labels.update(face.emotion.label for face in result.faces)
        for stage, value in stages_ms.items():
            self._stages_ms[stage].append(value)

    def summary(self) -> RunSummary:
        """Return the summary of the run so far; safe to call from other threads."""
        source = self._source
        return RunSummary(
            frames=self._frames,
            faces=self._labels.total(),
            labels=dict(self._labels),
            elapsed_s=time.perf_counter() - self._started_s,
            stages_ms={stage: _percentiles(times) for stage, times in self._stages_ms.items()},
            delay_ms=_percentiles(self._delays_ms) if source.live else None,
            dropped=source.dropped if source.live else None,
            reconnects=None if self._reconnecting is None else self._reconnecting.reconnects,
            skipped=source.skipped or None,
        )


def _percentiles(times_ms: deque[float]) -> dict[str, float]:
    values = list(times_ms)  # a copy, because frames may be added while another thread requests a summary
    values.sort()
    return {f"p{q}": round(_interpolated(values, q / 100), 3) for q in (50, 95)} if values else {}


def _interpolated(values: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values; NumPy would take longer than a tiny picture."""
    position = share * (len(values) - 1)
    lower = int(position)
    upper = min(lower + 1, len(values) - 1)
    return values[lower] + (position - lower) * (values[upper] - values[lower])


class _StateRelay:
    """Relay of live source states to the sinks, including states from before the sinks were started.

    Attributes:
        waits_for_source: True if the run starts although the source may still be unavailable.
    """

    def __init__(self, source: Source) -> None:
        self._listeners: list[StateListener] | None = None
        self._early: list[SourceState] = []
        self.waits_for_source = False
        if isinstance(source, ReconnectingSource):
            self.waits_for_source = source.waits_for_source
            source.add_state_listener(self._forward)

    def connect(self, sinks: Iterable[Sink]) -> None:
        """Forward the states received so far, and all later ones."""
        self._listeners = [sink for sink in sinks if isinstance(sink, StateListener)]
        for state in self._early:
            self._forward(state)

    def _forward(self, state: SourceState) -> None:
        if self._listeners is None:
            self._early.append(state)
        else:
            for listener in self._listeners:
                listener.source_state(state)


def _header(source: Source, pipeline: Pipeline) -> RunHeader:
    classifier = pipeline.classifier
    card = getattr(classifier, "card", None)  # only classifiers that read a model file have a model card
    name, sha256 = (type(classifier).__name__, "") if card is None else (card.name, card.sha256)
    # A plugin's source may be named by its address.
    source_name = without_credentials(source.name) if "://" in source.name else source.name
    return RunHeader(
        source_name, source.fps, classifier.labels, name, sha256, versions(), not source.continuous, source.live,
        # Any callable with a classifier is a pipeline.
        unknown_below=getattr(pipeline, "unknown_below", 0.0),
        has_poses=getattr(getattr(pipeline, "detector", None), "estimates_pose", False),
    )  # fmt: skip


def _timed_frames(source: Source, max_frames: int | None) -> Iterator[tuple[Frame, float]]:
    """Yield each frame with the time taken to read it, in milliseconds."""
    frames = iter(source)
    read = 0
    while max_frames is None or read < max_frames:
        started_s = time.perf_counter()
        frame = next(frames, None)
        if frame is None:
            return
        yield frame, 1000 * (time.perf_counter() - started_s)
        read += 1
