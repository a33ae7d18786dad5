from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import Box, SourceError, SourceNotFoundError, UsageError, open_source
from edgeinfer.sources.base import Capture, Source
from edgeinfer.sources.factory import open_pictures
from edgeinfer.sources.picture_size import PICTURE_SUFFIXES
from edgeinfer.sources.video_suffix import VIDEO_SUFFIXES, has_video_suffix


@pytest.fixture
def album(tmp_path: Path, face_picture: Path) -> Path:
    """Folder with four pictures, one of which is damaged, and a picture in a subfolder."""
    folder = tmp_path / "album"
    (folder / "more").mkdir(parents=True)
    for name in ("photo1.jpg", "photo10.JPG", "Photo2.jpeg", "more/photo3.png"):
        shutil.copy(face_picture, folder / name)
    (folder / "photo7.png").write_bytes(b"not a picture")
    (folder / ".hidden.jpg").write_bytes(b"not a picture")
    return folder


def names(source: Source) -> list[tuple[int, float, str]]:
    with source:
        return [(f.index, f.timestamp_s, Path(f.picture or "").name) for f in source]


@pytest.mark.filterwarnings("ignore:.*photo7.png")
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("", ["photo1.jpg", "Photo2.jpeg", "", "photo10.JPG"], id="folder"),
        pytest.param("*", ["photo1.jpg", "Photo2.jpeg", "", "photo10.JPG"], id="glob"),
        pytest.param("*.jp*", ["photo1.jpg", "Photo2.jpeg"], id="suffix-glob"),
        pytest.param("**/*.p*", ["photo3.png", ""], id="recursive-glob"),
        pytest.param("photo[0-9].jpg", ["photo1.jpg"], id="class"),
    ],
)
def test_pictures_are_in_natural_order_and_an_unreadable_one_leaves_a_gap(
    album: Path, pattern: str, expected: list[str]
) -> None:
    source = open_source(f"{album}/{pattern}")
    assert source.frame_count == len(expected)
    assert names(source) == [(index, float(index), name) for index, name in enumerate(expected) if name]
    assert source.skipped == expected.count("")


def test_picture_is_the_path_as_given(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album.parent)
    for given in ("./album/photo1.jpg", "album/../album/photo1.jpg", str(album / "photo1.jpg")):
        with open_source(given) as source:
            assert next(iter(source)).picture == given
    with open_source("./album/photo1.*") as source:
        assert next(iter(source)).picture == "./album/photo1.jpg"
    with open_source("album/more") as source:
        assert next(iter(source)).picture == "album/more/photo3.png"


def test_files_that_are_not_read_are_named_and_counted(album: Path) -> None:
    for number in range(12):
        (album / f"clip{number}.mp4").write_bytes(b"x")
    expected = (
        "skipped 12 of 16 files, without a picture suffix: clip0.mp4, clip1.mp4, .*, clip9.mp4, and 2 more; "
        "for the videos use: edgeinfer batch .*album --out DIR$"
    )
    with pytest.warns(UserWarning, match=expected):
        source = open_source(album)
    with source, pytest.warns(UserWarning, match=r"skipped 1 of 4 pictures: .*photo7\.png is not a picture"):
        assert len(list(source)) == 3
    assert source.skipped == 13


def test_unreadable_pictures_are_named_if_the_iteration_ends_early(tmp_path: Path, face_picture: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"")
    for name in ("2.jpg", "3.jpg"):
        shutil.copy(face_picture, tmp_path / name)
    with (
        pytest.warns(UserWarning, match=r"skipped 1 of 3 pictures: .*1\.jpg is empty"),
        open_source(tmp_path) as source,
    ):
        assert next(iter(source)).index == 1


def test_folder_of_unreadable_pictures_is_rejected(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"none of the 3 pictures can be read: .*0\.jpg is not a"):
        names(open_source(tmp_path))


@pytest.mark.parametrize("name", ["scan.dat", "scan", "scan.mp4"])
def test_picture_with_another_suffix_is_read_if_named_alone(tmp_path: Path, face_picture: Path, name: str) -> None:
    shutil.copy(face_picture, tmp_path / name)
    assert names(open_source(tmp_path / name)) == [(0, 0.0, name)]
    with pytest.raises(SourceNotFoundError, match=r"no pictures at .*(1 other file was found$|, but 1 video;)"):
        open_source(tmp_path)


def test_camera_settings_have_no_effect_on_files(face_picture: Path) -> None:
    capture = Capture(size_wh=(64, 48), fps=5)
    message = r"`size` and `fps` have no effect on .*, only on cameras"
    with pytest.warns(UserWarning, match=message), open_source(face_picture, capture=capture) as source:
        assert next(iter(source)).image.shape != (48, 64, 3)


def test_empty_folder_and_empty_name_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"no pictures at .*: expected files ending in [.\w, ]+$"):
        open_source(tmp_path)
    with pytest.raises(SourceNotFoundError, match="no source at an empty name"):
        open_source("")


def test_folder_or_glob_of_videos_refers_to_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my clips", "day 1").mkdir(parents=True)
    with pytest.raises(SourceNotFoundError, match=r"; to include its .*: edgeinfer batch 'my clips' --out DIR"):
        open_source("my clips")
    for name in ("a.mp4", "b.MOV", "notes.txt"):
        Path("my clips", name).write_bytes(b"x")
    for source in ("my clips", "my clips/*"):
        with pytest.raises(SourceNotFoundError, match=r"but 2 videos; .* edgeinfer batch 'my clips.*' --out DIR$"):
            open_source(source)


def test_suffixes_of_pictures_and_videos_are_distinct() -> None:
    assert not PICTURE_SUFFIXES & VIDEO_SUFFIXES
    assert has_video_suffix("a.b.MP4")
    assert not has_video_suffix("mp4")


def test_file_of_successive_jpeg_pictures_is_a_video(tmp_path: Path, face_picture: Path) -> None:
    (tmp_path / "clip.mjpeg").write_bytes(3 * face_picture.read_bytes())
    with open_source(tmp_path / "clip.mjpeg") as source:
        assert source.continuous
        assert len(list(source)) == 3


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(os.fsdecode(b"caf\xe9.jpg"), id="latin-1"),
        "a b.jpg", "12:30.jpg", "100%d.jpg", "a#b?c.jpg", "-x.jpg", "~x.jpg", "~nosuch/x.jpg", "{a}.jpg",
        pytest.param("line\nend.jpg", id="line-end"),
        pytest.param("\x1b[31m.jpg", id="escape-sequence"),
        "photo[1].jpg", "star*.jpg", "what?.jpg",
    ],
)  # fmt: skip
def test_any_file_name_is_read(tmp_path: Path, face_picture: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    shutil.copy(face_picture, name)
    assert names(open_source(name)) == [(0, 0.0, Path(name).name)]
    assert names(open_source(Path(name).parent)) == [(0, 0.0, Path(name).name)]


def test_escaped_glob_matches_the_literal_name(tmp_path: Path, face_picture: Path) -> None:
    for name in ("star*.jpg", "stars.jpg"):
        shutil.copy(face_picture, tmp_path / name)
    assert [name for *_, name in names(open_source(tmp_path / "star[*].jpg"))] == ["star*.jpg"]
    assert [name for *_, name in names(open_source(tmp_path / "star*.jpg"))] == ["star*.jpg"]


def test_linked_folder_is_read_once(tmp_path: Path, face_picture: Path) -> None:
    shutil.copy(face_picture, tmp_path / "a.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(names(open_source(tmp_path / "**" / "*.jpg"))) == 1


@pytest.mark.parametrize(
    "name", ["x" * 5000, "x/" * 2500 + "a.jpg", "~nosuch/x", "a\0b.jpg", "\ud800.jpg", "x" * 300 + "*.jpg"],
    ids=["long", "deep", "no-home", "null", "surrogate", "long-glob"],
)  # fmt: skip
def test_impossible_names_are_reported_on_one_short_line(name: str) -> None:
    with pytest.raises(SourceNotFoundError) as error:
        open_source(name)
    message = str(error.value)
    assert message.isprintable()
    assert len(message) < 500


def test_files_that_cannot_be_pictures_are_refused_without_reading_them(tmp_path: Path) -> None:
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(3_000_000_000)
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    with pytest.raises(SourceError) as error:
        names(open_source(tmp_path))
    for reason in ("sparse.jpg is 3000 MB, above the limit of 256 MB", "pipe.jpg is not a regular file",
                   "dangling.jpg cannot be read: No such file or directory"):  # fmt: skip
        assert reason in str(error.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            ["photo1.jpg", "photo10.JPG", "photo3.png"], ["photo1.jpg", "photo3.png", "photo10.JPG"], id="shell"
        ),
        pytest.param(["photo10.JPG", "photo1.jpg"], ["photo10.JPG", "photo1.jpg"], id="own-order"),
    ],
)
def test_several_pictures_are_one_source(
    album: Path, given: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(album / "more" / "photo3.png", album)
    monkeypatch.chdir(album)
    assert [name for *_, name in names(open_pictures(given))] == expected


@pytest.mark.parametrize(
    ("second", "error"),
    [("clip.mp4", UsageError), ("more", UsageError), ("rtsp://door/1", UsageError), ("0", UsageError),
     ("-", UsageError), ("missing.jpg", SourceNotFoundError)],
)  # fmt: skip
def test_several_sources_must_be_pictures(
    album: Path, clip: Path, second: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(clip, album / "clip.mp4")
    monkeypatch.chdir(album)
    with pytest.raises(error, match=second):
        open_pictures(["photo1.jpg", second])
    with pytest.raises(UsageError, match="consists of pictures"):
        open_pictures(["photo1.jpg", "photo10.JPG"], mode="live")


def test_limit_applies_to_pictures(album: Path) -> None:
    with pytest.raises(SourceError, match=r"photo1.jpg has 256x256 pixels, above the limit of 0.05 megapixels"):
        names(open_source(album / "photo1.jpg", capture=Capture(max_megapixels=0.05)))
    for invalid in (0, -1, 300, float("nan")):
        with pytest.raises(UsageError, match="invalid `max_megapixels`"):
            Capture(max_megapixels=invalid)
    with pytest.raises(UsageError, match="invalid size 4000x4000: above the limit of 10 megapixels"):
        Capture(size_wh=(4000, 4000), max_megapixels=10)


@pytest.mark.parametrize(
    ("rotate", "full_size_wh", "box"),
    [("auto", (8000, 6000), (20, 40, 60, 80)), ("90", (6000, 8000), (20, 40, 60, 80))],
)
def test_boxes_of_a_reduced_picture_refer_to_the_picture_as_stored(
    tmp_path: Path, rotate: str, full_size_wh: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    cv2.imwrite(str(tmp_path / "large.jpg"), np.zeros((6000, 8000, 3), np.uint8))
    with open_source(tmp_path / "large.jpg", capture=Capture(rotate=rotate)) as source:  # type: ignore[arg-type]
        frame = next(iter(source))
    assert frame.full_size_wh == full_size_wh
    assert frame.image.shape[1::-1] == (full_size_wh[0] // 2, full_size_wh[1] // 2)
    assert frame.source_box(Box(10, 20, 30, 40)).xywh == box
