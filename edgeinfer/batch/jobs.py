"""Types that the parts of a batch share: sources, jobs, outcomes, and the role of a worker pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, Self, TypeAlias

from edgeinfer.options.groups import ContentOptions, DecodingOptions, DetectionOptions, ModelOptions, ResultFormat
from edgeinfer.outputs.subtitles import FORMATS as SUBTITLE_FORMATS

Kind = Literal["video", "pictures"]
Status = Literal["done", "no_faces", "failed"]

CHUNK_PICTURES = 500
"""Maximum number of pictures that one job processes."""


@dataclass(frozen=True, slots=True)
class BatchSource:
    """One source of a batch: a video, one picture, or the pictures directly inside one folder.

    Attributes:
        path: Relative path, which is the `source` in batch.csv, with "/" as separator. For the pictures of a folder it
            ends in "/pictures" (or is "pictures").
        kind: Kind of the files.
        name: Source as given, for the header of a result: the file, or the folder of the pictures.
        files: Paths of the files as given: an argument, or an argument joined with the path below it. One file for a
            video; the pictures of a folder in natural order.
        result: Path of the results below the batch's folder, without the suffix of the format.
        size_bytes: Total size of the files.
        fingerprint: Hash of the identities (resolved path), sizes and modification times of the files.
    """

    path: str
    kind: Kind
    name: str
    files: tuple[str, ...]
    result: str
    size_bytes: int
    fingerprint: str


def formats_of(kind: Kind, formats: Iterable[ResultFormat]) -> tuple[ResultFormat, ...]:
    """Return the formats of the results of a source: pictures have no subtitles.

    Args:
        kind: Kind of the source.
        formats: Requested formats.
    """
    return tuple(suffix for suffix in formats if kind == "video" or f".{suffix}" not in SUBTITLE_FORMATS)


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """Settings of all jobs of a batch; picklable.

    Attributes:
        model: Expression model options.
        detection: Detection options.
        decoding: Orientation and size limit.
        content: Content of the results.
        max_frames: Maximum number of frames of one source, or None.
    """

    model: ModelOptions
    detection: DetectionOptions
    decoding: DecodingOptions
    content: ContentOptions
    max_frames: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Work of one worker at a time: a source, or a chunk of its pictures.

    Attributes:
        number: Number of the job, unique in the batch.
        source: Relative path of the source.
        kind: Kind of the files.
        name: Source as given, for the header of the results.
        files: Paths of the files.
        first_index: Index of the first picture in its source.
        results: Temporary path of the result by format. The worker replaces what is there, and syncs it to disk.
        annotated_video: Temporary path of the annotated copy, or None.
        annotated_pictures: Final path of the annotated copy of each picture, in the order of `files`; empty for none.
        is_chunk: True if the files are only a part of the pictures of the source, of which none needs to be readable.
        chunks: Paths of the results of all chunks by format, in order. If there are any, the job merges them into
            `results`, and `files` is not read.
        token: Token in the temporary paths of a repeated job (see `partial_path`), because the process that was lost
            may still be running on a machine that does not answer; empty at first.
    """

    number: int
    source: str
    kind: Kind
    name: str
    files: tuple[str, ...]
    first_index: int
    results: Mapping[ResultFormat, str]
    annotated_video: str | None = None
    annotated_pictures: tuple[str, ...] = ()
    is_chunk: bool = False
    chunks: Mapping[ResultFormat, tuple[str, ...]] = field(default_factory=dict)
    token: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a job, or of all jobs of one source.

    Attributes:
        status: "no_faces" is a success.
        reason: Cause of a failure, or a remark about a success, such as a truncated source; may be empty.
        frames: Number of processed frames or pictures.
        faces: Number of faces, summed over all frames.
        tracks: Number of tracks; 0 for pictures, which are not tracked.
        duration_s: Presentation time from the first to the end of the last frame, in seconds; 0 for pictures.
        elapsed_s: Processing time in seconds.
    """

    status: Status
    reason: str = ""
    frames: int = 0
    faces: int = 0
    tracks: int = 0
    duration_s: float = 0.0
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a running job.

    Attributes:
        job: Number of the job.
        frames: Number of frames processed so far.
        time_s: Presentation time of the latest frame, in seconds.
    """

    job: int
    frames: int
    time_s: float


@dataclass(frozen=True, slots=True)
class Finished:
    """End of a job.

    Attributes:
        job: Number of the job.
        outcome: Its result. The worker reports errors of the source as an outcome with the status "failed".
    """

    job: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Died:
    """Loss of a job by the death of its process; it is not submitted again by the pool.

    A pool may give the jobs that were waiting for that process to another one without reporting them.

    Attributes:
        job: Number of the job.
        reason: Cause, such as "killed by SIGKILL".
        blames_job: False if the job is not the likely cause: the whole node was lost, or the job was still waiting.
    """

    job: int
    reason: str
    blames_job: bool = True


PoolEvent: TypeAlias = Progress | Finished | Died


class WorkerPool(Protocol):
    """Role of a set of workers. Entering starts them; leaving ends them at once, with the jobs in progress."""

    @property
    def capacity(self) -> int:
        """Number of jobs that may be submitted and unfinished: running ones, and a few that keep the workers busy.

        It may change between calls of `wait`.
        """

    @property
    def description(self) -> str:
        """Sentence for the user about the number of workers and the reason for it."""

    def submit(self, job: Job) -> None:
        """Start a job as soon as a worker is free."""

    def wait(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Return the events that have arrived, after the first one or the timeout.

        Raises:
            EdgeInferError: A worker cannot build the pipeline (model refused, capability missing, invalid option), or
                an output cannot be written; this ends the batch with the error's exit code.
        """

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
