"""Groups of recordings and their bootstrap intervals."""

from __future__ import annotations

import re

import pytest

from edgeinfer.errors import UsageError
from edgeinfer.report.group_plots import group_values
from edgeinfer.report.groups import MAX_NAME_CHARACTERS, compare_groups, compile_group, group_of


@pytest.mark.parametrize(
    ("pattern", "names", "group"),
    [
        (r"^(\w+)/", ("p7/day1.mp4",), "p7"),
        (r"day\d", ("p7/day1.mp4",), "day1"),
        (r"day(\d)|night", ("p7/night.mp4",), "other"),
        (r"^(\w+)/", ("clip.mp4", "results/clip.jsonl"), "results"),
        (r"absent", ("clip.mp4",), "other"),
        (r"x", ("x" + "y" * MAX_NAME_CHARACTERS,), "other"),
        (r"^()", ("clip.mp4",), "other"),
    ],
)
def test_group_is_the_first_capture_or_the_match(pattern: str, names: tuple[str, ...], group: str) -> None:
    assert group_of(compile_group(pattern), *names) == group


@pytest.mark.parametrize("pattern", ["(", "*", "(?P<a", "[z-a]", "\udce9(", "a{1,99999999999}"])
def test_invalid_expression_is_a_usage_error(pattern: str) -> None:
    with pytest.raises(UsageError, match="invalid `group`"):
        compile_group(pattern)


def test_means_and_intervals() -> None:
    shares = [0.2, 0.4, 0.6, 0.8, 0.5, 0.5]
    rows = [("b", {"happy": share, "sad": 1 - share}) for share in shares]
    rows += [("a", {"happy": 1.0}), ("other", {}), ("b", {})]
    groups = compare_groups(rows, ["happy", "sad", "fear"])
    assert [(group.name, group.recordings, group.with_faces) for group in groups] == [
        ("a", 1, 1), ("b", 7, 6), ("other", 1, 0),
    ]  # fmt: skip
    single, several, empty = groups
    assert (single.estimates["happy"].mean, single.estimates["happy"].low) == (1.0, None)
    happy = several.estimates["happy"]
    assert happy.mean == pytest.approx(0.5)
    assert happy.low is not None
    assert happy.high is not None
    # The standard error of the mean is 0.075 with the divisor n.
    assert happy.low == pytest.approx(0.5 - 1.96 * 0.0745, abs=0.02)
    assert happy.high == pytest.approx(0.5 + 1.96 * 0.0745, abs=0.02)
    assert several.estimates["fear"].high == 0.0
    assert empty.estimates == {}
    assert compare_groups(rows, ["happy", "sad", "fear"]) == groups


def test_plots_have_a_scale_above_their_intervals() -> None:
    rows = [("a", {"happy": 0.03, "sad": 0.97}), ("a", {"happy": 0.01, "sad": 0.99}), ("b", {"sad": 1.0})]
    values = group_values(compare_groups(rows, ["happy", "sad"]), ["happy", "sad"])
    happy, sad = values["plots"]
    assert (happy["scale"], sad["scale"]) == (0.05, 1.0)
    assert [row["mean"] for row in happy["rows"]] == [40.0, 0.0]
    assert re.fullmatch(r"2 % \[1, 3\]", happy["rows"][0]["text"])
    assert happy["rows"][1]["text"] == "0 %"
    assert "A group with one recording has no interval." in values["text"]
    assert "too narrow" in values["text"]


def test_only_the_largest_groups_are_plotted() -> None:
    rows = [(f"group {number:03}", {"happy": 1.0}) for number in range(300)] + [("group 007", {"happy": 0.5})]
    values = group_values(compare_groups(rows, ["happy"]), ["happy"])
    assert len(values["rows"]) == 200
    plotted = [row["name"] for row in values["plots"][0]["rows"]]
    assert len(plotted) == 20
    assert "group 007" in plotted
    assert "The first 200 of 300 groups are shown." in values["text"]
