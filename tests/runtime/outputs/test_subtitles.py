"""Subtitles: rules of the cues, notation of both formats, and files of appended, split, killed and failed runs."""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import Box, Emotion, Face, Frame, OutputError, Result, Rotation, RunHeader, RunSummary, UsageError
from edgeinfer.outputs.cues import GAP_S, HOLD_S, MAX_CUE_S, CueBuilder
from edgeinfer.outputs.factory import open_sink
from edgeinfer.results import Image
from tools.cli import edgeinfer
from tools.patience import PATIENCE, until
from tools.programs import require_program, running

IMAGE = np.zeros((9, 9, 3), np.uint8)
Shown = Sequence[tuple[float, str]]
"""Labels of the tracks 1, 2, ... from a time on; "-" is a track that is out of view."""
CUE = re.compile(r"(\d+)\n(\d\d+):(\d\d):(\d\d[,.]\d{3}) --> (\d\d+):(\d\d):(\d\d[,.]\d{3})\n((?:#\d+ .+\n)+)\n")


def result(labels: str, time_s: float) -> Result:
    emotions = [None if label == "-" else Emotion(label, 1.0, {label: 1.0}) for label in labels.split()]
    faces = (Face(n, Box(0, 0, 9, 9), each, each) for n, each in enumerate(emotions, 1) if each is not None)
    return Result(tuple(faces), time_s)


def results(shown: Shown, fps: float = 25.0) -> Iterator[Result]:
    """Yield a result per frame; the last entry of `shown` is the end."""
    frame = math.ceil(shown[0][0] * fps)
    for (_, labels), (end_s, _) in pairwise(shown):
        while frame / fps < end_s - 1e-9:
            yield result(labels, frame / fps)
            frame += 1


def cues_of(frames: Iterator[Result] | Sequence[Result]) -> list[tuple[float, float, str]]:
    builder = CueBuilder()
    found = [cue for frame in frames for cue in builder.update(frame)] + builder.close()
    return [
        (round(start_s, 3), round(end_s, 3), " ".join(f"{track}:{label}" for track, label in labels.items()))
        for start_s, end_s, labels in found
    ]


def parse(path: Path) -> list[tuple[float, float, str]]:
    """Return start and end in seconds and the text of each cue, after validating the whole file."""
    text = path.read_text()
    if path.suffix == ".vtt":
        assert text.startswith("WEBVTT\n\n")
        text = text.removeprefix("WEBVTT\n\n")
    found = list(CUE.finditer(text))
    assert "".join(cue[0] for cue in found) == text
    assert [int(cue[1]) for cue in found] == list(range(1, len(found) + 1))

    def seconds(hours: str, minutes: str, rest: str) -> float:
        return 3600 * int(hours) + 60 * int(minutes) + float(rest.replace(",", "."))

    times = [(seconds(*cue.group(2, 3, 4)), seconds(*cue.group(5, 6, 7)), cue[8].rstrip()) for cue in found]
    assert all(start < end for start, end, _ in times)
    assert all(before[1] <= after[0] for before, after in pairwise(times))
    return times


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        pytest.param([(0, "sad"), (2, "")], [(0, 2, "1:sad")], id="one"),
        pytest.param([(0, ""), (2, "")], [], id="no-face"),
        pytest.param([(0, "sad"), (2, "happy"), (4, "")], [(0, 2, "1:sad"), (2, 4, "1:happy")], id="change"),
        pytest.param([(0, "sad"), (0.4, "")], [], id="too-short"),
        pytest.param([(0, "sad"), (2, "fear"), (2.4, "sad"), (4, "")], [(0, 4, "1:sad")], id="flicker"),
        pytest.param(
            [(0, "sad"), (2, "fear"), (2.4, "happy"), (4, "")], [(0, 2.4, "1:sad"), (2.4, 4, "1:happy")],
            id="short-label-between-two",
        ),
        pytest.param(
            [(0, "sad"), *((2 + n * 0.4, ("fear", "angry")[n % 2]) for n in range(10)), (6, "sad"), (8, "")],
            [(0, 2, "1:sad"), (6, 8, "1:sad")], id="long-flicker",
        ),
        pytest.param([(0, "sad"), (2, "-"), (2.4, "sad"), (4, "")], [(0, 4, "1:sad")], id="short-loss"),
        pytest.param(
            [(0, "sad"), (2, "-"), (3, "sad"), (4, "")], [(0, 2, "1:sad"), (3, 4, "1:sad")], id="long-loss"
        ),
        pytest.param(
            [(0, "sad"), (2, "unknown"), (4, "sad"), (6, "")], [(0, 2, "1:sad"), (4, 6, "1:sad")], id="unknown"
        ),
        pytest.param(
            [(1, "sad -"), (3, "sad happy"), (5, "- happy"), (7, "")],
            [(1, 3, "1:sad"), (3, 5, "1:sad 2:happy"), (5, 7, "2:happy")], id="two-persons",
        ),
        pytest.param(
            [(0, "sad -"), (1, "sad happy"), (1.2, "- happy"), (3, "")], [(0, 1, "1:sad"), (1, 3, "2:happy")],
            id="changes-at-once",
        ),
        pytest.param(
            [(0, "sad"), (22, "")], [(0, 10, "1:sad"), (10, 20, "1:sad"), (20, 22, "1:sad")], id="long-cue"
        ),
    ],
)  # fmt: skip
def test_cues_follow_the_labels(shown: Shown, expected: list[tuple[float, float, str]]) -> None:
    assert cues_of(results(shown)) == expected


@pytest.mark.parametrize(
    ("times_s", "expected"),
    [
        pytest.param([0.0], [], id="single-frame"),
        pytest.param([0.0, 2.0, 4.0, 6.0], [(0, 8, "1:sad")], id="slow"),
        pytest.param([0.0, 1.0, 61.0, 62.0], [(0, 6, "1:sad"), (61, 63, "1:sad")], id="pause"),
        pytest.param([0.0, 1.0, 0.5, 2.0], [(0, 3, "1:sad")], id="step-back"),
        pytest.param([0.0, 1e10], [(0, 5, "1:sad"), (1e10, 1e10 + 5, "1:sad")], id="huge-gap"),
    ],
)
def test_cues_at_unusual_times(times_s: list[float], expected: list[tuple[float, float, str]]) -> None:
    assert cues_of([result("sad", time_s) for time_s in times_s]) == expected


@pytest.mark.parametrize("seed", range(20))
def test_cues_of_random_labels(seed: int) -> None:
    """Cues are in order and show labels that lasted; every label that lasts is shown."""
    random_ = random.Random(seed)
    frames, time_s = [], 0.0
    labels = ["-", "-"]
    for _ in range(600):
        time_s += random_.choice([0.04, 0.04, 0.2])
        if random_.random() < 0.1:
            labels[random_.randrange(2)] = random_.choice(["sad", "happy", "-"])
        frames.append(result(" ".join(labels), time_s))
    builder = CueBuilder()
    cues = []
    for frame in frames:
        cues += builder.update(frame)
        assert all(cue.end_s <= frame.timestamp_s - HOLD_S for cue in cues[-1:])
    cues += builder.close()
    assert all(0 < cue.end_s - cue.start_s <= MAX_CUE_S + 1e-9 and cue.labels for cue in cues)
    assert all(before.end_s <= after.start_s for before, after in pairwise(cues))
    for track in (1, 2):
        for start_s, end_s, label in runs(frames, track):
            middle_s = (start_s + end_s) / 2
            shown = [cue.labels.get(track) for cue in cues if cue.start_s <= middle_s < cue.end_s]
            if end_s - start_s > HOLD_S + 1e-9:
                assert shown == [label]
            elif end_s - start_s > GAP_S:
                assert label not in shown


def runs(frames: Sequence[Result], track: int) -> Iterator[tuple[float, float, str]]:
    """Yield start, end and label of each interval in which a track keeps its label."""
    labels = [next((face.emotion.label for face in each.faces if face.track_id == track), "-") for each in frames]
    first = 0
    for number in range(1, len(labels) + 1):
        if number == len(labels) or labels[number] != labels[first]:
            end_s = frames[min(number, len(labels) - 1)].timestamp_s
            if labels[first] != "-":
                yield frames[first].timestamp_s, end_s, labels[first]
            first = number


def header(*, has_pictures: bool = False) -> RunHeader:
    return RunHeader("clip.mp4", 25.0, ("sad",), "tiny", "", {}, has_pictures=has_pictures)


def write(path: Path, frames: Iterator[Result] | Sequence[Result], **options: Any) -> Any:
    with open_sink(str(path), **options) as sink:
        sink.start(header(), lambda: RunSummary(0, 0, {}, 0.0, {}))
        for number, each in enumerate(frames):
            sink.write(Frame(IMAGE, number, each.timestamp_s), each)
    return sink


def test_notation(tmp_path: Path) -> None:
    hostile = "<b>\n-->&\ud800 x"
    frames = [*results([(3600.5, "sad"), (3602.5, "")])]
    strange = Emotion(hostile, 1.0, {hostile: 1.0})
    frames = [Result((*each.faces, Face(7, Box(0, 0, 9, 9), strange, strange)), each.timestamp_s) for each in frames]
    sink = write(tmp_path / "a.srt", frames)
    assert sink.written == (f"{tmp_path / 'a.srt'} (1 cue)",)
    assert (tmp_path / "a.srt").read_text() == ("1\n00:00:00,000 --> 00:00:02,000\n#1 sad\n#7 <b> ->&  x\n\n")
    write(tmp_path / "a.vtt", frames)
    assert (tmp_path / "a.vtt").read_text() == (
        "WEBVTT\n\n1\n00:00:00.000 --> 00:00:02.000\n#1 sad\n#7 &lt;b&gt; -&gt;&amp;  x\n\n"
    )


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_appended_run_has_its_own_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    for _ in range(3):
        write(path, results([(0, "sad"), (1, "")]), append=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == [f"a-1{suffix}", f"a-2{suffix}", f"a{suffix}"]
    assert all(len(parse(each)) == 1 for each in tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_parts_of_a_split_file_are_complete(tmp_path: Path, suffix: str) -> None:
    path, rotation = tmp_path / f"a{suffix}", Rotation(size_bytes=1000)
    shown = [(n, ("sad", "happy")[n % 2]) for n in range(70)]
    for _ in range(2):
        write(path, results(shown, fps=5), rotation=rotation, append=True)
    parts = sorted(tmp_path.iterdir())
    assert len(parts) > 4
    assert sum(len(parse(part)) for part in parts) == 2 * 69
    assert path in parts
    (tmp_path / f"b{suffix}").write_text("notes\n")
    with pytest.raises(OutputError, match="cannot append to"):
        write(tmp_path / f"b{suffix}", [], rotation=rotation, append=True)
    assert (tmp_path / f"b{suffix}").read_text() == "notes\n"


def test_existing_file_is_replaced_by_the_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text("old\n")
    with pytest.raises(OutputError, match=r"a\.srt exists already"), open_sink(str(path), no_overwrite=True):
        pass
    with suppress(KeyError), open_sink(str(path)) as sink:
        sink.start(header(), lambda: RunSummary(0, 0, {}, 0.0, {}))
        raise KeyError
    assert path.read_text() == "old\n"
    write(path, results([(0, ""), (1, "")]))
    assert path.read_text() == ""


def test_pictures_have_no_subtitles(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write subtitles of pictures to .*a\.srt"):  # noqa: SIM117
        with open_sink(str(tmp_path / "a.srt")) as sink:
            sink.start(header(has_pictures=True), lambda: RunSummary(0, 0, {}, 0.0, {}))
    assert list(tmp_path.iterdir()) == []


def test_file_is_complete_at_all_times(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    shown = [(n, ("sad", "happy")[n % 2]) for n in range(300)]
    seen = 0
    with open_sink(str(path), flush_s=0) as sink:
        sink.start(header(), lambda: RunSummary(0, 0, {}, 0.0, {}))
        for number, each in enumerate(results(shown, fps=5)):
            sink.write(Frame(IMAGE, number, each.timestamp_s), each)
            if number % 50 == 0:
                assert len(parse(path)) >= seen
                seen = len(parse(path))
    assert (seen > 250, len(parse(path))) == (True, 299)


@pytest.mark.slow
def test_killed_run_leaves_complete_subtitles(portrait: Image, tmp_path: Path) -> None:
    out = tmp_path / "x.srt"
    raw = ["-", "--pixels", "bgr24", "--size", "256x256", "--fps", "2"]
    command = [sys.executable, "-m", "edgeinfer", "run", *raw, "--out", str(out), "--quiet"]
    reading, writing = os.pipe()
    with running(command, stdin=reading) as process:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            for image in [portrait] * 30 + [np.zeros_like(portrait)] * 8 + [portrait] * 14:
                pipe.write(image.tobytes())
            pipe.flush()
            until(lambda: (out.exists() and out.read_text().count("-->") >= 2) or process.poll() is not None)
            process.kill()
            process.wait(60 * PATIENCE)
    assert [cue[2] for cue in parse(out)][:2] == ["#1 happy", "#1 happy"]


def test_run_writes_subtitles_that_ffmpeg_reads(clip: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a.srt", tmp_path / "a.vtt"]
    done = edgeinfer("run", clip, "--out", files[0], "--out", files[1])
    assert (done.returncode, "a.vtt (1 cue)" in done.stdout) == (0, True)
    assert {parse(path)[0][2] for path in files} == {"#1 happy"}
    program = require_program("ffprobe")
    for path in files:
        command = [program, "-v", "error", "-show_packets", "-of", "json", str(path)]
        packets = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["packets"]
        (packet,) = packets
        assert float(packet["pts_time"]) == 0.0
        assert float(packet["duration_time"]) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "full.srt"], 6, "cannot write full.srt: No space left on device"),
        (["--out", "none/a.srt"], 6, "cannot write none/a.srt: No such file or directory"),
        (["--out", "a.srt", "--anonymous"], 2, "--anonymous supports only .jsonl and .csv outputs"),
    ],
)
def test_run_that_cannot_write_subtitles(
    clip: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "full.srt").symlink_to("/dev/full")
    done = edgeinfer("run", clip, *arguments, "--quiet", cwd=tmp_path)
    assert (done.returncode, message in done.stderr) == (code, True)
    assert done.stderr.count("\n") == 1
