"""Damaged and hostile sources of `prepare`: bad entries are skipped with a reason and do not end the preparation."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinfer_train.datasets.load import MAX_IMAGE_BYTES, read_image
from edgeinfer_train.datasets.prepare import prepare_folder, tree
from edgeinfer_train.errors import DataError, RunError

Maker = Callable[..., bytes]
Members = list[tuple[zipfile.ZipInfo, bytes]]

LARGE = 2_500_000_000


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = 0o120777 << 16
    return member


def compressed(name: str, method: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.compress_type = method
    return member


def large_png(side: int) -> bytes:
    """Return a valid header of a large picture with little data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.fixture
def make_archive(tmp_path: Path, make_png: Maker) -> Callable[[Members], Path]:
    """Write ten faces and other members into a zip file."""

    def make(members: Members) -> Path:
        with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
            for number in range(10):
                archive.writestr(f"{('happy', 'sad')[number % 2]}/{number}.png", make_png(90, seed=number))
            for member, content in members:
                archive.writestr(member, content)
        return tmp_path / "source.zip"

    return make


MEMBERS: dict[str, tuple[zipfile.ZipInfo, str | None]] = {
    "backslashes": (zipfile.ZipInfo("set\\happy\\a.png"), None),
    "leading dot": (zipfile.ZipInfo("./happy/a.png"), None),
    "name that is not UTF-8": (zipfile.ZipInfo("happy/caf\xe9.png"), None),
    "control characters": (zipfile.ZipInfo("happy/a\n\x1b[2J.png"), None),
    "long file name": (zipfile.ZipInfo(f"happy/{'a' * 300}.png"), "name too long"),
    "long folder name": (zipfile.ZipInfo(f"{'a' * 300}/a.png"), "name too long"),
    "parent folder": (zipfile.ZipInfo("../../happy/a.png"), "path outside the archive"),
    "parent folder with backslashes": (zipfile.ZipInfo("..\\happy\\a.png"), "path outside the archive"),
    "absolute path": (zipfile.ZipInfo("/happy/a.png"), "path outside the archive"),
    "drive": (zipfile.ZipInfo("C:\\happy\\a.png"), "path outside the archive"),
    "symbolic link": (link("happy/a.png"), "link in the archive"),
    "bzip2": (compressed("happy/a.png", zipfile.ZIP_BZIP2), "unsupported compression"),
    "same name twice": (zipfile.ZipInfo("happy/0.png"), "duplicate name"),
}


@pytest.mark.parametrize(("member", "reason"), MEMBERS.values(), ids=MEMBERS.keys())
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_an_archive_are_read_or_skipped(
    tmp_path: Path,
    make_archive: Callable[[Members], Path],
    make_png: Maker,
    member: zipfile.ZipInfo,
    reason: str | None,
) -> None:
    report = prepare_folder(make_archive([(member, make_png(90, seed=99))]), tmp_path / "data")
    assert list(report.skipped_by_reason()) == ([] if reason is None else [reason])
    assert report.written == (11 if reason is None else 10)
    assert len(list((tmp_path / "data").rglob("*.png"))) == report.written
    assert {path.name for path in tmp_path.iterdir()} == {"source.zip", "data"}


PATCHES = {
    "encrypted": (lambda entry: entry.__setitem__(slice(8, 10), b"\1\0"), "encrypted"),
    "large": (lambda entry: entry.__setitem__(slice(24, 28), struct.pack("<I", LARGE)), "too large"),
    "deflate64": (lambda entry: entry.__setitem__(slice(10, 12), b"\x09\0"), "unsupported compression"),
    "wrong checksum": (lambda entry: entry.__setitem__(slice(16, 20), b"abcd"), "unreadable image"),
}


@pytest.mark.parametrize(("patch", "reason"), PATCHES.values(), ids=PATCHES.keys())
def test_damaged_entry_of_an_archive_is_skipped(
    tmp_path: Path,
    make_archive: Callable[[Members], Path],
    make_png: Maker,
    patch: Callable[[bytearray], None],
    reason: str,
) -> None:
    source = make_archive([(zipfile.ZipInfo("happy/last.png"), make_png(90, seed=99))])
    content = bytearray(source.read_bytes())
    start = content.rindex(b"PK\1\2")
    entry = content[start:]
    patch(entry)
    source.write_bytes(content[:start] + entry)
    report = prepare_folder(source, tmp_path / "data")
    assert report.skipped_by_reason() == {reason: ["happy/last.png"]}
    assert report.written == 10


def test_member_with_more_data_than_declared_is_skipped(
    tmp_path: Path, make_archive: Callable[[Members], Path], make_png: Maker
) -> None:
    bomb = compressed("happy/last.png", zipfile.ZIP_DEFLATED)
    source = make_archive([(bomb, make_png(90) + b"\0" * 5_000_000)])
    content = bytearray(source.read_bytes())
    at = content.rindex(b"PK\1\2") + 24
    content[at : at + 4] = struct.pack("<I", 1000)
    source.write_bytes(content)
    assert prepare_folder(source, tmp_path / "data").skipped_by_reason() == {"unreadable image": ["happy/last.png"]}


def test_archive_beyond_the_total_limit_is_rejected(
    tmp_path: Path, make_archive: Callable[[Members], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MAX_ARCHIVE_BYTES", 1000)
    with pytest.raises(DataError, match="extract it and pass the folder"):
        prepare_folder(make_archive([]), tmp_path / "data")


@pytest.fixture
def folder(tmp_path: Path, make_png: Maker) -> Path:
    for number in range(10):
        path = tmp_path / f"faces/{('happy', 'sad')[number % 2]}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_png(90, seed=number))
    return tmp_path / "faces"


def test_linked_class_folders_are_read(tmp_path: Path, folder: Path) -> None:
    folder.rename(tmp_path / "store")
    folder.mkdir()
    for label in ("happy", "sad"):
        (folder / label).symlink_to(f"../store/{label}")
    report = prepare_folder(folder, tmp_path / "data")
    assert (report.written, report.skipped) == (10, ())


def test_entries_of_a_folder_that_are_not_read_have_reasons(tmp_path: Path, folder: Path) -> None:
    (folder / "happy/loop").symlink_to("..")
    (folder / "happy/self.png").symlink_to("self.png")
    (folder / "happy/broken.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "happy/pipe.png")
    (folder / "happy/wide.png").write_bytes(large_png(30_000))
    with (folder / "happy/sparse.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(3_000_000_000)
    report = prepare_folder(folder, tmp_path / "data")
    assert report.written == 10
    assert {reason: sorted(names) for reason, names in report.skipped_by_reason().items()} == {
        "link loop": ["happy/loop", "happy/self.png"],
        "broken link": ["happy/broken.png"],
        "not a file": ["happy/pipe.png"],
        "too large": ["happy/sparse.jpg", "happy/wide.png"],
    }


def test_links_that_multiply_folders_are_rejected(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MAX_FOLDERS", 1000)
    for level in range(40):
        (folder / f"{level}").mkdir()
        for name in "ab":
            (folder / f"{level}/{name}").symlink_to(f"../{level + 1}")
    with pytest.raises(DataError, match="more than 1,000 folders"):
        prepare_folder(folder, tmp_path / "data")


def test_names_that_are_not_utf8_are_escaped(tmp_path: Path, folder: Path, make_png: Maker) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/happy/caf\xe9.png")).write_bytes(make_png(90, seed=99))
    Path(os.fsdecode(os.fsencode(folder) + b"/happy/br\xe9.png")).write_bytes(b"broken")
    report = prepare_folder(folder, tmp_path / "data")
    assert report.written == 11
    assert [path.name for path in (tmp_path / "data").rglob("caf*")] == [r"caf\xe9.png"]
    assert r"br\xe9.png,unreadable image" in (tmp_path / "data/skipped.csv").read_text(encoding="utf-8")


def test_large_image_of_a_prepared_folder_is_rejected_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(3_000_000_000)
    with pytest.raises(DataError, match=r"a\.png is not a readable image"):
        read_image(tmp_path / "a.png")


def test_memory_is_bounded(tmp_path: Path, folder: Path) -> None:
    """Read a 300 MB table in one line and a sparse image of 100 MB in a fraction of 1 GB of memory."""
    with (
        zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("fer2013.csv", "w") as file,
    ):
        file.write(b"emotion,pixels,Usage\n0,")
        for _ in range(300):
            file.write(b"1 " * 500_000)
    with (folder / "happy/sparse.png").open("wb") as sparse:
        sparse.write(b"\x89PNG\r\n\x1a\n")
        sparse.truncate(MAX_IMAGE_BYTES)
    script = (
        "import resource, sys; from pathlib import Path; from edgeinfer_train.datasets.prepare import *\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert prepare_folder(Path('faces'), Path('data')).written == 10\n"
        "try: prepare_fer2013(Path('t.zip'), Path('other'))\n"
        "except ValueError as error: assert 'too large' in str(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 400_000  # kB


def test_full_disk_keeps_the_tables(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    prepare_folder(folder, tmp_path / "data")
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    (folder / "happy/notes.txt").write_text("one more skipped file")
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(RunError, match=r"cannot write the data folder .*: No space left"):
        prepare_folder(folder, tmp_path / "data")
    assert {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()} == before


def test_unreadable_images_leave_no_folder(tmp_path: Path, folder: Path) -> None:
    for path in folder.rglob("*.png"):
        path.write_bytes(b"broken")
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match="no usable face; skipped: 10 with the reason 'unreadable image'"):
        prepare_folder(folder, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_data_folder_without_faces_is_reused(tmp_path: Path, folder: Path) -> None:
    """Use a folder without faces that an early version marked as complete."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dataset.json").write_text('{"name": "other", "labels": ["happy"], "complete": true}')
    (tmp_path / "data/skipped.csv").write_text("split,name,reason\n")
    assert prepare_folder(folder, tmp_path / "data").written == 10
