"""Construction of the parts of a run from its option groups."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from edgeinfer.detection.base import parse_detect_every
from edgeinfer.errors import UsageError
from edgeinfer.options.files import check_parts, copy_layout, output_files
from edgeinfer.options.groups import (
    CaptureOptions,
    ContentOptions,
    DetectionOptions,
    IntegrationOptions,
    LiveOptions,
    ModelOptions,
    OutputOptions,
)
from edgeinfer.sources.base import Capture
from edgeinfer.sources.retry import Patience, parse_retries
from edgeinfer.system.identity import check_distinct
from edgeinfer.units import parse_duration, parse_size_wh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edgeinfer.outputs.base import Sink
    from edgeinfer.outputs.picture_copies import PictureCopySink
    from edgeinfer.outputs.rotation import Rotation
    from edgeinfer.pipeline import Pipeline
    from edgeinfer.results import Frame


def build_pipeline(model: ModelOptions, detection: DetectionOptions, *, continuous: bool) -> Pipeline:
    """Build the pipeline of a run.

    Args:
        model: Expression model options.
        detection: Detector options.
        continuous: True if frames follow each other, as in a video; without it nothing is tracked.

    Raises:
        UsageError: An option is out of range or does not apply to the detector or the model.
        CapabilityError: OpenCV lacks what the detector needs.
        ModelError: A model or cascade is missing or invalid.
    """
    from edgeinfer.expression.prior import read_prior  # noqa: PLC0415 - loads numpy
    from edgeinfer.pipeline import load_pipeline  # noqa: PLC0415 - loads OpenCV

    return load_pipeline(
        model=model.model,
        detector=detection.detector,
        detector_model=detection.detector_model,
        cascade=detection.cascade,
        detect_every=parse_detect_every(detection.detect_every) if continuous else "auto",
        track=continuous,
        threads=model.threads or 1,
        prior=read_prior(model.prior),
        unknown_below=model.unknown_below,
        min_face=detection.min_face,
    )


def build_capture(options: CaptureOptions) -> Capture:
    """Build the capture settings of a source.

    Raises:
        UsageError: The size is malformed or a value is out of range.
    """
    size_wh = None if options.size is None else parse_size_wh(options.size)
    return Capture(size_wh, options.fps, options.rotate, options.flip, options.pixels, options.max_megapixels)


def build_retry_policy(options: LiveOptions) -> Patience:
    """Build the timeouts and retries of a live source.

    Raises:
        UsageError: A value is out of range.
    """
    retries = None if options.retries is None else parse_retries(options.retries)
    return Patience(stall_s=options.stall_timeout, retries=retries)


def build_rotation(options: OutputOptions) -> Rotation | None:
    """Build the rotation of result files, or None if none is requested.

    Raises:
        UsageError: `keep` is given without a size or a time, or a value is out of range.
    """
    from edgeinfer.outputs.rotation import Rotation  # noqa: PLC0415

    return Rotation.parse(options.split_size, options.split_every, options.keep)


def check_outputs(outputs: OutputOptions, integrations: IntegrationOptions, content: ContentOptions) -> None:
    """Validate outputs that exclude or require each other; nothing is opened.

    Raises:
        UsageError: Two outputs are the same file, an output is not anonymous although `anonymous` is set, an address
            is invalid, or two options exclude each other.
    """
    check_distinct(output_files(outputs), ())
    if outputs.append and outputs.no_overwrite:
        raise UsageError("`append` and `no_overwrite` exclude each other; remove one of them")
    identifying = {
        "save_video": outputs.save_video, "save_pictures": outputs.save_pictures, "show": outputs.show,
        "snapshots": outputs.snapshots, "webhook": integrations.webhook, "mqtt": integrations.mqtt,
        "osc": integrations.osc, "preview": integrations.preview,
    }  # fmt: skip
    if outputs.anonymous and any(identifying.values()):
        named = " and ".join(f"`{name}`" for name, value in identifying.items() if value)
        raise UsageError(f"`anonymous` excludes outputs about single faces; remove {named}")
    if outputs.anonymous and content.empty_frames:
        raise UsageError("`anonymous` writes no rows for frames; remove `empty_frames`")
    if integrations.webhook is not None:
        from edgeinfer.outputs import webhook  # noqa: PLC0415 - slow to import

        webhook.check_url(integrations.webhook)
    if integrations.mqtt is not None:
        from edgeinfer.outputs import mqtt  # noqa: PLC0415 - slow to import

        mqtt.check_url(integrations.mqtt)
    elif integrations.ha:
        raise UsageError("`ha` announces the device through an MQTT broker; set `mqtt` too")
    if integrations.osc is not None:
        from edgeinfer.outputs import osc  # noqa: PLC0415 - slow to import

        osc.check_address(integrations.osc)
    if integrations.preview is not None:
        from edgeinfer.outputs.preview import check_access  # noqa: PLC0415 - slow to import

        check_access(integrations.preview, integrations.preview_token)
    elif integrations.stay:
        raise UsageError("`stay` keeps the preview open after the end of the source; set `preview` too")
    if build_rotation(outputs) is not None:
        check_parts(outputs.out)


def build_sinks(
    outputs: OutputOptions,
    integrations: IntegrationOptions,
    content: ContentOptions,
    sources: Sequence[str] = (),
    capture: Capture | None = None,
) -> list[Sink]:
    """Build all sinks of a run; they open their files and connections when they are entered.

    Args:
        outputs: Output options.
        integrations: Integration options.
        content: Content options.
        sources: Sources as given; they determine the layout of annotated pictures.
        capture: Capture settings of the source.

    Raises:
        UsageError: See `check_outputs`.
        CapabilityError: MQTT or OSC needs a package that is not installed.
    """
    from edgeinfer.outputs.factory import open_sink  # noqa: PLC0415

    check_outputs(outputs, integrations, content)
    rotation = build_rotation(outputs)
    files = [
        open_sink(
            target,
            append=outputs.append,
            rotation=rotation,
            anonymous=outputs.anonymous,
            empty_frames=content.empty_frames,
            no_overwrite=outputs.no_overwrite,
        )
        for target in outputs.out
    ]
    blur = content.blur_faces
    sinks = [*files, *_picture_sinks(outputs, blur=blur), *_integration_sinks(integrations, blur=blur)]
    if outputs.save_pictures is not None:
        layout = copy_layout(outputs.save_pictures, sources)
        decoding = capture or Capture()
        sinks.append(
            build_picture_copies(
                layout.target, decoding, folder=layout.folder, blur=blur, no_overwrite=outputs.no_overwrite
            )
        )
    return sinks


def build_picture_copies(
    target: Callable[[Frame], Path],
    capture: Capture,
    *,
    folder: str | None = None,
    blur: bool = False,
    no_overwrite: bool = False,
) -> PictureCopySink:
    """Build the sink that writes annotated copies of pictures.

    Args:
        target: Function that returns the path of the copy of a frame with a picture; a missing suffix is added.
        capture: Capture settings of the source, with which reduced pictures are read again at their full size.
        folder: Folder that is created before the first picture and named in the summary; None for neither.
        blur: Make faces unrecognizable.
        no_overwrite: Refuse to replace an existing copy.
    """
    from edgeinfer.outputs.picture_copies import PictureCopySink  # noqa: PLC0415 - loads OpenCV
    from edgeinfer.sources.pictures import read_full_size, with_picture_suffix  # noqa: PLC0415

    def complete_target(frame: Frame) -> Path:
        return with_picture_suffix(target(frame), frame.picture or "")

    read = partial(read_full_size, capture=capture)
    return PictureCopySink(complete_target, read=read, folder=folder, blur=blur, no_overwrite=no_overwrite)


def _picture_sinks(options: OutputOptions, *, blur: bool) -> Iterator[Sink]:
    """Yield the sinks that show or save frames; their modules are slow to import and seldom needed."""
    if options.show:
        from edgeinfer.outputs.window import WindowSink  # noqa: PLC0415

        yield WindowSink()
    if options.save_video:
        from edgeinfer.outputs.video import VideoSink  # noqa: PLC0415

        yield VideoSink(options.save_video, append=options.append, blur=blur)
    if options.snapshots is not None:
        from edgeinfer.outputs.snapshots import SnapshotSink  # noqa: PLC0415

        age_s = None if options.snapshots_age is None else parse_duration(options.snapshots_age)
        yield SnapshotSink(options.snapshots, keep=options.snapshots_keep, age_s=age_s, blur=blur)


def _integration_sinks(options: IntegrationOptions, *, blur: bool) -> Iterator[Sink]:
    """Yield the sinks that serve or notify other programs."""
    if options.preview is not None:
        from edgeinfer.outputs.preview import PreviewSink  # noqa: PLC0415

        yield PreviewSink(options.preview, token=options.preview_token, blur=blur, stay=options.stay)
    if options.webhook:
        from edgeinfer.outputs.webhook import WebhookSink  # noqa: PLC0415

        yield WebhookSink(options.webhook)
    if options.mqtt is not None:
        from edgeinfer.outputs.mqtt import MqttSink  # noqa: PLC0415

        yield MqttSink(options.mqtt, home_assistant=options.ha)
    if options.osc is not None:
        from edgeinfer.outputs.osc import OscSink  # noqa: PLC0415

        yield OscSink(options.osc)
    from edgeinfer.outputs import systemd  # noqa: PLC0415

    if systemd.has_notify_socket():
        yield systemd.SystemdSink()
