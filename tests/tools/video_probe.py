"""Streams and frames of a video file, read by ffprobe."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.patience import PATIENCE
from tools.programs import require_program

_ENTRIES = (
    "stream=codec_name,pix_fmt,width,height,color_range,color_space,color_primaries,color_transfer"
    ":frame=pts_time,key_frame:format=duration"
)


@dataclass(frozen=True, slots=True)
class Probe:
    """Content of a video file.

    Attributes:
        stream: Properties of the video stream, as ffprobe prints them.
        times_s: Presentation time of each decoded frame in seconds.
        keys_s: Presentation times of the keyframes in seconds.
        duration_s: Duration in the header in seconds, or None if there is none.
        errors: Messages of the decoder.
    """

    stream: dict[str, str | int]
    times_s: list[float]
    keys_s: list[float]
    duration_s: float | None
    errors: str


def probe(path: Path) -> Probe:
    """Decode a video with ffprobe; skip the test without it."""
    command = [require_program("ffprobe"), "-v", "error", "-show_entries", _ENTRIES, "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60 * PATIENCE)
    content = json.loads(done.stdout)
    frames = [(float(frame["pts_time"]), bool(frame["key_frame"])) for frame in content.get("frames", ())]
    duration = content["format"].get("duration")
    return Probe(
        {name: value for name, value in content["streams"][0].items() if isinstance(value, (str, int))},
        [time_s for time_s, _ in frames],
        [time_s for time_s, is_key in frames if is_key],
        None if duration is None else float(duration),
        done.stderr,
    )
