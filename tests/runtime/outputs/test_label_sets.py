"""Outputs of models with 2 to 12 labels of any name."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgeinfer import (
    Box,
    CsvSink,
    EmotionClassifier,
    JsonlSink,
    Pipeline,
    UsageError,
    open_sink,
    read_results,
    run,
)  # fmt: skip
from edgeinfer.expression.prior import LabelPrior
from edgeinfer.model.card import read_card
from edgeinfer.model.markdown import markdown
from edgeinfer.options.groups import ReportOptions
from edgeinfer.outputs.anonymous import AnonymousCsvSink, AnonymousJsonlSink
from edgeinfer.outputs.base import Sink
from edgeinfer.outputs.events import EventDetector, event_payload
from edgeinfer.outputs.mqtt import device_discovery
from edgeinfer.outputs.mqtt_link import BrokerAddress
from edgeinfer.outputs.parquet import ParquetSink, read_metadata
from edgeinfer.outputs.preview.prometheus import metrics
from edgeinfer.outputs.preview.state import PreviewState
from edgeinfer.outputs.snapshots import FILE_NAME, SnapshotSink
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.report.create import create_report
from edgeinfer.results import Emotion, Face, Frame, Result
from tools.fakes import FakeDetector, FakeSource
from tools.label_sets import LABEL_SETS
from tools.sink_driver import SinkDriver
from tools.tiny_model import write_labelled_model

DARK, LIGHT = np.full((60, 80, 3), 0, np.uint8), np.full((60, 80, 3), 250, np.uint8)
OTHER_COLUMNS = ["frame", "time_s", "track", "x", "y", "w", "h", "label", "confidence"]


@dataclass(frozen=True, slots=True)
class World:
    """A model with some labels, whose dark faces have the first one and whose bright faces have the second."""

    model: Path
    labels: tuple[str, ...]

    def run(self, *sinks: Sink, prior: LabelPrior = "natural", unknown_below: float = 0.0) -> RunSummary:
        classifier = EmotionClassifier.load(self.model, prior=prior)
        detector = FakeDetector([Box(10, 10, 20, 20)])
        pipeline = Pipeline(detector, classifier, detect_every=1, unknown_below=unknown_below)
        return run(FakeSource([DARK] * 20 + [LIGHT] * 40), pipeline, sinks)

    @property
    def header(self) -> RunHeader:
        return RunHeader("door", None, self.labels, "tiny", "", {"edgeinfer": "1.2"})


@pytest.fixture(params=["2", "3", "5", "12"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    labels = LABEL_SETS[request.param]
    return World(write_labelled_model(tmp_path / "tiny.onnx", labels), labels)


def test_jsonl_has_the_labels_in_order(world: World, tmp_path: Path) -> None:
    world.run(JsonlSink(str(tmp_path / "x.jsonl")))
    header, *frames, summary = map(json.loads, (tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines())
    assert tuple(header["model"]["labels"]) == tuple(frames[0]["faces"][0]["probabilities"]) == world.labels
    assert tuple(summary["labels"]) == world.labels[:2]


def test_csv_has_one_column_per_label(world: World, tmp_path: Path) -> None:
    world.run(CsvSink(str(tmp_path / "x.csv")))
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        columns, *rows = csv.reader(file)
    assert len(set(map(str.casefold, columns))) == len(columns) == len(OTHER_COLUMNS) + len(world.labels)
    assert columns[:9] == OTHER_COLUMNS
    assert [name.removesuffix(" (label)") for name in columns[9:]] == list(world.labels)
    assert {row[7] for row in rows} == set(world.labels[:2])
    assert sum(map(float, rows[0][9:])) == pytest.approx(1, abs=1e-3)


def test_parquet_has_the_columns_of_csv(world: World, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    world.run(ParquetSink(str(path)), CsvSink(str(tmp_path / "x.csv")))
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
    table = parquet.read_table(path)
    assert table.column_names == ["source", "picture", *columns]
    assert table.num_rows == 60
    assert read_metadata(path)["edgeinfer.header"]["model"]["labels"] == list(world.labels)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_results_are_read_with_the_labels(world: World, tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"x.{suffix}"
    world.run(open_sink(str(path)))
    results = list(read_results(path))
    assert {tuple(face.emotion.probabilities) for result in results for face in result.faces} == {world.labels}
    first = results[0].faces[0]
    assert (first.emotion.label, first.box.x) == (world.labels[0], 10)


def test_anonymous_counts_have_one_column_per_label(world: World, tmp_path: Path) -> None:
    world.run(AnonymousCsvSink(str(tmp_path / "x.csv")), AnonymousJsonlSink(str(tmp_path / "x.jsonl")))
    labels = list(dict.fromkeys((*world.labels, "unknown")))
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        columns, *rows = csv.reader(file)
    assert columns == ["from_s", "to_s", "faces", *labels]
    minute = json.loads((tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines()[1])
    assert list(minute["label_s"]) == labels
    assert list(map(float, rows[0][3:])) == list(minute["label_s"].values())


def test_snapshots_have_safe_and_different_names(world: World, tmp_path: Path) -> None:
    with SinkDriver(SnapshotSink(tmp_path / "faces"), world.header) as driver:
        for number, label in enumerate(world.labels):
            emotion = Emotion(label, 0.9, dict.fromkeys(world.labels, 0.1))
            result = Result((Face(number, Box(10, 10, 20, 20), emotion, emotion),), number / 100)
            driver.write(result, Frame(LIGHT, number, number / 100))
    found = [path.name for path in (tmp_path / "faces").iterdir()]
    assert driver.sink.dropped + len(found) == len(world.labels)
    assert all(FILE_NAME.fullmatch(name) for name in found)


def test_home_assistant_options_have_each_label_once(world: World) -> None:
    payload = device_discovery(BrokerAddress.parse("mqtt://host/home/door"), world.header)
    options = payload["cmps"]["expression"]["options"]
    assert options == list(dict.fromkeys((*world.labels, "unknown", "none")))
    assert not {name for name in world.labels if name in json.dumps(payload["cmps"]["faces"])}


def test_event_payload_is_json(world: World) -> None:
    emotion = Emotion(world.labels[-1], 0.9, {world.labels[-1]: 0.9})
    (event,) = EventDetector().update(Result((Face(1, Box(0, 0, 9, 9), emotion, emotion),), 0.0))
    assert json.loads(json.dumps(event_payload(event, "door")))["label"] == world.labels[-1]


def test_preview_has_a_colour_and_a_metric_per_label(world: World) -> None:
    state = PreviewState()
    counts = {label: number for number, label in enumerate(world.labels)}
    state.start(world.header, lambda: RunSummary(9, 9, counts, 1.0, {}))
    status = state.status()
    assert tuple(status["labels"]) == world.labels
    assert len(set(status["colours"].values())) == len(status["colours"]) == len({*world.labels, "unknown"})
    lines = [line for line in metrics(state).splitlines() if line.startswith("edgeinfer_faces_total{")]
    assert [int(line.rpartition(" ")[2]) for line in lines] == list(counts.values())


def test_report_shows_all_labels(world: World, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    for name, sink in (("a.jsonl", JsonlSink), ("b.csv", CsvSink)):
        world.run(sink(str(tmp_path / name)))
    options = ReportOptions(out=str(tmp_path / "report.html"))
    assert create_report([str(tmp_path / "a.jsonl"), str(tmp_path / "b.csv")], options).recordings == 2
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    data = json.loads(page.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])
    assert set(data["labels"]) == set(world.labels[:2])
    assert page.count("--expression-0: #") == 1


def test_model_card_lists_the_labels(world: World) -> None:
    card = read_card(world.model)
    assert card.labels == world.labels
    assert markdown(card).count("\n| labels | ") == 1


@pytest.mark.parametrize("first_share", [0.0, 1.0])
def test_prior_has_a_share_for_each_label(world: World, first_share: float) -> None:
    shares = dict.fromkeys(world.labels, (1 - first_share) / (len(world.labels) - 1)) | {world.labels[0]: first_share}
    labels = world.run(prior=shares).labels
    assert (world.labels[0] in labels) == bool(first_share)
    assert world.run(prior="balanced").labels.keys() == set(world.labels[:2])
    with pytest.raises(UsageError, match="is missing") as error:
        world.run(prior=dict.fromkeys(world.labels[1:], 1.0))
    assert "\n" not in str(error.value)


def test_low_confidence_is_unknown(world: World) -> None:
    assert world.run(unknown_below=1.0).labels.keys() == {"unknown"}
