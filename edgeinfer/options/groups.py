"""Option groups of `edgeinfer run`, `bench` and everything else that runs a pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from edgeinfer.options.fields import option
from edgeinfer.sources.base import Mode, Pixels, Turn
from edgeinfer.sources.picture_size import LARGEST_LIMIT_MEGAPIXELS, MAX_MEGAPIXELS
from edgeinfer.sources.retry import parse_retries
from edgeinfer.units import parse_duration, parse_shard, parse_size, parse_size_wh, parse_workers

ResultFormat = Literal["csv", "jsonl", "parquet", "srt", "vtt"]
"""Formats of a batch's results; the value is the suffix of the file."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Files and windows that a run writes."""

    title: ClassVar[str] = "Output"

    out: tuple[str, ...] = option(
        (),
        "Result file: .jsonl, .csv, .parquet, - for JSONL on stdout, or subtitles: .srt, .vtt. Repeatable.",
        metavar="FILE",
        check="edgeinfer.outputs.factory:check_target",
        plugins="sinks",
    )
    save_video: str | None = option(
        None,
        "Annotated copy as .mp4, .mkv or .webm; H.264 with the extra `video`.",
        metavar="FILE.mp4",
        link="annotated-copies",
    )
    save_pictures: str | None = option(
        None,
        "Annotated copies of pictures, in the layout of the sources.",
        metavar="FOLDER",
        link="annotated-copies",
    )
    show: bool = option(False, "Show the annotated frames in a window; q or Escape ends the run.")
    append: bool = option(
        False, "Append to existing output files instead of overwriting them.", link="append-and-rotation"
    )
    no_overwrite: bool = option(
        False,
        "Exit with 6, before anything is processed, if an output exists already.",
        flags=("--no-overwrite/--overwrite",),
        link="append-and-rotation",
    )
    split_size: str | None = option(
        None,
        "Start a new file at this size, for example 500kB, 100MB or 1GB.",
        metavar="SIZE",
        check=parse_size,
        link="append-and-rotation",
    )
    split_every: str | None = option(
        None,
        "Start a new file at each multiple of this time (UTC), for example 30m, 1h or 1d.",
        metavar="TIME",
        check=parse_duration,
        link="append-and-rotation",
    )
    keep: int | None = option(None, "Number of finished parts to keep. Default: all.", metavar="N", minimum=1)
    snapshots: str | None = option(
        None, "Save an annotated JPEG when a face appears or changes.", metavar="FOLDER", link="snapshots"
    )
    snapshots_keep: int = option(1000, "Number of snapshots to keep.", metavar="N", minimum=1, link="snapshots")
    snapshots_age: str | None = option(
        None, "Delete snapshots older than this, for example 12h or 7d.", metavar="TIME", check=parse_duration,
        link="snapshots",
    )  # fmt: skip
    anonymous: bool = option(
        False, "Write per-minute counts only: no boxes, no pictures.", link="formats.md#anonymous-output"
    )


@dataclass(frozen=True, kw_only=True)
class ContentOptions:
    """Content of results and annotated copies, for one source or many."""

    title: ClassVar[str] = "Output"

    empty_frames: bool = option(
        False, "Write a .csv or .parquet row for each frame without faces too.", link="formats.md#csv"
    )
    blur_faces: bool = option(False, "Pixelate the detected faces in annotated copies, snapshots and the preview.")


@dataclass(frozen=True, kw_only=True)
class DetectionOptions:
    """Face detection and its schedule."""

    title: ClassVar[str] = "Detection"

    detector: str = option(
        "haar",
        "Face detector; none treats the whole frame as one face.",
        metavar="haar|yunet|none",
        check="edgeinfer.detection.base:check_detector",
        plugins="detectors",
    )
    detector_model: Path | None = option(
        None, "ONNX file of the detector. Default for yunet: the file from the extra yunet.", metavar="PATH"
    )
    cascade: str | None = option(None, "Cascade name or XML file. Default: the frontal face.", metavar="NAME|PATH")
    detect_every: str = option(
        "auto",
        "Frames between full-frame searches; auto schedules partial searches by time.",
        metavar="auto|N",
        check="edgeinfer.detection.base:parse_detect_every",
    )
    min_face: int | None = option(
        None, "Ignore faces whose box has a shorter side below this size.", metavar="PIXELS", minimum=1
    )


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Expression model and its interpretation."""

    title: ClassVar[str] = "Model"

    model: str | None = option(
        None,
        "Model file, or name of a bundled model; accurate is larger and slower. Default: the bundled int8 model.",
        metavar="NAME|PATH",
        check="edgeinfer.model.card:find_model",
        link="choice-of-the-model",
    )
    prior: str = option(
        "natural",
        "Expected share of each expression: as in the training data, equal, or from a file.",
        metavar="natural|balanced|FILE.json",
        check="edgeinfer.expression.prior:read_prior",
        link="expected-expressions",
    )
    unknown_below: float = option(
        0.0, "Label faces below this confidence `unknown`.", metavar="P", minimum=0, maximum=1, link="unknown"
    )
    threads: int | None = option(
        None, "CPU threads. Default: 1 for the model, OpenCV's own choice for the rest.", metavar="N", minimum=1
    )


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """Orientation and size limit of frames from any source."""

    title: ClassVar[str] = "Capture"

    rotate: Turn = option("auto", "Clockwise rotation in degrees; auto follows the file's metadata.")
    flip: bool = option(False, "Mirror frames horizontally, after the rotation.")
    max_megapixels: float = option(
        MAX_MEGAPIXELS,
        "Size limit of pictures and frames, in millions of pixels; larger ones are not decoded.",
        metavar="N",
        minimum=0.001,
        maximum=LARGEST_LIMIT_MEGAPIXELS,
        link="pictures",
    )


@dataclass(frozen=True, kw_only=True)
class CaptureOptions(DecodingOptions):
    """Decoding options, and the format requested from a camera or expected on stdin."""

    size: str | None = option(
        None, "Frame size requested from a camera, or of raw frames on stdin.", metavar="WxH", check=parse_size_wh
    )
    fps: float | None = option(
        None, "Frame rate requested from a camera, or of frames on stdin.", metavar="N", minimum=0.1, maximum=1000
    )
    pixels: Pixels | None = option(None, "Pixel format of raw frames on stdin. Default: MJPEG.")


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """Real-time behaviour: dropped frames, retries and temperature."""

    title: ClassVar[str] = "Live sources"

    mode: Mode = option(
        "auto", "file: every frame; live: the newest frame, in real time; auto: live for cameras and streams."
    )
    retries: str | None = option(
        None,
        "Consecutive attempts to open a live source. Default: none at the start, 5 after a loss.",
        metavar="N|forever",
        check=parse_retries,
        link="retries",
    )
    stall_timeout: float = option(
        5.0,
        "Seconds without a frame after which a live source is reopened.",
        metavar="SECONDS",
        minimum=0.1,
        maximum=3600,
        link="retries",
    )
    max_temp: float | None = option(
        None, "Reduce the frame rate above this processor temperature.", metavar="CELSIUS", minimum=1, maximum=150
    )


@dataclass(frozen=True, kw_only=True)
class IntegrationOptions:
    """Programs that receive events and states over the network."""

    title: ClassVar[str] = "Integrations"

    webhook: str | None = option(
        None, "POST an event to this URL when a face appears, changes or leaves.", metavar="URL", link="events"
    )
    mqtt: str | None = option(
        None, "Publish states and events to a broker: mqtt://[NAME:PASSWORD@]HOST[/TOPIC].", metavar="URL"
    )
    ha: bool = option(False, "Announce the device to Home Assistant through the MQTT broker.")
    osc: str | None = option(
        None, "Send the faces of each frame to this UDP address as Open Sound Control messages.", metavar="HOST:PORT"
    )
    preview: str | None = option(
        None, "Serve a page with the live picture; on 127.0.0.1 by default.", metavar="[HOST:]PORT", link="preview.md"
    )
    preview_token: str | None = option(
        None, "Token that the preview requires.", metavar="TOKEN", secret=True, link="preview.md"
    )
    stay: bool = option(False, "Keep serving the preview after the source has ended, until Ctrl-C.", link="preview.md")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Length and verbosity of a run."""

    title: ClassVar[str] = "Run"

    max_frames: int | None = option(None, "Stop after this number of frames.", metavar="N", minimum=1)
    quiet: bool = option(False, "Print neither progress nor summary.")


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Results, workers and resumption of a batch."""

    title: ClassVar[str] = "Batch"

    out: str | None = option(None, "Folder of the results; created if missing.", metavar="DIR")
    format: tuple[ResultFormat, ...] = option(
        (),
        "Format of results, csv by default; srt and vtt are subtitles. Repeatable; parquet needs the extra `batch`.",
    )
    per_picture: bool = option(False, "Write one result per picture instead of one per folder of pictures.")
    annotate_videos: bool = option(False, "Write annotated copies of videos below DIR/annotated.")
    annotate_pictures: bool = option(False, "Write annotated copies of pictures below DIR/annotated.")
    workers: str = option(
        "auto", "Number of worker processes; auto uses cores and memory.", metavar="auto|N", check=parse_workers
    )
    ray: str | None = option(
        None, "Run the workers on a Ray cluster; `local` starts one on this machine.", metavar="ADDRESS|local"
    )
    shard: str | None = option(
        None, "Process only part I of N, chosen by a hash of the path.", metavar="I/N", check=parse_shard
    )
    fresh: bool = option(False, "Process every source again.")
    verify: bool = option(False, "Detect changed sources by their content instead of size and modification time.")
    dry_run: bool = option(False, "List sources, results and skipped files, and process nothing.")


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Outputs and contents of a report."""

    title: ClassVar[str] = "Report"

    out: str | None = option(None, "Page to write; needs the extra `report`.", metavar="FILE.html")
    csv: str | None = option(None, "Summary to write, with one row per track.", metavar="FILE.csv")
    group: str | None = option(
        None,
        "Compare groups of recordings: the first capture group, or the match, of a regular expression in the name.",
        metavar="REGEX",
    )
    thumbnails: bool = option(False, "Include small pictures of faces from the sources.")
    sources: Path | None = option(
        None, "Folder of the sources, if they are not at the path in the result.", metavar="DIR"
    )


RUN_GROUPS = (
    OutputOptions, ContentOptions, DetectionOptions, ModelOptions, CaptureOptions, LiveOptions, IntegrationOptions,
    RunOptions,
)  # fmt: skip
"""Groups of `edgeinfer run` in the order of its help text."""

BATCH_GROUPS = (
    BatchOptions, ContentOptions, DetectionOptions, ModelOptions, DecodingOptions, RunOptions,
)  # fmt: skip
"""Groups of `edgeinfer batch` in the order of its help text."""
