from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.system.toml import read_toml


@pytest.mark.parametrize(
    "data",
    [b"a = 1\n", b"\xef\xbb\xbfa = 1\n", b"\xef\xbb\xbfa = 1\r\n"],
    ids=["plain", "byte order mark", "byte order mark and CRLF"],
)
def test_file_is_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(data)
    assert read_toml(tmp_path / "a.toml") == {"a": 1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a = ", "Invalid value"),
        (b"a = 1\n\xff", "invalid UTF-8 at byte 7"),
        ("a = 1".encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"a = " + b"[" * 30_000, "nested too deeply"),
        (b"a = " + b"9" * 5000, "limit"),
        (b"#" * 70_000, "larger than 64 kB"),
    ],
    ids=["broken", "not UTF-8", "UTF-16", "deep", "long integer", "large"],
)
def test_invalid_file_is_rejected(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.toml").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_toml(tmp_path / "a.toml")


def test_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_toml(tmp_path)
