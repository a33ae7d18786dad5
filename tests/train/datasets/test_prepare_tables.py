"""Published variants, damaged rows and hostile sizes of the tables that `prepare` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeinfer_train.datasets.prepare import prepare_fer2013, prepare_ferplus
from edgeinfer_train.datasets.prepare import table as tables
from edgeinfer_train.errors import DataError

LARGE = 2_500_000_000

PIXELS = " ".join(["7"] * 48 * 48)


def table(
    delimiter: str = ",", ending: str = "\n", codes: tuple[str, ...] = ("3", "4"), usage: str = "Training"
) -> str:
    rows = [[codes[number % 2], PIXELS, usage] for number in range(10)]
    return ending.join(delimiter.join(row) for row in [["emotion", "pixels", "Usage"], *rows]) + ending


TABLES = {
    "codes with a decimal": table(codes=("3.0", "4.00")).encode(),
    "names": table(codes=("Happiness", "sad")).encode(),
    "byte order mark": b"\xef\xbb\xbf" + table().encode(),
    "CRLF": table(ending="\r\n").encode(),
    "CR": table(ending="\r").encode(),
    "semicolons": table(";").encode(),
    "tabs": table("\t").encode(),
    "Excel": ("sep=;\r\n" + table(";", "\r\n")).encode(),
    "UTF-16": table().encode("utf-16"),
    "UTF-16 BE": b"\xfe\xff" + table().encode("utf-16-be"),
    "upper-case columns": table().replace("emotion", "Emotion").replace("pixels", '"PIXELS"').encode(),
    "quoted pixels": table().replace(PIXELS, f'"{PIXELS}"').encode(),
    "pixels with a decimal": table().replace("7 ", "7.0 ").encode(),
    "empty lines": table(ending="\n\n").encode(),
}


@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES.keys())
def test_published_variants_of_a_table_are_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "fer2013.csv").write_bytes(content)
    report = prepare_fer2013(tmp_path / "fer2013.csv", tmp_path / "data")
    assert report.skipped == ()
    assert (report.counts["train"]["happy"], report.counts["valid"]["sad"]) == (4, 1)


USAGES = {
    "train": "train", "Train": "train", "TRAINING": "train", "Validation": "valid", "val": "valid", "valid": "valid",
    "PublicTest": "valid", "public_test": "valid", "Public Test": "valid", "test": "test", "private-test": "test",
}  # fmt: skip


@pytest.mark.parametrize(("usage", "split"), USAGES.items(), ids=USAGES.keys())
def test_spellings_of_usage_are_recognized(tmp_path: Path, usage: str, split: str) -> None:
    rows = table() + table(usage="PublicTest").partition("\n")[2] + f"5,{PIXELS},{usage}\n"
    (tmp_path / "fer2013.csv").write_text(rows)
    report = prepare_fer2013(tmp_path / "fer2013.csv", tmp_path / "data")
    assert [name for name, counts in report.counts.items() if counts["surprise"]] == [split]


BAD_ROWS = {
    "open quote": (f'3,"{PIXELS},Training', "unreadable row"),
    "too many fields": (f"3,{PIXELS},Training,more", "unreadable row"),
    "long line": (f"3,{'1 ' * 60_000},Training", "too large"),
    "too few fields": ("3", "missing value"),
    "code that is not whole": (f"3.5,{PIXELS},Training", "unknown code"),
    "infinite code": (f"inf,{PIXELS},Training", "unknown code"),
    "code not a number": (f"nan,{PIXELS},Training", "unknown code"),
    "large number": (f"3,{PIXELS[:-1]}{'9' * 5000},Training", "unreadable image"),
}


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_damaged_row_does_not_affect_others(tmp_path: Path, row: str, reason: str) -> None:
    header, _, rows = table().partition("\n")
    (tmp_path / "fer2013.csv").write_text(f"{header}\n{row}\n{rows}")
    report = prepare_fer2013(tmp_path / "fer2013.csv", tmp_path / "data")
    assert report.skipped_by_reason() == {reason: ["fer0000000.png"]}
    assert report.written == 10


def test_large_table_is_rejected(tmp_path: Path) -> None:
    with (tmp_path / "fer2013.csv").open("wb") as file:
        file.write(b"emotion,pixels,Usage\n3,")
        file.truncate(LARGE)
    with pytest.raises(DataError, match=r"fer2013\.csv is 2\.5 GB, above the limit of 1 GB"):
        prepare_fer2013(tmp_path / "fer2013.csv", tmp_path / "data")
    assert not (tmp_path / "data").exists()


UNUSABLE = {
    "codes": (table(codes=("8", "9")), "10 with the reason 'unknown code'"),
    "usage": (table(usage="other"), "10 with the reason 'unknown split'"),
    "pixels": (table().replace(PIXELS, "1 2 3"), "10 with the reason 'wrong number of pixels'"),
    "no rows": ("emotion,pixels,Usage\n", "skipped: nothing"),
}


@pytest.mark.parametrize(("content", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_source_without_usable_faces_leaves_no_folder(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "fer2013.csv").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        prepare_fer2013(tmp_path / "fer2013.csv", tmp_path / "new/data")
    assert caught.value.exit_code == 4
    assert not (tmp_path / "new").exists()
    (tmp_path / "fer2013.csv").write_text(table())
    assert prepare_fer2013(tmp_path / "fer2013.csv", tmp_path / "new/data").written == 10


def test_rows_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROWS", 9)
    (tmp_path / "fer2013.csv").write_text(table())
    with pytest.raises(DataError, match="more than 9 rows"):
        prepare_fer2013(tmp_path / "fer2013.csv", tmp_path / "data")


FERPLUS = {
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "spelling": lambda text: text.replace("Training", "train").replace("PublicTest", "public_test").encode(),
    "decimals": lambda text: text.replace(",9", ",9.0").encode(),
}


@pytest.mark.parametrize("convert", FERPLUS.values(), ids=FERPLUS.keys())
def test_published_variants_of_ferplus_are_read(tmp_path: Path, make_ferplus: Any, make_row: Any, convert: Any) -> None:
    rows = [
        make_row("Training", "a.png", "0,9,0,0,0,0,0,0,0,0"),
        make_row("PublicTest", "b.png", "9,0,0,0,0,0,0,0,0,0"),
    ]
    source = make_ferplus(tmp_path / "source", rows)
    (source / "fer2013new.csv").write_bytes(convert((source / "fer2013new.csv").read_text()))
    report = prepare_ferplus(source, tmp_path / "data")
    assert report.skipped == ()
    assert (report.counts["train"]["happy"], report.counts["valid"]["neutral"]) == (1, 1)
    assert "train/happy/a.png,0,9,0,0,0,0,0,0,0,0" in (tmp_path / "data/votes.csv").read_text()


@pytest.mark.parametrize("votes", ["nan", "inf", "1e300", "-1"])
def test_invalid_votes_are_skipped(tmp_path: Path, make_ferplus: Any, make_row: Any, votes: str) -> None:
    rows = [
        make_row("Training", "a.png", "0,9,0,0,0,0,0,0,0,0"),
        make_row("Training", "b.png", f"9,{votes},0,0,0,0,0,0,0,0"),
    ]
    report = prepare_ferplus(make_ferplus(tmp_path / "source", rows), tmp_path / "data")
    assert report.skipped_by_reason() == {"missing value": ["b.png"]}


def test_ferplus_without_usable_rows_leaves_no_folder(tmp_path: Path, make_ferplus: Any, make_row: Any) -> None:
    rows = [make_row("Training", "a.png", "0,0,0,0,0,0,0,0,0,9")]
    with pytest.raises(DataError, match="1 with the reason 'not a face'"):
        prepare_ferplus(make_ferplus(tmp_path / "source", rows), tmp_path / "data")
    assert not (tmp_path / "data").exists()
