"""Mutated clips and MJPEG streams: read, or rejected with a one-line error."""

from __future__ import annotations

import io
import random
import warnings
from pathlib import Path

from edgeinfer import SourceError
from edgeinfer.sources.base import Capture
from edgeinfer.sources.pipe import PipeSource
from tools.clip_mutations import mutate, read_mutations
from tools.matroska import grey_jpeg, matroska


def test_mutated_clips_are_read_or_refused(tmp_path: Path, clip: Path) -> None:
    matroska_clip = tmp_path / "x.mkv"
    matroska_clip.write_bytes(matroska([40 * number for number in range(12)], duration_ms=480))
    outcomes = read_mutations(0, 60, [clip, matroska_clip])
    assert set(outcomes) == {"read", "refused"}
    assert outcomes.total() == 60


def test_mutated_mjpeg_streams_are_read_or_refused() -> None:
    rng, stream = random.Random(0), b"".join(grey_jpeg(grey) for grey in range(0, 250, 50))
    read = 0
    for _ in range(300):
        source = PipeSource(io.BytesIO(mutate(stream, rng)), Capture(fps=10))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                frames = list(source)
            except SourceError:
                continue
        read += 1
        assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    assert read > 200
