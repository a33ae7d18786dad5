"""Every output of a run, as its options name them: checked together, opened together or not at all."""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer.errors import UsageError
from edgeinfer.rotation import Rotation
from edgeinfer.sinks import Sink, check_target, open_sink


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

    def __post_init__(self) -> None:
        for target in self.out:
            check_target(target)
        names = [*self.out, *([self.save_video] if self.save_video else [])]
        if len(set(names)) < len(names):
            raise UsageError("two outputs have the same name")
        traces = {"--save-video": self.save_video, "--show": self.show, "--webhook": self.webhook}
        if self.anonymous and any(traces.values()):
            named = " and ".join(option for option, wanted in traces.items() if wanted)
            raise UsageError(f"--anonymous leaves nothing of anybody; it does not go with {named}")
        if self.webhook is not None:
            from edgeinfer.webhook import check_url  # noqa: PLC0415 - slow to load, and seldom needed

            check_url(self.webhook)
        _ = self.rotation

    @property
    def rotation(self) -> Rotation | None:
        """How files are split, if they are."""
        return Rotation.parse(self.split_size, self.split_every, self.keep)

    def open(self) -> list[Sink]:
        """Open all of them, what may be refused before any file.

        Raises:
            CapabilityError: no window can be shown.
            OutputError: an output cannot be written.
        """
        from edgeinfer.notify import NotifySink, wanted  # noqa: PLC0415 - slow to load, and seldom needed
        from edgeinfer.pictures import VideoSink, WindowSink  # noqa: PLC0415

        sinks: list[Sink] = [WindowSink()] if self.show else []
        if self.save_video:
            sinks.append(VideoSink(self.save_video, append=self.append, blur=self.blur_faces))
        if self.webhook:
            from edgeinfer.webhook import WebhookSink  # noqa: PLC0415

            sinks.append(WebhookSink(self.webhook))
        if wanted():
            sinks.append(NotifySink())
        options = {"append": self.append, "rotation": self.rotation, "anonymous": self.anonymous}
        return [*(open_sink(target, **options) for target in self.out), *sinks]  # type: ignore[arg-type]
