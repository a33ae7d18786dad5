"""Every output of a run, as its options name them: checked together, opened together or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeinfer.errors import UsageError
from edgeinfer.outputs.base import Sink
from edgeinfer.outputs.factory import check_target, open_sink
from edgeinfer.outputs.rotation import Rotation
from edgeinfer.units import parse_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What a run writes, shows and tells; nothing is opened yet.

    Attributes:
        out: targets of `open_sink`.
        append: continue older files.
        split_size: size at which a file is split, such as "100MB", else None.
        split_every: time after which it is, such as "1h", else None.
        keep: finished parts that stay; None for all.
        save_video: path of an annotated copy, else None.
        blur_faces: make faces in it unrecognizable.
        show: show a window.
        anonymous: write counts by the minute alone.
        webhook: address that events are posted to, else None.
        snapshots: folder for pictures of events, else None.
        snapshots_keep: pictures that stay there.
        snapshots_age: age at which one goes, such as "7d", else None.
        mqtt: address of a broker that is told of everything, else None.
        ha: have Home Assistant find it there.
        preview: address that a page is served on, else None.
        preview_token: what its visitors must know, else None.

    Raises:
        UsageError: an output makes no sense, or two do not go together.
    """

    out: tuple[str, ...] = ()
    append: bool = False
    split_size: str | None = None
    split_every: str | None = None
    keep: int | None = None
    save_video: str | None = None
    blur_faces: bool = False
    show: bool = False
    anonymous: bool = False
    webhook: str | None = None
    snapshots: str | None = None
    snapshots_keep: int = 1000
    snapshots_age: str | None = None
    mqtt: str | None = None
    ha: bool = False
    preview: str | None = None
    preview_token: str | None = None

    def __post_init__(self) -> None:
        for target in self.out:
            check_target(target)
        names = [*self.out, *([self.save_video] if self.save_video else [])]
        if len(set(names)) < len(names):
            raise UsageError("two outputs have the same name")
        traces = {
            "--save-video": self.save_video, "--show": self.show, "--webhook": self.webhook,
            "--snapshots": self.snapshots, "--mqtt": self.mqtt, "--preview": self.preview,
        }  # fmt: skip
        if self.anonymous and any(traces.values()):
            named = " and ".join(option for option, wanted in traces.items() if wanted)
            raise UsageError(f"--anonymous leaves nothing of anybody; it does not go with {named}")
        if self.webhook is not None:
            from edgeinfer.outputs.webhook import check_url  # noqa: PLC0415 - slow to load, and seldom needed

            check_url(self.webhook)
        if self.mqtt is not None:
            from edgeinfer.outputs import mqtt  # noqa: PLC0415

            mqtt.check_url(self.mqtt)
        elif self.ha:
            raise UsageError("Home Assistant is told through a broker; give --mqtt with --ha")
        if self.preview is not None:
            from edgeinfer.outputs.preview.access import check_access  # noqa: PLC0415

            check_access(self.preview, self.preview_token)
        _ = self.rotation, self._snapshots_age_s

    @property
    def rotation(self) -> Rotation | None:
        """How files are split, if they are."""
        return Rotation.parse(self.split_size, self.split_every, self.keep)

    @property
    def _snapshots_age_s(self) -> float | None:
        return None if self.snapshots_age is None else parse_duration(self.snapshots_age)

    def open(self) -> list[Sink]:
        """Open all of them, what may be refused before any file.

        Raises:
            CapabilityError: no window can be shown.
            OutputError: an output cannot be written.
        """
        options = {"append": self.append, "rotation": self.rotation, "anonymous": self.anonymous}
        others = list(self._others())
        return [*(open_sink(target, **options) for target in self.out), *others]  # type: ignore[arg-type]

    def _others(self) -> Iterator[Sink]:
        """All but the files of results. Each brings modules that are slow to load, and seldom needed."""
        from edgeinfer.outputs.systemd import SystemdSink, has_notify_socket  # noqa: PLC0415

        if self.show or self.save_video:
            from edgeinfer.outputs.video import VideoSink  # noqa: PLC0415
            from edgeinfer.outputs.window import WindowSink  # noqa: PLC0415

            if self.show:
                yield WindowSink()
            if self.save_video:
                yield VideoSink(self.save_video, append=self.append, blur=self.blur_faces)
        if self.snapshots is not None:
            from edgeinfer.outputs.snapshots import SnapshotSink  # noqa: PLC0415

            age_s = self._snapshots_age_s
            yield SnapshotSink(self.snapshots, keep=self.snapshots_keep, age_s=age_s, blur=self.blur_faces)
        if self.preview is not None:
            from edgeinfer.outputs.preview.sink import PreviewSink  # noqa: PLC0415

            yield PreviewSink(self.preview, token=self.preview_token, blur=self.blur_faces)
        if self.webhook:
            from edgeinfer.outputs.webhook import WebhookSink  # noqa: PLC0415

            yield WebhookSink(self.webhook)
        if self.mqtt is not None:
            from edgeinfer.outputs.mqtt import MqttSink  # noqa: PLC0415

            yield MqttSink(self.mqtt, home_assistant=self.ha)
        if has_notify_socket():
            yield SystemdSink()
