"""Processing of the jobs of a batch in one process."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinfer.batch.jobs import Job, Kind, Outcome, Progress, Status, WorkSettings
from edgeinfer.errors import CapabilityError, OutputError, SourceError, one_line, path_text, shown_path
from edgeinfer.options.build import build_picture_copies, build_pipeline
from edgeinfer.sources.base import Capture, Source
from edgeinfer.system.files import PARTIAL_PREFIX, partial_path
from edgeinfer.system.hardware import limit_opencv_threads
from edgeinfer.system.portable import sync_file

if TYPE_CHECKING:
    from edgeinfer.options.groups import ContentOptions
    from edgeinfer.outputs.base import Sink
    from edgeinfer.pipeline import Pipeline
    from edgeinfer.results import Frame, Result

PROGRESS_S = 0.5
"""Shortest time between two progress reports of one job, in seconds."""
MAX_REASON_CHARACTERS = 1000
FLUSH_S: dict[Kind, float] = {"video": 3600.0, "pictures": 0.0}
"""Longest time that a line stays in the buffer, in seconds.

Unfinished results are not kept, so the lines of videos are written when the buffer is full. Those of pictures are
written at once, because a source may be a single one, for which a timer would take longer than the line.
"""


class Worker:
    """Pipeline of one worker process: the model and the cascade are loaded once, for all jobs.

    Importing this module loads neither OpenCV nor onnxruntime; `prepare` does.
    """

    def __init__(self, settings: WorkSettings) -> None:
        """Store the settings; see `prepare`."""
        self._settings = settings
        decoding = settings.decoding
        self._capture = Capture(rotate=decoding.rotate, flip=decoding.flip, max_megapixels=decoding.max_megapixels)
        self._pipelines: dict[bool, Pipeline] = {}

    def prepare(self) -> None:
        """Limit the threads of this process and load the model and the detector, once; `process` calls it too.

        Raises:
            UsageError: An option is out of range or does not apply to the detector or the model.
            CapabilityError: OpenCV lacks a feature that the detector needs.
            ModelError: A model or cascade is missing or invalid.
        """
        if self._pipelines:
            return
        from edgeinfer.pipeline import Pipeline  # noqa: PLC0415 - loads OpenCV

        settings = self._settings
        threads = settings.model.threads or 1
        os.environ["OPENCV_FFMPEG_THREADS"] = str(threads)  # of the decoder; it would start one per core
        limit_opencv_threads(threads, live=False)
        tracking = build_pipeline(settings.model, settings.detection, continuous=True)
        single = Pipeline(
            tracking.detector,
            tracking.classifier,
            track=False,
            unknown_below=settings.model.unknown_below,
            min_face=settings.detection.min_face,
        )
        self._pipelines = {True: tracking, False: single}

    def process(self, job: Job, on_progress: Callable[[Progress], None] = lambda _: None) -> Outcome:
        """Process one job and write its results to their temporary paths.

        Args:
            job: Source, chunk of pictures, or chunks to merge.
            on_progress: Callback for the progress, called at most twice per second.

        Returns:
            The outcome. An unreadable source, a lack of memory and an unexpected exception are outcomes with the status
            "failed", without results.

        Raises:
            OutputError: A result cannot be written.
            EdgeInferError: See `prepare`.
        """
        self.prepare()
        started_s = time.perf_counter()
        try:
            remove_partial_results(job)
            with _output_errors(job):
                _make_folders(job)
            outcome = self._merge(job) if job.chunks else self._run(job, on_progress)
            with _output_errors(job):
                _sync_results(job)
        except OutputError as error:
            remove_partial_results(job)
            raise OutputError(_final_names(str(error), job)) from error
        except CapabilityError:
            remove_partial_results(job)
            raise
        except Exception as error:  # of one source, which must not end the others
            remove_partial_results(job)
            outcome = Outcome("failed", _reason([_sentence(error)]))
        return replace(outcome, elapsed_s=round(time.perf_counter() - started_s, 3))

    def _run(self, job: Job, on_progress: Callable[[Progress], None]) -> Outcome:
        """Run the pipeline over the source of a job."""
        from edgeinfer import runner  # noqa: PLC0415 - loads OpenCV

        tally = _Tally(job.number, on_progress)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            with _open(job, self._capture) as source:
                pipeline = self._pipelines[source.continuous]
                pipeline.reset()
                sinks = _sinks(job, self._settings.content, self._capture)
                limit = self._settings.max_frames
                summary = runner.run(source, pipeline, sinks, max_frames=limit, on_result=tally.add)
                tracks, duration_s = tally.totals(source) if source.continuous else (0, 0.0)
        remarks = [str(warning.message) for warning in caught]
        status: Status = "done" if summary.faces else "no_faces"
        return Outcome(status, _reason(remarks), summary.frames, summary.faces, tracks, duration_s)

    def _merge(self, job: Job) -> Outcome:
        """Merge the results of all chunks; the parent has their counts."""
        from edgeinfer.batch.merging import merge_chunks  # noqa: PLC0415 - only for many pictures

        for suffix, chunks in job.chunks.items():
            merge_chunks(suffix, [Path(chunk) for chunk in chunks], Path(job.results[suffix]))
        return Outcome("done")


class _Tally:
    """Tracks and times of the frames of one job, with progress reports."""

    def __init__(self, job: int, on_progress: Callable[[Progress], None]) -> None:
        self._job, self._on_progress = job, on_progress
        self._tracks: set[int] = set()
        self._frames = 0
        self._first_s = self._before_s = self._latest_s = 0.0
        self._reported_s = time.perf_counter()

    def add(self, frame: Frame, result: Result) -> None:
        """Count one frame."""
        self._before_s, self._latest_s = self._latest_s, frame.timestamp_s
        if not self._frames:
            self._first_s = frame.timestamp_s
        self._frames += 1
        self._tracks.update(face.track_id for face in result.faces)
        now_s = time.perf_counter()
        if now_s - self._reported_s >= PROGRESS_S:
            self._reported_s = now_s
            self._on_progress(Progress(self._job, self._frames, self._latest_s))

    def totals(self, source: Source) -> tuple[int, float]:
        """Return the number of tracks, and the time from the first to the end of the last frame in seconds."""
        interval_s = self._latest_s - self._before_s if self._frames > 1 else 0.0
        end_s = self._latest_s + (1 / source.fps if source.fps else interval_s)
        return len(self._tracks), round(end_s - self._first_s, 4)


def remove_partial_results(job: Job) -> None:
    """Remove what an unfinished job has written, as far as possible."""
    for path in _written(job):
        for file in (path, partial_path(path)):  # the second one is that of the Parquet sink
            with suppress(OSError):
                file.unlink()


def _written(job: Job) -> list[Path]:
    video = () if job.annotated_video is None else (job.annotated_video,)
    return [Path(path) for path in (*job.results.values(), *video)]


def _make_folders(job: Job) -> None:
    for folder in {path.parent for path in _written(job)}:
        folder.mkdir(parents=True, exist_ok=True)


def _sync_results(job: Job) -> None:
    """Wait until the results are on the disk, so that they may be renamed."""
    for path in _written(job):
        sync_file(path)


@contextmanager
def _output_errors(job: Job) -> Iterator[None]:
    """Turn an OSError into an OutputError."""
    try:
        yield
    except OSError as error:
        path = error.filename or job.source
        raise OutputError(f"cannot write {shown_path(path)}: {error.strerror or error}") from error


def _open(job: Job, capture: Capture) -> Source:
    """Open the source of a job under the name that it has in a run.

    Raises:
        SourceError: It cannot be opened.
    """
    from edgeinfer.sources.factory import open_source  # noqa: PLC0415 - loads OpenCV
    from edgeinfer.sources.pictures import PictureSource  # noqa: PLC0415

    if job.kind == "pictures":
        first_index = job.first_index if job.is_chunk else None
        return PictureSource(job.files, name=job.name, capture=capture, first_index=first_index)
    source = open_source(_file_name(job.files[0]), mode="file", capture=capture)
    source.name = path_text(job.name)
    return source


def _file_name(path: str) -> str:
    """Return a name of a file that `open_source` does not take for a camera, an address or stdin."""
    is_plain = path.startswith("/") or not (":" in path or path.isdecimal() or path == "-")
    return path if is_plain else f"./{path}"


def _sinks(job: Job, content: ContentOptions, capture: Capture) -> Iterator[Sink]:
    """Yield the outputs of a job."""
    from edgeinfer.outputs.factory import open_sink  # noqa: PLC0415 - loads OpenCV
    from edgeinfer.outputs.parquet import ParquetSink  # noqa: PLC0415

    for suffix, path in job.results.items():
        if suffix == "parquet":
            yield ParquetSink(path, job.source, empty_frames=content.empty_frames)
        else:
            yield open_sink(path, flush_s=FLUSH_S[job.kind], empty_frames=content.empty_frames)
    if job.annotated_video is not None:
        from edgeinfer.outputs.video import VideoSink  # noqa: PLC0415

        yield VideoSink(job.annotated_video, blur=content.blur_faces, threads=1)
    if job.annotated_pictures:
        paths = job.annotated_pictures
        yield build_picture_copies(
            lambda frame: Path(paths[frame.index - job.first_index]), capture, blur=content.blur_faces
        )


def _final_names(message: str, job: Job) -> str:
    """Return a message about an output with the final file names; unfinished results are not kept."""
    from edgeinfer.outputs.line_writer import LINES_KEPT  # noqa: PLC0415 - after an error only

    for path in _written(job):
        prefix = f"{PARTIAL_PREFIX}{job.token}." if job.token else PARTIAL_PREFIX
        final = path.with_name(path.name.removeprefix(prefix))
        message = message.replace(shown_path(path), shown_path(final))
    return message.removesuffix(LINES_KEPT)


def _sentence(error: Exception) -> str:
    if isinstance(error, SourceError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    return f"unexpected {type(error).__name__}: {error}"


def _reason(sentences: Sequence[str]) -> str:
    """Return one line of valid Unicode with at most `MAX_REASON_CHARACTERS`."""
    text = one_line(path_text("; ".join(sentences)))
    return text if len(text) <= MAX_REASON_CHARACTERS else f"{text[: MAX_REASON_CHARACTERS - 3]}..."
