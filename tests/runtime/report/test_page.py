"""The page: size, escaping, policy, and what it shows."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.readers.base import RunInfo
from edgeinfer.readers.inputs import FailedSource
from edgeinfer.report.groups import compare_groups
from edgeinfer.report.overview import MAX_LABELS, Overview, ordered_labels
from edgeinfer.report.page import Page
from edgeinfer.report.recording import Recording, shares_of
from tools.result_files import Faces, face, steady, write_jsonl

pytest.importorskip("jinja2")

Read = Callable[..., list[Recording]]
HOSTILE = (
    "<script>document.title='x'</script>", "</script><img src=x onerror=alert(1)>", "\"'><svg onload=alert(1)>",
    "line\u2028separator\u2029", "\u202egnp.exe", "a\nb\x00c", "{{ 7*7 }}{% raw %}", "x" * 300,
    "<!--<script>", "&lt;b&gt;",
)  # fmt: skip


def render(recordings: Sequence[Recording], failed: Sequence[FailedSource] = (), group: str | None = None) -> str:
    overview = Overview()
    for recording in recordings:
        recording.group = group
        overview.add(recording)
    for source in failed:
        overview.add_failed(source, group)
    groups = [] if group is None else [(group, shares_of(each.shares)) for each in recordings]
    return Page().render(overview, recordings[:100], compare_groups(groups, overview.labels()), {})


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


class Elements(HTMLParser):
    """Names of all elements with their attributes, and the number of elements that are open at the end."""

    VOID = frozenset({"meta", "link", "input", "img", "wbr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def recording(tmp_path: Path, read: Read) -> Recording:
    faces: list[Faces] = [[face("happy", 0.8), face("unknown", 0.3, track=2)], [face("sad", 0.6)], [], []]
    (found,) = read(write_jsonl(tmp_path / "a.jsonl", steady(faces), unknown_below=0.45))
    return found


def test_page_states_model_version_threshold_and_perceived_expression(recording: Recording) -> None:
    page = render([recording])
    assert "what an onlooker would perceive in the pixels, <strong>not what a person feels</strong>" in page
    for text in (">tiny<", ">abababababab<", ">9.9<", ">0.45<"):
        assert text in page
    recording.info = RunInfo()
    assert "CSV results do not state their model" in render([recording])


def test_details_have_the_figures(recording: Recording) -> None:
    page = render([recording])
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    assert "happy 33 % 0:00.1 80 %" in text
    assert "1 0:00.0 0:00.1 0:00.1 happy 70 % –" in text
    assert "2 0:00.0 0:00.0 0:00.0 unknown 30 % 100 %" in text
    row = data_of(page)["rows"][0]
    assert row == ["clip.mp4", "complete", -1, 0, 0.4, 4, 2, 500, 567, [333, 333, 333], [], 1]


def test_markup_is_well_formed_and_the_page_refers_to_nothing_outside(recording: Recording) -> None:
    page = render([recording, recording], [FailedSource("b.mp4", "damaged")], group="g")
    elements = Elements(page)
    assert elements.open == []
    names = {name for name, _ in elements.found}
    assert not names & {"iframe", "object", "embed", "base", "form action", "img"}
    for name, attributes in elements.found:
        assert not [key for key in attributes if key.startswith("on") or key == "style"], name
        for key in ("src", "href"):
            assert (attributes.get(key) or "#").startswith(("#", "data:,"))
        if name == "th":
            assert attributes.get("scope") in ("row", "col")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    identifiers = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_policy_admits_only_the_style_and_script_of_the_page(recording: Recording) -> None:
    page = render([recording])
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert found is not None
    policy = html.unescape(found[1])
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for element, directive in (("style", "style-src"), ("script", "script-src")):
        content = re.search(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        assert content is not None
        digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


@pytest.mark.parametrize("text", HOSTILE)
def test_names_labels_and_reasons_are_text(tmp_path: Path, read: Read, recording: Recording, text: str) -> None:
    plain = Elements(render([recording], [FailedSource("b.mp4", "damaged")], group="g"))
    path = write_jsonl(tmp_path / "b.jsonl", steady([[face(text, 0.8)]]), source=text)
    (hostile,) = read(path)
    hostile.result = text
    hostile.info = replace(hostile.info, model=text, sha256=text, version=text)
    page = render([hostile], [FailedSource(text, text)], group=text)
    elements = Elements(page)
    assert elements.open == []
    assert {name for name, _ in elements.found} <= {name for name, _ in plain.found} | {"wbr"}
    assert page.count("<script") == 2
    assert "\u2028" not in page
    assert "\u202e" not in page
    data = data_of(page)
    assert len(data["rows"]) == 2
    assert data["rows"][0][0] == "".join(each if each.isprintable() else " " for each in text)


@pytest.mark.slow
def test_page_of_a_hundred_recordings_is_below_two_megabytes(tmp_path: Path, read: Read) -> None:
    labels = ("happy", "sad", "fear", "neutral")
    faces: list[Faces] = [
        [face(labels[(index // 3 + track) % 4], 0.4 + (index * 7 + track) % 60 / 100, track) for track in range(60)]
        for index in range(40)
    ]
    (busy,) = read(write_jsonl(tmp_path / "a.jsonl", steady(faces)))
    busy.name = "x" * 300
    page = render([busy] * 100, group="g")
    assert 500_000 < len(page.encode()) < 2_000_000
    assert "The 30 tracks that were in view the longest, of 60." in page
    assert "tracks that were in view the longest, of 60; the summary as CSV has all of them" in page


def test_only_the_first_hundred_recordings_have_details(recording: Recording) -> None:
    page = render([recording] * 130)
    assert page.count('class="recording"') == 100
    assert "The first 100 of 130 recordings have details." in page
    assert [row[-1] for row in data_of(page)["rows"]] == [*range(1, 101), *[0] * 30]


def test_failed_sources_are_listed_with_their_reasons(recording: Recording) -> None:
    failed = [FailedSource(f"{number}.mp4", f"reason {number}") for number in range(300)]
    page = render([recording], failed)
    assert "reason 199" in page
    assert "200 of 300 failed sources" in page
    assert data_of(page)["rows"][-1][10] == ["reason 299"]


def test_failed_sources_alone_make_a_page() -> None:
    page = render([], [FailedSource("b.mp4", "damaged")])
    assert "damaged" in page
    assert 'id="details-title"' not in page


def test_results_without_faces_make_a_page(tmp_path: Path, read: Read) -> None:
    (empty,) = read(write_jsonl(tmp_path / "a.jsonl", steady([[], []])))
    page = render([empty], group="g")
    assert "No face was found in the 2 frames." in page
    assert data_of(page)["labels"] == []


def test_pictures_have_no_time_axis(tmp_path: Path, read: Read) -> None:
    names = ["p/1.jpg", "p/<b>.jpg"]
    frames = [(0, [face("happy", 0.7)]), (1, [face("sad", 0.9, track=2)])]
    (pictures,) = read(write_jsonl(tmp_path / "a.jsonl", frames, pictures=names))
    page = render([pictures])
    assert "Share of faces per expression" in page
    assert "p/<wbr>&lt;b&gt;.jpg" in page
    assert 'class="timeline"' not in page
    assert "<td>0:0" not in page


def test_shares_with_a_face_of_videos_and_pictures_are_separate(
    tmp_path: Path, read: Read, recording: Recording
) -> None:
    names = ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    faces: list[Faces] = [[face("happy")], [face("sad")], [face("sad")], []]
    (pictures,) = read(write_jsonl(tmp_path / "b.jsonl", steady(faces), pictures=names))
    frames, files = ("50 %", "of frames"), ("75 %", "of pictures")
    for recordings, expected in (
        ([recording], [frames]),
        ([pictures], [files]),
        ([pictures, recording], [frames, files]),
    ):
        cards = re.findall("<dt>With a face</dt><dd>(.*?) <small>(.*?)</small>", render(recordings))
        assert cards == expected


def test_labels_have_a_fixed_order_and_a_limited_number() -> None:
    assert ordered_labels({"unknown": 0.5, "fear": 0.1, "bored": 0.3, "contempt": 0.1}) == [
        "fear", "contempt", "bored", "unknown",
    ]  # fmt: skip
    many = {f"label {number}": 1.0 - number / 1000 for number in range(500)} | {"happy": 0.1, "unknown": 0.1}
    found = ordered_labels(many)
    assert len(found) <= MAX_LABELS
    assert found[0] == "happy"
    assert found[-2:] == ["other", "unknown"]


def test_labels_that_the_page_does_not_distinguish_are_added_up(tmp_path: Path, read: Read) -> None:
    faces = [[face(f"label {number:02}", 0.5)] for number in range(40)]
    (strange,) = read(write_jsonl(tmp_path / "a.jsonl", steady(faces)))
    data = data_of(render([strange]))
    assert data["labels"][-1] == "other"
    assert data["rows"][0][9][-1] == 1000 * (40 - len(data["labels"]) + 1) // 40
