"""Timeline of each track's expressions during the last minute."""

from __future__ import annotations

from typing import Any

from edgeinfer.outputs.events import LEFT_AFTER_S
from edgeinfer.results import Result

DURATION_S = 60.0
"""Length of the timeline, in seconds."""
Span = list[Any]
"""Timeline span: [from_s, to_s, label]."""


class Timeline:
    """Time spans in which each track showed one expression; not thread-safe."""

    def __init__(self) -> None:
        """Initialize an empty timeline."""
        self._tracks: dict[int, list[Span]] = {}
        self._now_s = 0.0

    def update(self, result: Result) -> None:
        """Extend the current spans by one result, or begin new ones."""
        now_s = self._now_s = result.timestamp_s
        for face in result.faces:
            spans = self._tracks.setdefault(face.track_id, [])
            label = face.emotion.label
            continued = bool(spans) and 0 <= now_s - spans[-1][1] <= LEFT_AFTER_S
            if continued:
                spans[-1][1] = now_s
            if not continued or spans[-1][2] != label:
                spans.append([now_s, now_s, label])

    def prune(self) -> None:
        """Remove spans that ended more than `DURATION_S` ago."""
        oldest_s = self._now_s - DURATION_S
        kept = {track_id: [s for s in spans if s[1] >= oldest_s] for track_id, spans in self._tracks.items()}
        self._tracks = {track_id: spans for track_id, spans in kept.items() if spans}

    def snapshot(self) -> list[dict[str, Any]]:
        """Prune the timeline and return it as JSON: "track" and "spans" of [from_s, to_s, label], by track id."""
        self.prune()
        return [
            {"track": track_id, "spans": [[round(a, 2), round(b, 2), label] for a, b, label in spans]}
            for track_id, spans in sorted(self._tracks.items())
        ]
