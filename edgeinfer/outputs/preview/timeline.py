"""What each face showed in the last minute."""

from __future__ import annotations

from typing import Any

from edgeinfer.outputs.events import LEFT_AFTER_S
from edgeinfer.results import Result

SPAN_S = 60.0
Span = list[Any]
"""[from_s, to_s, label]"""


class Timeline:
    """Spans of time in which a face showed one expression."""

    def __init__(self) -> None:
        """Start empty."""
        self._tracks: dict[int, list[Span]] = {}
        self._now_s = 0.0

    def update(self, result: Result) -> None:
        """Take in one result."""
        now_s = self._now_s = result.timestamp_s
        for face in result.faces:
            spans = self._tracks.setdefault(face.track_id, [])
            label = face.emotion.label
            here = bool(spans) and 0 <= now_s - spans[-1][1] <= LEFT_AFTER_S
            if here:
                spans[-1][1] = now_s
            if not here or spans[-1][2] != label:
                spans.append([now_s, now_s, label])

    def prune(self) -> None:
        """Forget what is older than a minute."""
        oldest_s = self._now_s - SPAN_S
        kept = {track: [s for s in spans if s[1] >= oldest_s] for track, spans in self._tracks.items()}
        self._tracks = {track: spans for track, spans in kept.items() if spans}

    def told(self) -> list[dict[str, Any]]:
        """The last minute as JSON: for each face its number and its spans, [from, to, label], in seconds."""
        self.prune()
        return [
            {"track": track, "spans": [[round(a, 2), round(b, 2), label] for a, b, label in spans]}
            for track, spans in sorted(self._tracks.items())
        ]
