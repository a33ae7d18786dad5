"""Annotated video of a killed process: playable, and at most two seconds are lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.programs import running
from tools.video_probe import probe

pytest.importorskip("av", reason="PyAV is not installed")

WRITE = """
import sys, time
import numpy as np
from edgeinfer import Frame, Result, RunHeader, RunSummary, VideoSink

sinks = []
for argument in sys.argv[1:]:
    name, fps, live = argument.split(",")
    sink = VideoSink(name, threads=1)
    sink.start(RunHeader("x", float(fps), (), "", "", {}, live=bool(live)), lambda: RunSummary(0, 0, {}, 0.0, {}))
    sinks.append(sink)  # kept open
    for number in range(int(5.9 * float(fps)) + 1):
        picture = np.full((48, 64, 3), number, np.uint8)  # a few bytes in each second, which a buffer could hold back
        sink.write(Frame(picture, number, number / float(fps), 0.0 if live else None), Result((), number / float(fps)))
print("written", flush=True)
time.sleep(600)
"""
CASES = [
    f"{'live' if live else 'file'}-{fps}{suffix},{fps},{live}"
    for suffix in (".mp4", ".mkv")
    for fps, live in ((30, ""), (15, ""), (10, ""), (1, ""), (30, "live"), (2, "live"), (1, "live"))
] + ["file-30.webm,30,"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of videos whose process was killed; the last frame of each has a timestamp of 5 to 5.9 seconds."""
    folder = tmp_path_factory.mktemp("killed")
    with running([sys.executable, "-c", WRITE, *CASES], cwd=folder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()
    return folder


@pytest.mark.parametrize("case", CASES, ids=[case.partition(",")[0] for case in CASES])
def test_killed_process_leaves_a_playable_video_and_loses_at_most_two_seconds(folder: Path, case: str) -> None:
    name, fps, _ = case.split(",")
    found = probe(folder / name)
    assert found.times_s == pytest.approx([number / float(fps) for number in range(len(found.times_s))], abs=0.002)
    assert int(5.9 * float(fps)) / float(fps) - found.times_s[-1] <= 2
