from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinfer import SourceError, SourceNotFoundError, UsageError
from edgeinfer.batch.copies import annotated_paths
from edgeinfer.batch.planning import Plan, plan_batch, rename

JPEG = b"\xff\xd8\xff\xe0"
FILES = (
    "rec/a/07.mp4", "rec/b/07.mp4", "rec/b/08.MOV", "rec/.hidden/x.mp4", "rec/.y.mp4", "rec/notes.txt",
    "photos/1.jpg", "photos/2.jpg", "photos/10.jpg", "photos/sub/1.png", "both/clip.mkv", "both/1.jpg",
)  # fmt: skip

Planner = Callable[..., Plan]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with videos and pictures, whose contents do not matter."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(*arguments: str, out: str = "out", per_picture: bool = False) -> Plan:
    return plan_batch(arguments, Path(out), per_picture=per_picture)


def paths(*arguments: str, out: str = "out", per_picture: bool = False) -> list[str]:
    return [source.path for source in plan(*arguments, out=out, per_picture=per_picture).sources]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["rec"], ["a/07.mp4", "b/07.mp4", "b/08.MOV"], id="folder"),
        pytest.param(["rec/"], ["a/07.mp4", "b/07.mp4", "b/08.MOV"], id="trailing-slash"),
        pytest.param(["both"], ["clip.mkv", "pictures"], id="mixed"),
        pytest.param(["photos"], ["pictures", "sub/pictures"], id="pictures"),
        pytest.param(["rec/b/07.mp4"], ["07.mp4"], id="file"),
        pytest.param(["rec/.y.mp4"], [".y.mp4"], id="named-hidden-file"),
        pytest.param(["photos/10.jpg", "photos/2.jpg"], ["pictures"], id="named-pictures"),
        pytest.param(["rec/*/07.mp4"], ["a/07.mp4", "b/07.mp4"], id="glob"),
        pytest.param(["rec/*/[!7].mp4", "rec/b"], ["07.mp4", "08.MOV"], id="glob-without-match"),
        pytest.param(["**/*.mp4"], ["rec/a/07.mp4", "rec/b/07.mp4"], id="any-depth"),
        pytest.param(["rec/**"], ["a/07.mp4", "b/07.mp4", "b/08.MOV"], id="everything-below"),
        pytest.param(["rec/*"], ["a/07.mp4", "b/07.mp4", "b/08.MOV"], id="matching-folders"),
        pytest.param(["rec/**/b/**/*.MOV"], ["b/08.MOV"], id="any-depth-twice"),
        pytest.param(["rec/.*"], [".hidden/x.mp4", ".y.mp4"], id="hidden-on-request"),
        pytest.param(["rec/a", "rec/b"], ["08.MOV", "a/07.mp4", "b/07.mp4"], id="conflict"),
        pytest.param(["photos/1.jpg", "both/1.jpg"], ["both/pictures", "photos/pictures"], id="conflict-of-pictures"),
        pytest.param(["rec", "rec/a/../b"], ["07.mp4", "08.MOV", "a/07.mp4"], id="overlap"),
        pytest.param(["photos/1.jpg", "photos"], ["pictures", "sub/pictures"], id="picture-and-its-folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:no file matches")
def test_paths_are_relative_to_the_argument(folder: Path, arguments: list[str], expected: list[str]) -> None:
    assert paths(*arguments) == expected
    assert paths(*reversed(arguments)) == expected


def test_pictures_of_a_folder_are_one_source_in_natural_order(folder: Path) -> None:
    first, second = plan("photos").sources
    assert (first.path, first.kind, first.name, first.result) == ("pictures", "pictures", "photos", "pictures")
    assert first.files == ("photos/1.jpg", "photos/2.jpg", "photos/10.jpg")
    assert first.size_bytes == sum(Path(file).stat().st_size for file in first.files)
    assert (second.name, second.result) == ("photos/sub", "sub/pictures")


def test_each_picture_can_be_a_source(folder: Path) -> None:
    sources = plan("photos", per_picture=True).sources
    assert [(s.path, s.kind, s.files, s.result) for s in sources] == [
        ("1.jpg", "pictures", ("photos/1.jpg",), "1"),
        ("2.jpg", "pictures", ("photos/2.jpg",), "2"),
        ("10.jpg", "pictures", ("photos/10.jpg",), "10"),
        ("sub/1.png", "pictures", ("photos/sub/1.png",), "sub/1"),
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(b"rec/a/07.mp4\nrec/b/07.mp4\n", ["a/07.mp4", "b/07.mp4"], id="deepest-common-folder"),
        pytest.param(b"\xef\xbb\xbfrec/a/07.mp4\r\n\r\n  \r\nboth\r\n",
                     ["both/clip.mkv", "both/pictures", "rec/a/07.mp4"], id="windows"),
        pytest.param(b"rec", ["a/07.mp4", "b/07.mp4", "b/08.MOV"], id="folder"),
        pytest.param(b"rec/b/07.mp4", ["07.mp4"], id="one-file"),
        pytest.param(b"rec/a/../b/07.mp4\nrec/./b/08.MOV", ["07.mp4", "08.MOV"], id="not-normal"),
        pytest.param(b"rec/a/07.mp4\nrec/c/[9].mp4\nrec/c/[9].mp4", ["a/07.mp4", "c/[9].mp4"], id="missing-twice"),
        pytest.param(b"caf\xe9.mp4\nrec/a/07.mp4", ["caf\udce9.mp4", "rec/a/07.mp4"], id="not-utf-8"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("argument", ["@lists/all.txt", "-", "@-"])
def test_list_of_paths(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lines: bytes, expected: list[str], argument: str
) -> None:
    (folder / "lists").mkdir()
    (folder / "lists/all.txt").write_bytes(lines)
    (folder / "caf\udce9.mp4").write_bytes(b"")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert paths(argument) == expected


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, SourceNotFoundError, "no list at all.txt"),
        ("r\n".encode("utf-16"), UsageError, "save it as UTF-8"),
        (b"a\0b", UsageError, "not text with one path per line"),
        (b" \n", SourceNotFoundError, "no video or picture at @all.txt"),
    ],
    ids=["missing", "utf-16", "null", "blank"],
)
def test_invalid_list_is_refused(folder: Path, content: bytes | None, error: type[Exception], message: str) -> None:
    if content is not None:
        (folder / "all.txt").write_bytes(content)
    with pytest.raises(error, match=message):
        plan("@all.txt")


def test_unreadable_list_is_refused(folder: Path) -> None:
    (folder / "all.txt").symlink_to(folder)
    with pytest.raises(SourceError, match=r"the list all\.txt cannot be read"):
        plan("@all.txt")


@pytest.mark.parametrize("argument", ["rec", "rec/*", "@list"])
def test_names_that_look_like_a_glob_or_a_list_are_files_if_they_exist(folder: Path, argument: str) -> None:
    for name in ("[x]*.mp4", "@list", "7"):
        (folder / name).write_bytes(b"\0\0\0\x18ftypisom")
    assert paths("[x]*.mp4", "@list", "7") == ["7", "@list", "[x]*.mp4"]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        pytest.param(JPEG, "pictures", id="jpeg"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "pictures", id="png"),
        pytest.param(JPEG + b"\xff\xd9\xff\xd8\xff", "video", id="mjpeg"),
        pytest.param(b"\0\0\0\x18ftypisom", "video", id="mp4"),
        pytest.param(b"\0\0\0\x08wide\0\0\0\0mdat", "video", id="old-quicktime"),
        pytest.param(b"\x1a\x45\xdf\xa3", "video", id="matroska"),
        pytest.param(b"RIFF\0\0\0\0AVI LIST", "video", id="avi"),
        pytest.param((b"\x47" + bytes(187)) * 3, "video", id="transport-stream"),
        pytest.param((bytes(4) + b"\x47" + bytes(187)) * 3, "video", id="transport-stream-with-time-codes"),
        pytest.param(b"\0\0\x01\xba", "video", id="program-stream"),
        pytest.param(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video", id="asf"),
        pytest.param(b"FLV\x01", "video", id="flv"),
        pytest.param(b"OggS\0\x02" + bytes(22) + b"\x80theora", "video", id="theora"),
        pytest.param(b"OggS\0\x02" + bytes(22) + b"OpusHead", None, id="opus"),
        pytest.param(b"\0\0\0\x18ftypM4A ", None, id="m4a"),
        pytest.param(b"\0\0\0\x18ftypheic", None, id="heic"),
        pytest.param(b"RIFF\0\0\0\0WAVE", None, id="wave"),
        pytest.param(b"text", None, id="text"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_kind_of_a_file_without_a_known_suffix(folder: Path, head: bytes, kind: str | None) -> None:
    (folder / "both/file.bin").write_bytes(head)
    found = plan("both")
    assert found.skipped == (() if kind else ("both/file.bin",))
    assert [s.kind for s in found.sources if "both/file.bin" in s.files] == [kind] * bool(kind)


def test_skipped_files_are_reported_once_in_natural_order(folder: Path) -> None:
    for name in ("10.txt", "9.txt"):
        (folder / "rec" / name).write_text("text")
    os.mkfifo(folder / "rec/pipe.mp4")
    (folder / "rec/a/link.txt").symlink_to("../9.txt")
    (folder / "rec/nowhere.txt").symlink_to("missing")
    assert plan("rec", "rec/9.txt").skipped == (
        "rec/9.txt", "rec/10.txt", "rec/notes.txt", "rec/nowhere.txt", "rec/pipe.mp4",
    )  # fmt: skip


def test_links_are_followed_and_loops_are_cut(folder: Path) -> None:
    (folder / "rec/a/loop").symlink_to(folder / "rec")
    (folder / "rec/b/loop").symlink_to(folder / "rec/a")
    (folder / "rec/b/self").symlink_to("self")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/1.mp4").touch()
    (folder / "rec/c").symlink_to(folder / "elsewhere")
    for argument in ("rec", "rec/**/*", "rec/*"):
        assert paths(argument) == ["a/07.mp4", "b/07.mp4", "b/08.MOV", "c/1.mp4"]


def test_file_reached_twice_is_processed_once(folder: Path) -> None:
    (folder / "rec/b/0.mp4").symlink_to("07.mp4")
    (folder / "rec/0").symlink_to("b")
    os.link(folder / "rec/b/08.MOV", folder / "rec/z.mov")
    (folder / "photos/0.jpg").symlink_to("sub/1.png")
    assert paths("rec", "./rec", str(folder / "rec/b/07.mp4")) == ["07.mp4", "a/07.mp4", "b/08.MOV"]
    assert [s.files for s in plan("photos").sources] == [
        ("photos/1.jpg", "photos/2.jpg", "photos/10.jpg"), ("photos/sub/1.png",),
    ]  # fmt: skip


def test_missing_files_fail_later_if_something_else_exists(folder: Path) -> None:
    (folder / "rec/a/gone.mkv").symlink_to("nowhere.mkv")
    sources = plan("nowhere", "nowhere.jpg", "rec/a", "a" * 300 + ".mp4").sources
    found = [(s.path[:12], s.kind, s.size_bytes) for s in sources if s.path != "07.mp4"]
    assert found == [
        ("a" * 12, "video", 0), ("gone.mkv", "video", 0), ("nowhere", "video", 0), ("pictures", "pictures", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.mp4"], "no video or picture at nowhere.mp4"),
        (["nowhere/*.mp4", "x.jpg"], r"at nowhere/\*.mp4, x.jpg"),
        (["rec/notes.txt"], "; 1 other file was found"),
        ([""], "no video or picture at"),
    ],
)
def test_no_source_is_an_error(folder: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SourceNotFoundError, match=message):
        plan(*arguments)


def test_glob_without_a_match_issues_a_warning(folder: Path) -> None:
    with pytest.warns(UserWarning, match=r"no file matches x/\*\.mp4"):
        assert paths("x/*.mp4", "rec/a") == ["07.mp4"]


def test_unreadable_folder_is_left_out_with_a_warning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:  # root can read any folder
        if path == "rec/a":
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.warns(UserWarning, match="1 folder cannot be read: rec/a"):
        assert paths("rec") == ["b/07.mp4", "b/08.MOV"]
    with pytest.raises(SourceNotFoundError, match="; 1 folder cannot be read: rec/a"):
        plan("rec/a")


@pytest.mark.parametrize(
    "address", ["0", "/dev/video0", "/dev/v4l/by-id/x", "csi:", "rtsp://me:secret@camera/live", "http://x/*.mp4"]
)
def test_camera_or_stream_is_refused(folder: Path, address: str) -> None:
    with pytest.raises(UsageError, match="is not a file: a batch processes files and folders") as error:
        plan("rec", address)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rec/a/07.mp4", "rec/b/07.mp4"], "rec/a/07.mp4 and rec/b/07.mp4 have the same path"),
        (["rec/a", "x/a"], "have the same path"),
        (["a\0b"], "not allowed in paths"),
    ],
)
def test_ambiguous_or_invalid_arguments_are_refused(folder: Path, arguments: list[str], message: str) -> None:
    (folder / "x/a").mkdir(parents=True)
    (folder / "x/a/07.mp4").touch()
    with pytest.raises(UsageError, match=message):
        plan(*arguments)


@pytest.mark.parametrize(
    ("argument", "out"), [("rec", "rec"), ("rec", "rec/a/.."), ("rec/*.mp4", "rec"), ("@list", "rec"), (".", "link/..")]
)
def test_output_folder_that_is_a_source_folder_is_refused(folder: Path, argument: str, out: str) -> None:
    (folder / "list").write_text("rec\nboth\n")
    (folder / "link").symlink_to("rec")
    with pytest.raises(UsageError, match="the folder of the results, `out`, is the source folder"):
        plan(argument, out=out)


@pytest.mark.parametrize("argument", ["rec", "rec/*", "rec/**/*", "rec/*/*"])
def test_output_folder_inside_a_source_folder_is_left_out(folder: Path, argument: str) -> None:
    assert paths(argument, out="rec/a") == ["b/07.mp4", "b/08.MOV"]


@pytest.mark.parametrize("name", ["annotated/x.mp4", ".edgeinfer/x.mp4", "deep/x.csv", "link.mp4"])
def test_source_that_an_output_could_overwrite_is_refused(folder: Path, name: str) -> None:
    (folder / "out/annotated").mkdir(parents=True)
    (folder / "out/annotated/y.mp4").touch()
    (folder / "out" / name).parent.mkdir(exist_ok=True)
    if name == "link.mp4":
        (folder / "out" / name).symlink_to("annotated/y.mp4")
    else:
        (folder / "out" / name).write_bytes(b"\0\0\0\x18ftypisom")
    with pytest.raises(UsageError, match=f"the source out/{name} could be overwritten"):
        plan(f"out/{name}")


def test_source_in_the_output_folder_is_processed(folder: Path) -> None:
    assert paths("rec/a/07.mp4", out="rec/a") == ["07.mp4"]


def test_fingerprint_changes_with_name_size_time_and_target(folder: Path) -> None:
    video = folder / "rec/a/07.mp4"
    link = folder / "link.mp4"
    link.symlink_to(video)

    def fingerprint(name: Path) -> str:
        return plan(str(name)).sources[0].fingerprint

    first = fingerprint(video)
    assert fingerprint(video) == fingerprint(link) == first
    os.utime(video, ns=(0, 1))
    second = fingerprint(video)
    video.write_bytes(video.read_bytes() + b"x")
    os.utime(video, ns=(0, 1))
    third = fingerprint(video)
    other = video.rename(folder / "rec/a/08.mp4")
    assert len({first, second, third, fingerprint(other)}) == 4


def test_names_of_earlier_calls_stay(folder: Path) -> None:
    (folder / "rec/a/07.avi").touch()
    new = plan_batch(["rec/a"], Path("out"), given_names={"07.mp4": "07"})
    assert {source.path: source.result for source in new.sources} == {"07.avi": "07.avi", "07.mp4": "07"}
    assert [source.result for source in plan("rec/a").sources] == ["07.avi", "07.mp4"]
    assert rename(plan("rec/a"), Path("out"), {"07.mp4": "07"}) == new


def test_annotated_copies_have_the_names_of_results_and_pictures(folder: Path) -> None:
    (folder / "both/clip.mp4").touch()
    out = Path("out")
    assert annotated_paths(out, videos=False, pictures=False) is None
    both = annotated_paths(out, videos=True, pictures=True)
    pictures = annotated_paths(out, videos=False, pictures=True)
    assert both
    assert pictures
    sources = [*plan("both").sources, *plan("photos", per_picture=True).sources[-1:]]
    assert [[str(path) for path in both(source)] for source in sources] == [
        ["out/annotated/clip.mkv.mp4"], ["out/annotated/clip.mp4.mp4"], ["out/annotated/1.jpg"],
        ["out/annotated/sub/1.png"],
    ]  # fmt: skip
    assert [len(pictures(source)) for source in sources] == [0, 0, 1, 1]
