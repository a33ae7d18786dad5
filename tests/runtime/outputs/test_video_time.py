"""Annotated video through PyAV: the timestamp of each frame, keyframes, sizes and colours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import Frame, OutputError, Result, RunHeader, RunSummary, UsageError, VideoSink, open_source
from edgeinfer.outputs.video_file import VideoFile
from edgeinfer.outputs.video_time import MIN_STEP_TICKS, TICKS_PER_S, PresentationTimes
from edgeinfer.results import Image
from tools.cli import edgeinfer as command
from tools.cli import error_of
from tools.matroska import grey_jpeg, matroska
from tools.mjpeg_server import MjpegServer
from tools.video_probe import probe

pytest.importorskip("av", reason="PyAV is not installed")

STEADY = [40 * number for number in range(30)]
CASES = {
    "steady": (STEADY, 25),
    "ntsc": ([round(1001 * number / 30) for number in range(40)], 29.97),
    "variable": ([0, 40, 80, 500, 540, 1000, 3000, 3040], 25),
    "gap": ([*STEADY, *(20_000 + time_ms for time_ms in STEADY)], 25),
    "no-rate": (STEADY, None),
    "rate-90000": (STEADY, 90_000),
    "slower-than-stated": ([200 * number for number in range(12)], 30),
    "first-timestamp-5-s": ([5000 + time_ms for time_ms in STEADY], 25),
    "first-timestamp-1-h": ([3_600_000 + time_ms for time_ms in STEADY], 25),
    "one-frame": ([0], 25),
}


def write_video(path: Path, frames: Iterable[Frame], fps: float | None = 25, *, live: bool = False) -> None:
    with VideoSink(str(path), threads=1) as sink:
        sink.start(RunHeader("x", fps, (), "", "", {}, live=live), lambda: RunSummary(0, 0, {}, 0.0, {}))
        for frame in frames:
            sink.write(frame, Result((), frame.timestamp_s))


def pictures(*images: Image) -> list[Frame]:
    return [Frame(image, number, number / 25) for number, image in enumerate(images)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize(("times_ms", "fps"), CASES.values(), ids=CASES)
def test_timestamps_equal_those_of_the_source(
    tmp_path: Path, times_ms: list[int], fps: float | None, suffix: str
) -> None:
    copy = tmp_path / f"v{suffix}"
    (tmp_path / "x.mkv").write_bytes(matroska(times_ms, fps=fps))
    with open_source(tmp_path / "x.mkv") as opened:
        write_video(copy, opened, opened.fps)
    found = probe(copy)
    assert found.errors == ""
    assert found.times_s == pytest.approx([time_ms / 1000 for time_ms in times_ms], abs=0.002)
    assert found.stream["codec_name"] == ("vp9" if suffix == ".webm" else "h264")
    assert found.stream["pix_fmt"] == "yuv420p"
    assert found.duration_s is not None
    assert 0.001 < found.duration_s - found.times_s[-1] <= 1.0


def test_run_copies_the_demo_clip_with_its_timestamps(tmp_path: Path, clip: Path) -> None:
    done = command("run", clip, "--detector", "none", "--quiet", "--save-video", tmp_path / "x.mp4")
    assert (done.returncode, done.stderr) == (0, "")
    assert probe(tmp_path / "x.mp4").times_s == pytest.approx(probe(clip).times_s, abs=0.001)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_keyframes_are_at_most_one_frame_more_than_a_second_apart(tmp_path: Path, suffix: str) -> None:
    times_s = [number / 30 for number in range(100)] + [4.0, 4.9, 5.8, 6.7]
    write_video(tmp_path / f"x{suffix}", [Frame(np.zeros((32, 32, 3), np.uint8), 0, time_s) for time_s in times_s], 30)
    assert probe(tmp_path / f"x{suffix}").keys_s == pytest.approx([0, 1, 2, 3, 4, 5.8], abs=0.01)


@pytest.mark.parametrize(
    ("size_wh", "expected_wh"),
    [((81, 61), (80, 60)), ((80, 61), (80, 60)), ((81, 60), (80, 60)), ((1, 1), (2, 2)), ((3, 1), (2, 2))],
    ids=["both-odd", "odd-height", "odd-width", "one-pixel", "one-row"],
)
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_last_row_and_column_of_an_odd_size_are_cropped(
    tmp_path: Path, size_wh: tuple[int, int], expected_wh: tuple[int, int], suffix: str
) -> None:
    path = tmp_path / f"x{suffix}"
    write_video(path, pictures(*[np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)] * 3))
    found = probe(path)
    assert (found.stream["width"], found.stream["height"]) == expected_wh
    assert len(found.times_s) == 3


def test_cropped_picture_is_not_scaled(tmp_path: Path) -> None:
    image = np.zeros((61, 81, 3), np.uint8)
    image[:, 40:] = 255
    write_video(tmp_path / "x.mp4", pictures(image, image))
    row = cv2.VideoCapture(str(tmp_path / "x.mp4")).read()[1][30].mean(axis=1)
    assert row[:38].max() < 40
    assert row[42:].min() > 215


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_colours_are_those_of_the_source(tmp_path: Path, suffix: str) -> None:
    colours = [(0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255), (0, 0, 0), (80, 200, 255), (200, 90, 180)]
    image = np.zeros((48, 48 * len(colours), 3), np.uint8)
    for number, colour in enumerate(colours):
        image[:, 48 * number : 48 * (number + 1)] = colour
    path = tmp_path / f"x{suffix}"
    write_video(path, pictures(image, image))
    shown = cv2.VideoCapture(str(path)).read()[1]
    for number, colour in enumerate(colours):
        assert shown[24, 48 * number + 24] == pytest.approx(colour, abs=8), colour
    stream = probe(path).stream
    assert (stream["color_range"], stream["color_space"]) == ("tv", "smpte170m")
    assert (stream["color_primaries"], stream["color_transfer"]) == ("bt709", "bt709")


@pytest.mark.parametrize(
    ("times_s", "expected_s"),
    [
        ([0, 0.04, 0.04, 0.04, 0.12], [0, 0.04, 0.041, 0.042, 0.12]),
        ([0, 0.5, 0.4, 0.6], [0, 0.5, 0.501, 0.6]),
        ([7, 7.04, 0, 0.04, 0.5], [7, 7.04, 7.08, 7.12, 7.58]),
        ([0, 1e6, 1e6 + 0.04], [0, 0.04, 0.08]),
        ([-3, -2.96], [0, 0.04]),
        ([math.nan, 0.04, math.inf, 0.12], [0, 0.04, 0.08, 0.12]),
        ([0, 86_000, 172_000], [0, 86_000, 172_000]),
    ],
    ids=["equal", "small-step-back", "restart", "damaged", "negative", "not-finite", "long-gaps"],
)
def test_timestamps_increase_and_follow_the_clock_of_the_source(times_s: list[float], expected_s: list[float]) -> None:
    times = PresentationTimes(1 / 25)
    assert [times.place(time_s) / TICKS_PER_S for time_s in times_s] == pytest.approx(expected_s, abs=1e-4)


def test_any_sequence_of_timestamps_increases() -> None:
    rng, times, last = np.random.default_rng(0), PresentationTimes(1 / 25), -MIN_STEP_TICKS
    for time_s in rng.choice([0.0, 0.01, -0.5, 3.0, 1e12, -1e12, math.nan], 2000).cumsum():
        ticks = times.place(float(time_s))
        assert ticks >= last + MIN_STEP_TICKS
        last = ticks


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_irregular_timestamps_do_not_end_the_video(tmp_path: Path, suffix: str) -> None:
    times_s = [0, 0.04, 0.04, 0.03, 9.0, 0.1, 50_000.0, 50_000.04, 1e9]
    write_video(tmp_path / f"x{suffix}", [Frame(np.zeros((32, 32, 3), np.uint8), 0, time_s) for time_s in times_s])
    found = probe(tmp_path / f"x{suffix}")
    assert len(found.times_s) == len(times_s)
    assert found.errors == ""


@pytest.mark.parametrize("live", [True, False], ids=["header", "frame"])
def test_webm_from_a_live_source_is_a_usage_error(tmp_path: Path, live: bool) -> None:
    frames = [Frame(np.zeros((32, 32, 3), np.uint8), 0, 0.0, 1.0)]
    with pytest.raises(UsageError, match=r"live source: WebM is for files only; use \.mp4 or \.mkv"):
        write_video(tmp_path / "x.webm", frames, live=live)
    assert list(tmp_path.iterdir()) == []


def test_webm_from_a_camera_exits_with_2_and_keeps_existing_results(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("kept\n")
    with MjpegServer((64, 48), pictures=[np.zeros((48, 64, 3), np.uint8)]) as camera:
        options = ("--save-video", "x.webm", "--out", "x.csv", "--max-frames", "2")
        error_of(command("run", camera.url, *options, cwd=tmp_path), 2)
    assert (tmp_path / "x.csv").read_text() == "kept\n"


def test_deleted_video_is_an_output_error(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"

    def frames() -> Iterable[Frame]:
        for number in range(200):
            yield Frame(np.zeros((32, 32, 3), np.uint8), number, number / 25)
            if number == 30:
                path.unlink()

    with pytest.raises(OutputError, match="the file was deleted during the run"):
        write_video(path, frames())


def test_folder_that_is_deleted_before_the_first_frame_is_an_output_error(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    sink = VideoSink(str(folder / "x.mp4"))
    folder.rmdir()
    with sink, pytest.raises(OutputError, match="No such file or directory"):
        sink.write(Frame(np.zeros((32, 32, 3), np.uint8), 0, 0.0), Result((), 0.0))


def test_video_that_another_run_writes_is_an_output_error(tmp_path: Path) -> None:
    file = VideoFile(tmp_path / "x.mp4")
    file.write(b"content")
    with pytest.raises(OutputError, match="another run is writing this file"):
        write_video(tmp_path / "x.mp4", pictures(np.zeros((32, 32, 3), np.uint8)))
    file.release()
    assert (tmp_path / "x.mp4").read_bytes() == b"content"


def test_size_beyond_the_limit_of_the_encoder_is_reduced(tmp_path: Path) -> None:
    write_video(tmp_path / "x.mp4", pictures(np.full((40, 20_000, 3), 90, np.uint8)))
    found = probe(tmp_path / "x.mp4")
    assert (found.stream["width"], found.stream["height"]) == (16_384, 32)


def test_grey_frames_are_written(tmp_path: Path) -> None:
    (tmp_path / "x.mkv").write_bytes(matroska([0, 40], pictures=[grey_jpeg(200), grey_jpeg(200)]))
    with open_source(tmp_path / "x.mkv") as opened:
        write_video(tmp_path / "v.mp4", opened)
    assert cv2.VideoCapture(str(tmp_path / "v.mp4")).read()[1].mean() == pytest.approx(200, abs=3)
