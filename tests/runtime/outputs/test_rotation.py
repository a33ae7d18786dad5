"""Parsing of rotation rules, and names and deletion of finished parts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from edgeinfer import Rotation, UsageError
from edgeinfer.outputs.rotation import finished_parts

NOON_S = 1_767_787_200.0  # 2026-01-07 12:00:00 UTC


@pytest.mark.parametrize(
    ("size", "every", "keep", "expected"),
    [
        pytest.param("100MB", None, None, Rotation(100_000_000), id="MB"),
        pytest.param("1.5 kB", None, None, Rotation(1500), id="kB"),
        pytest.param("2gb", None, 3, Rotation(2_000_000_000, keep=3), id="GB-case-insensitive"),
        pytest.param("4096B", "90s", None, Rotation(4096, 90), id="bytes-and-seconds"),
        pytest.param(None, "15m", None, Rotation(every_s=900), id="minutes"),
        pytest.param(None, "1h", 1, Rotation(every_s=3600, keep=1), id="hours"),
        pytest.param(None, "7d", None, Rotation(every_s=604_800), id="days"),
        pytest.param(None, None, None, None, id="nothing"),
    ],
)
def test_parse_accepts_sizes_and_durations(
    size: str | None, every: str | None, keep: int | None, expected: Rotation | None
) -> None:
    assert Rotation.parse(size, every, keep) == expected


@pytest.mark.parametrize(
    ("size", "every", "keep", "message"),
    [
        pytest.param("100", None, None, "invalid size '100'", id="no-unit"),
        pytest.param("1MiB", None, None, "B, kB, MB, GB", id="binary-unit"),
        pytest.param("-1MB", None, None, "invalid size", id="negative"),
        pytest.param("", None, None, "invalid size", id="empty"),
        pytest.param("999B", None, None, "expected 1000 bytes or more", id="too-small"),
        pytest.param(None, "1w", None, "s, m, h, d", id="weeks"),
        pytest.param(None, "٣h", None, "invalid duration", id="other-digits"),
        pytest.param(None, "0s", None, "invalid duration 0 s", id="no-time"),
        pytest.param("1MB", None, 0, "invalid `keep` 0: expected 1 or more", id="keep-none"),
        pytest.param(None, None, 3, "set `split_size` or `split_every`", id="keep-alone"),
    ],
)
def test_parse_rejects_invalid_rules(size: str | None, every: str | None, keep: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Rotation.parse(size, every, keep)


@pytest.mark.parametrize("every_s", [math.nan, math.inf, 0.5])
def test_invalid_interval_is_rejected(every_s: float) -> None:
    with pytest.raises(UsageError, match="expected 1 s or more"):
        Rotation(every_s=every_s)


@pytest.mark.parametrize(
    ("rotation", "size", "began_s", "now_s", "due"),
    [
        pytest.param(Rotation(1000), 999, 0, 1e9, False, id="smaller"),
        pytest.param(Rotation(1000), 1000, 0, 0, True, id="full"),
        pytest.param(Rotation(every_s=3600), 10**9, NOON_S, NOON_S + 3599, False, id="same-hour"),
        pytest.param(Rotation(every_s=3600), 0, NOON_S - 1, NOON_S, True, id="full-hour-soon-after-the-start"),
        pytest.param(Rotation(every_s=86400), 0, NOON_S, NOON_S + 43200, True, id="midnight"),
        pytest.param(Rotation(every_s=86400), 0, NOON_S, NOON_S - 86400, True, id="clock-set-back"),
        pytest.param(Rotation(1000, 3600), 1000, NOON_S, NOON_S + 1, True, id="whichever-comes-first"),
    ],
)
def test_part_ends_when_rotation_is_due(rotation: Rotation, size: int, began_s: float, now_s: float, due: bool) -> None:
    assert rotation.due(size_bytes=size, began_s=began_s, now_s=now_s) is due


def test_parts_of_the_same_second_get_different_names(tmp_path: Path) -> None:
    path = tmp_path / "cam.1.jsonl"
    for text in "abc":
        path.write_text(text)
        Rotation(1000).archive(path, NOON_S)
    assert {part.name: part.read_text() for part in tmp_path.iterdir()} == {
        "cam.1-20260107T120000Z.jsonl": "a",
        "cam.1-20260107T120000Z-1.jsonl": "b",
        "cam.1-20260107T120000Z-2.jsonl": "c",
    }


def test_only_old_parts_of_the_same_output_are_deleted(tmp_path: Path) -> None:
    own = [f"x-2025010{day}T000000Z{ending}.csv" for day, ending in [(1, ""), (2, ""), (2, "-2"), (2, "-10")]]
    others = [
        "x.csv",
        "y-20250101T000000Z.csv",
        "x-20250101T000000Z.jsonl",
        "x-20250101.csv",
        "x-b-20250101T000000Z.csv",
        "xx-20250101T000000Z.csv",
        "x-20250101T000000Z.csv.bak",
    ]
    for name in (*own, *others):
        (tmp_path / name).touch()
    assert [part.name for part in finished_parts(tmp_path / "x.csv")] == own
    newest = Rotation(1000, keep=2).archive(tmp_path / "x.csv", NOON_S)
    assert {file.name for file in tmp_path.iterdir()} == {own[-1], newest.name, *others} - {"x.csv"}


@pytest.mark.parametrize(
    ("older", "kept"),
    [
        pytest.param(["20260107T120000Z", "20260107T120000Z-1"], "20260107T120000Z-1", id="same-second"),
        pytest.param(["20260101T000000Z", "20260102T000000Z"], "20260102T000000Z", id="in-order"),
        pytest.param(["20270101T000000Z", "20260101T000000Z"], "20260101T000000Z", id="clock-was-set-back"),
    ],
)
def test_newest_parts_are_kept(tmp_path: Path, older: list[str], kept: str) -> None:
    for stamp in older:
        (tmp_path / f"x-{stamp}.csv").write_text("old")
    for turn in ("first", "second"):
        (tmp_path / "x.csv").write_text(turn)
        part = Rotation(1000, keep=2).archive(tmp_path / "x.csv", NOON_S)
        assert part.read_text() == turn
        if turn == "first":
            assert {file.name for file in tmp_path.iterdir()} == {f"x-{kept}.csv", part.name}
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == ["first", "second"]
