"""OSC bundles of frames. Imports python-osc, which is an optional dependency.

The bytes follow Open Sound Control 1.0 (Wright 2002, opensoundcontrol.stanford.edu/spec-1_0.html).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from pythonosc.osc_message_builder import ArgValue, OscMessageBuilder

from edgeinfer.outputs.events import LEFT_AFTER_S
from edgeinfer.outputs.summary import RunHeader
from edgeinfer.results import Face, Result, State

ROOT = "/edgeinfer"
MAX_BUNDLE_BYTES = 8192
"""Size from which a frame continues in another bundle; macOS refuses datagrams above 9,216 bytes."""
_BUNDLE, _IMMEDIATELY = b"#bundle\0", (1).to_bytes(8, "big")


class FaceSlots:
    """Numbers of the faces in view, from 1.

    A face keeps its number until `LEFT_AFTER_S` after its last appearance; then the number is free for another face.
    """

    def __init__(self, *, hold_s: float = LEFT_AFTER_S) -> None:
        """Initialize without faces.

        Args:
            hold_s: Time out of view for which a number is kept, in seconds.
        """
        self._hold_s = hold_s
        self._held: dict[int, tuple[int, float]] = {}

    def update(self, result: Result) -> dict[int, Face | None]:
        """Return the face of each number; None for a number whose face is out of view or has just left."""
        now_s, in_view = result.timestamp_s, {face.track_id for face in result.faces}
        left = [
            track_id
            for track_id, (_, seen_s) in self._held.items()
            if track_id not in in_view and not 0 <= now_s - seen_s < self._hold_s
        ]
        shown: dict[int, Face | None] = {self._held.pop(track_id)[0]: None for track_id in left}
        shown |= {slot: None for slot, _ in self._held.values()}
        for face in result.faces:
            slot = self._held[face.track_id][0] if face.track_id in self._held else self._lowest_free()
            self._held[face.track_id] = slot, now_s
            shown[slot] = face
        return dict(sorted(shown.items()))

    def clear(self) -> list[int]:
        """Free all numbers and return them."""
        slots = sorted(slot for slot, _ in self._held.values())
        self._held.clear()
        return slots

    def _lowest_free(self) -> int:
        used = {slot for slot, _ in self._held.values()}
        return next(slot for slot in range(1, len(used) + 2) if slot not in used)


class OscBundles:
    """Bundles of a run; docs/osc.md describes the addresses and arguments."""

    def __init__(self, header: RunHeader) -> None:
        """Initialize for a run.

        Args:
            header: Labels of the run; in unrelated pictures, no face keeps its number.
        """
        self._labels = header.labels
        self._slots = FaceSlots(hold_s=0.0 if header.has_pictures else LEFT_AFTER_S)
        self._state: State = "live"

    def frame(self, index: int, size_wh: tuple[int, int], result: Result) -> list[bytes]:
        """Return the bundle of a frame, or several if it exceeds `MAX_BUNDLE_BYTES`.

        Args:
            index: Position of the frame in its source.
            size_wh: Width and height of the frame in pixels.
            result: Faces of the frame.
        """
        head = [
            _message(f"{ROOT}/frame", "ifiii", index, result.timestamp_s, len(result.faces), *size_wh),
            _constant(f"{ROOT}/source", "s", self._state),
            _constant(f"{ROOT}/labels", "s" * len(self._labels), *map(_valid, self._labels)),
        ]
        faces = (list(_face(slot, face, size_wh)) for slot, face in self._slots.update(result).items())
        return list(_bundles(head, faces))

    def source(self, state: State) -> list[bytes]:
        """Return the bundle of a state change; no face is in view unless the source is live."""
        self._state = state
        gone = [] if state == "live" else self._slots.clear()
        return self._without_faces(state, gone)

    def end(self) -> list[bytes]:
        """Return the bundle of the end of the run."""
        return self._without_faces("ended", self._slots.clear())

    @staticmethod
    def _without_faces(state: str, gone: Iterable[int]) -> list[bytes]:
        absent = [_constant(f"{ROOT}/face/{slot}/present", "i", 0) for slot in gone]
        return [_bundle([_constant(f"{ROOT}/source", "s", state), *absent])]


def _face(slot: int, face: Face | None, size_wh: tuple[int, int]) -> Iterator[bytes]:
    """Yield the messages of a number; without a face, only that none is present."""
    root = f"{ROOT}/face/{slot}"
    yield _constant(f"{root}/present", "i", int(face is not None))
    if face is None:
        return
    emotion, (width, height) = face.emotion, size_wh
    x, y, w, h = face.box.xywh
    yield _constant(f"{root}/track", "i", face.track_id)
    yield _message(f"{root}/box", "ffff", x / width, y / height, w / width, h / height)
    yield _constant(f"{root}/label", "s", _valid(emotion.label))
    yield _message(f"{root}/confidence", "f", emotion.confidence)
    yield _message(f"{root}/probabilities", "f" * len(emotion.probabilities), *emotion.probabilities.values())
    if face.pose is not None:
        yield _message(f"{root}/pose", "fff", face.pose.roll, face.pose.yaw, face.pose.pitch)


def _message(address: str, types: str, *values: ArgValue) -> bytes:
    builder = OscMessageBuilder(address)
    for kind, value in zip(types, values, strict=True):
        builder.add_arg(value, kind)
    dgram: bytes = builder.build().dgram
    return dgram


_constant = lru_cache(maxsize=1024)(_message)
"""`_message` for values that seldom change from one frame to the next."""


def _bundles(head: list[bytes], faces: Iterable[list[bytes]]) -> Iterator[bytes]:
    """Yield bundles that begin with the same messages and together contain those of all faces."""
    messages = list(head)
    for face in faces:
        if len(messages) > len(head) and len(_bundle([*messages, *face])) > MAX_BUNDLE_BYTES:
            yield _bundle(messages)
            messages = list(head)
        messages += face
    yield _bundle(messages)


def _bundle(messages: Iterable[bytes]) -> bytes:
    """Return a bundle for immediate execution; python-osc's builder takes three times as long, because it parses it."""
    sized = (len(message).to_bytes(4, "big") + message for message in messages)
    return b"".join([_BUNDLE, _IMMEDIATELY, *sized])


def _valid(text: str) -> str:
    """Return text without lone surrogates, which UTF-8 cannot represent."""
    return text.encode(errors="replace").decode()
