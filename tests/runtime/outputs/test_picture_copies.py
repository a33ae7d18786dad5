from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import Box, Capture, Emotion, EmotionClassifier, Frame, OutputError, Pipeline, open_source, run
from edgeinfer.options.build import build_picture_copies
from edgeinfer.outputs.copy_layout import CopyLayout
from edgeinfer.results import Face, Image, Result
from edgeinfer.sources.images import FRAME_PIXELS
from edgeinfer.sources.picture_size import picture_format
from edgeinfer.sources.pictures import PictureSource
from tools.cli import edgeinfer, error_of
from tools.fakes import FakeDetector

FACE = Box(10, 20, 40, 30)


@pytest.fixture
def pipeline(classifier: EmotionClassifier) -> Pipeline:
    return Pipeline(FakeDetector([FACE]), classifier, track=False)


def write_picture(path: Path, width: int = 120, height: int = 80, value: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), value, np.uint8))
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def read(path: Path) -> Image:
    """Return the pixels of a picture as stored, without applying an orientation."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert image is not None
    return np.asarray(image, dtype=np.uint8)


def copy(pipeline: Pipeline, out: Path, *pictures: Path, base: Path | None = None, blur: bool = False) -> list[str]:
    """Copy pictures and return the paths of the copies relative to their folder."""
    layout = CopyLayout(str(out), None if base is None else str(base))
    source = PictureSource([str(path) for path in pictures], name="pictures")
    run(source, pipeline, [build_picture_copies(layout.target, Capture(), folder=str(out), blur=blur)])
    return files(out)


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.JPEG", "a.jpe", "a.png", "a.bmp", "a.webp", "a.tif", "a.TIFF", "a.ppm", "a.pnm"]
)
def test_copy_has_the_name_the_format_and_the_size_of_the_picture(
    tmp_path: Path, pipeline: Pipeline, name: str
) -> None:
    picture = write_picture(tmp_path / name)
    assert copy(pipeline, tmp_path / "new" / "out", picture) == [name]
    data = (tmp_path / "new" / "out" / name).read_bytes()
    assert picture_format(data) == picture_format(picture.read_bytes())
    annotated = read(tmp_path / "new" / "out" / name)
    assert annotated.shape == (80, 120, 3)
    assert np.abs(annotated[60:].astype(int) - 90).max() <= 3
    assert np.abs(annotated[20, 10:50].astype(int) - 90).max() > 60


@pytest.mark.parametrize("name", ["a.jfif", "a.gif", "a.avif"])
def test_copy_in_a_format_of_some_builds_is_annotated(tmp_path: Path, pipeline: Pipeline, name: str) -> None:
    suffix = ".jpg" if name == "a.jfif" else Path(name).suffix
    if not cv2.haveImageWriter(suffix):
        pytest.skip(f"this OpenCV cannot write {suffix}")
    write_picture(tmp_path / f"x{suffix}").rename(tmp_path / name)
    assert copy(pipeline, tmp_path / "out", tmp_path / name) == [name]
    assert np.abs(read(tmp_path / "out" / name)[20, 10:50].astype(int) - 90).max() > 60


@pytest.mark.parametrize("suffix", [".pgm", ".pbm"])
def test_format_without_colour_becomes_png(tmp_path: Path, pipeline: Pipeline, suffix: str) -> None:
    pictures = [tmp_path / f"{number}{suffix}" for number in range(3)]
    for picture in pictures:
        assert cv2.imwrite(str(picture), np.full((80, 120), 255, np.uint8))
    with pytest.warns(UserWarning, match=rf"0\{suffix}\.png, because OpenCV cannot write \{suffix}") as caught:
        assert copy(pipeline, tmp_path / "out", *pictures) == [f"{number}{suffix}.png" for number in range(3)]
    assert len(caught) == 1
    assert read(tmp_path / "out" / f"2{suffix}.png").shape == (80, 120, 3)


def test_picture_beyond_the_limits_of_its_format_becomes_png(tmp_path: Path, pipeline: Pipeline) -> None:
    picture = write_picture(tmp_path / "a.png", 17_000, 2)
    picture.rename(tmp_path / "a.webp")  # a WebP file has at most 16383 pixels per side
    with pytest.warns(UserWarning, match=r"a\.webp\.png"):
        assert copy(pipeline, tmp_path / "out", tmp_path / "a.webp") == ["a.webp.png"]


@pytest.mark.parametrize(("suffix", "added"), [(".png", ".png"), (".jpg", ".jpg"), (".tif", ".tif"), (".ppm", ".ppm")])
def test_picture_without_a_suffix_receives_that_of_its_format(
    tmp_path: Path, pipeline: Pipeline, suffix: str, added: str
) -> None:
    write_picture(tmp_path / f"x{suffix}").rename(tmp_path / "IMG.0001")
    assert copy(pipeline, tmp_path / "out", tmp_path / "IMG.0001") == [f"IMG.0001{added}"]


def test_two_pictures_with_the_same_name_are_both_kept(tmp_path: Path, pipeline: Pipeline) -> None:
    pictures = [
        write_picture(tmp_path / folder / name, value=value)
        for value, (folder, name) in enumerate([("1", "a.png"), ("2", "a.png"), ("3", "A.png"), ("4", "a-2.png")])
    ]
    for _ in range(2):  # a second run replaces the copies
        assert copy(pipeline, tmp_path / "out", *pictures) == ["A-3.png", "a-2-2.png", "a-2.png", "a.png"]
    names = ("a.png", "a-2.png", "A-3.png", "a-2-2.png")
    assert [read(tmp_path / "out" / name)[70, 100, 0] for name in names] == [0, 1, 2, 3]


def test_reduced_picture_is_copied_at_its_own_size(tmp_path: Path, pipeline: Pipeline) -> None:
    width, height = 6000, 4000
    assert width * height > FRAME_PIXELS
    picture = write_picture(tmp_path / "large.jpg", width, height)
    copy(pipeline, tmp_path / "out", picture)
    annotated = read(tmp_path / "out" / "large.jpg")
    assert annotated.shape == (height, width, 3)
    scale = width / int((FRAME_PIXELS * width / height) ** 0.5)
    middle = annotated[round(scale * (FACE.y + FACE.h / 2)), :300]  # one row through both vertical lines
    drawn = np.nonzero(np.abs(middle.astype(int) - 90).max(axis=1) > 30)[0]
    assert drawn.min() == pytest.approx(scale * FACE.x, abs=3)
    assert drawn.max() == pytest.approx(scale * (FACE.x + FACE.w), abs=3)


def test_reduced_picture_that_vanished_is_copied_at_the_size_of_its_frame(tmp_path: Path) -> None:
    happy = Emotion("happy", 0.9, {"happy": 0.9})
    frame = Frame(np.zeros((80, 120, 3), np.uint8), 0, 0.0, picture="gone.png", full_size_wh=(240, 160))
    sink = build_picture_copies(lambda _: tmp_path / "a.png", Capture())
    with sink, pytest.warns(UserWarning, match="its copy is reduced"):
        sink.write(frame, Result((Face(1, FACE, happy, happy),), 0.0))
    assert read(tmp_path / "a.png").shape == (80, 120, 3)


@pytest.mark.parametrize("rotate", ["auto", "90"])
@pytest.mark.parametrize("size_wh", [(120, 80), (6000, 4000)])
def test_orientation_is_applied_once(
    tmp_path: Path, classifier: EmotionClassifier, rotate: str, size_wh: tuple[int, int]
) -> None:
    image = np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)
    image[:, : size_wh[0] // 4] = 255  # the left quarter, which is at the top after the rotation
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    exif = (
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: turn by 90 degrees
    )
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])
    capture = Capture(rotate=rotate)  # type: ignore[arg-type]
    with open_source(path, capture=capture) as source:
        sink = build_picture_copies(lambda _: tmp_path / "copy.jpg", capture)
        run(source, Pipeline(FakeDetector([]), classifier, track=False), [sink])
    assert b"Exif" not in (tmp_path / "copy.jpg").read_bytes()
    annotated = read(tmp_path / "copy.jpg")
    assert annotated.shape == (size_wh[0], size_wh[1], 3)
    assert annotated[: size_wh[0] // 5].min() > 240
    assert annotated[size_wh[0] // 3 :].max() < 100


def test_faces_are_blurred(tmp_path: Path, pipeline: Pipeline) -> None:
    rng = np.random.default_rng(1)
    names = ("a.png", "b.png")
    for name in names:
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 256, (80, 120, 3), dtype=np.uint8))
    copy(pipeline, tmp_path / "out", *(tmp_path / name for name in names), blur=True)
    for name in names:
        inside = read(tmp_path / "out" / name)[30:48, 16:44].reshape(-1, 3)
        assert len(np.unique(inside, axis=0)) <= 36
        assert (read(tmp_path / "out" / name)[65:, 80:] == read(tmp_path / name)[65:, 80:]).all()


def test_copies_have_no_track_ids(tmp_path: Path, pipeline: Pipeline) -> None:
    pictures = [write_picture(tmp_path / name) for name in ("a.png", "b.png")]
    copy(pipeline, tmp_path / "out", *pictures)
    assert (tmp_path / "out" / "a.png").read_bytes() == (tmp_path / "out" / "b.png").read_bytes()


def test_failed_write_keeps_the_previous_copy(
    tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = write_picture(tmp_path / "a.png")
    copy(pipeline, tmp_path / "out", picture)
    before = (tmp_path / "out" / "a.png").read_bytes()

    def fail(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OutputError, match=r"cannot write the copy .*a\.png: No space left on device"):
        copy(pipeline, tmp_path / "out", write_picture(tmp_path / "a.png", value=10))
    assert files(tmp_path / "out") == ["a.png"]
    assert (tmp_path / "out" / "a.png").read_bytes() == before


def test_copy_is_not_written_through_a_link(tmp_path: Path, pipeline: Pipeline) -> None:
    picture, other = write_picture(tmp_path / "a.png"), write_picture(tmp_path / "other.png")
    before = other.read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(other)
    with pytest.raises(OutputError, match="link to another file"):
        copy(pipeline, tmp_path / "out", picture)
    assert other.read_bytes() == before


def test_folder_that_cannot_be_created_is_an_output_error(tmp_path: Path, pipeline: Pipeline) -> None:
    picture = write_picture(tmp_path / "a.png")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot create the folder"):
        copy(pipeline, tmp_path / "file" / "out", picture)


@pytest.mark.parametrize(
    ("base", "picture", "expected"),
    [
        pytest.param(None, "photos/2024/a.jpg", "a.jpg", id="file"),
        pytest.param("photos", "photos/a.jpg", "a.jpg", id="folder"),
        pytest.param("./photos/", "./photos/2024/a.jpg", "2024/a.jpg", id="subfolder"),
        pytest.param("", "a/b.jpg", "a/b.jpg", id="current-folder"),
        pytest.param("/x", "/x/a/b.jpg", "a/b.jpg", id="absolute"),
        pytest.param("photos", "photos/a/../../../../etc/b.jpg", "b.jpg", id="outside"),
    ],
)
def test_layout_is_that_of_the_source(base: str | None, picture: str, expected: str) -> None:
    assert CopyLayout("out", base).path(picture) == Path("out", expected)


@pytest.fixture
def photos(tmp_path: Path, face_picture: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("a.jpg", "2024/b.jpg", "2024/05/c.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(face_picture, folder / name)
    return folder


def run_copies(folder: Path, *arguments: str) -> list[str]:
    done = edgeinfer("run", *arguments, "--detector", "none", "--save-pictures", "out", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    copies = files(folder / "out")
    number = "1 annotated picture" if len(copies) == 1 else f"{len(copies)} annotated pictures"
    assert f"wrote out ({number})\n" in done.stdout
    return copies


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        pytest.param(["photos"], ["a.jpg"], id="folder"),
        pytest.param(["photos/2024/b.jpg"], ["b.jpg"], id="file"),
        pytest.param(["photos/a.jpg", "photos/2024/b.jpg"], ["a.jpg", "b.jpg"], id="files"),
        pytest.param(["photos/**/*.jpg"], ["2024/05/c.jpg", "2024/b.jpg", "a.jpg"], id="recursive-glob"),
        pytest.param(["photos/2024/*/*.jpg"], ["05/c.jpg"], id="glob"),
        pytest.param(["*/a.jpg"], ["photos/a.jpg"], id="glob-in-the-current-folder"),
    ],
)
def test_copies_are_in_the_layout_of_the_sources(photos: Path, sources: list[str], expected: list[str]) -> None:
    before = files(photos)
    assert run_copies(photos.parent, *sources) == expected
    assert files(photos) == before


@pytest.mark.parametrize(
    ("sources", "folder"),
    [
        pytest.param(["photos"], "photos", id="same-folder"),
        pytest.param(["photos"], "link", id="same-folder-through-a-link"),
        pytest.param(["photos/a.jpg"], "photos", id="folder-of-the-file"),
        pytest.param(["photos/a.jpg", "photos/2024/b.jpg"], "photos/2024", id="folder-of-one-of-the-files"),
        pytest.param(["photos/*.jpg"], "photos", id="folder-of-the-glob"),
        pytest.param(["photos/**/*.jpg"], "photos/new/out", id="below-a-recursive-glob"),
        pytest.param(["**/*.jpg"], "new", id="below-a-recursive-glob-of-the-current-folder"),
    ],
)
def test_folder_of_the_sources_is_refused(photos: Path, sources: list[str], folder: str) -> None:
    (photos.parent / "link").symlink_to(photos)
    before = {path: path.read_bytes() for path in photos.rglob("*.jpg")}
    message = error_of(edgeinfer("run", *sources, "--save-pictures", folder, cwd=photos.parent), 2)
    assert "choose another folder for --save-pictures" in message
    assert {path: path.read_bytes() for path in photos.rglob("*.jpg")} == before


def test_folder_that_links_to_the_sources_is_refused(photos: Path) -> None:
    (photos.parent / "out").mkdir()
    (photos.parent / "out" / "2024").symlink_to(photos / "2024")
    message = error_of(edgeinfer("run", "photos/**/*.jpg", "--save-pictures", "out", cwd=photos.parent), 2)
    assert "is the same file as the source photos/2024" in message
    assert files(photos.parent / "out") == []


def test_folder_below_a_folder_of_pictures_is_allowed(photos: Path) -> None:
    for _ in range(2):
        done = edgeinfer("run", "photos", "--detector", "none", "--save-pictures", "photos/out", cwd=photos.parent)
        assert done.returncode == 0
    assert files(photos / "out") == ["a.jpg"]


def test_video_is_refused_before_other_outputs_change(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("before")
    message = error_of(edgeinfer("run", clip, "--save-pictures", tmp_path / "out", "--out", tmp_path / "x.csv"), 2)
    assert "--save-video" in message
    assert (tmp_path / "x.csv").read_text() == "before"
    assert not (tmp_path / "out").exists()


def test_anonymous_run_saves_no_pictures(photos: Path) -> None:
    message = error_of(edgeinfer("run", photos, "--anonymous", "--save-pictures", photos.parent / "out"), 2)
    assert "remove --save-pictures" in message


def test_unreadable_picture_does_not_change_the_names_of_others(photos: Path) -> None:
    (photos / "2024" / "a.jpg").write_bytes(b"\xff\xd8\xff damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = edgeinfer("run", "photos/**/*.jpg", "--save-pictures", "out", cwd=photos.parent)
    assert done.returncode == 0
    assert files(photos.parent / "out") == ["2024/05/c.jpg", "2024/b.jpg", "a.jpg"]
