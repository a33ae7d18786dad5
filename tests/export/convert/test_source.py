"""What can be exported, and what a model that says nothing of itself must be told."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from edgeinfer.errors import EdgeInferError, ModelError, ModelNotFoundError, UsageError
from edgeinfer_export.convert.source import read_source
from edgeinfer_export.errors import ExportError
from edgeinfer_train.errors import DataError
from edgeinfer_train.networks.model import MODEL_FILE, save_model

from ..conftest import LABELS, DataMaker, info, used_core

FACES = np.random.default_rng(3).integers(0, 256, (5, 48, 48, 1), dtype=np.uint8)


def answers(model: keras.Model) -> np.ndarray:
    return np.asarray(model.predict_on_batch(FACES))


def head(kind: str = "linear", **options: object) -> keras.Model:
    """A small network that `fit` did not write."""
    image = keras.Input((48, 48, 1), dtype=options.get("dtype", "uint8"), name="picture")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(image)))
    return keras.Model(image, keras.layers.Dense(7, activation=kind, name="answer")(features))


def test_a_run_folder_and_its_file_are_the_same_source(run: Path) -> None:
    folder, file = read_source(run), read_source(run / MODEL_FILE)
    assert folder.info == file.info == info("edgenet")
    assert (folder.name, folder.colour) == (str(run / MODEL_FILE), "grey")


@pytest.mark.parametrize(
    ("content", "error"),
    [(None, ModelNotFoundError), (b"", ModelError), (b"\x00" * 5000, ModelError), ("truncated", ModelError)],
    ids=["missing", "empty", "random", "truncated"],
)
def test_a_bad_source_has_exit_code_5(
    tmp_path: Path, run: Path, content: bytes | str | None, error: type[ModelError]
) -> None:
    path = tmp_path / "bad.keras"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else (run / MODEL_FILE).read_bytes()[:-2000])
    with pytest.raises(error) as caught:
        read_source(path)
    assert caught.value.exit_code == 5


def test_a_source_with_damaged_weights_is_refused(tmp_path: Path, run: Path) -> None:
    path = tmp_path / "damaged.keras"
    with zipfile.ZipFile(run / MODEL_FILE) as old:
        offset = old.getinfo("model.weights.h5").header_offset
    content = bytearray((run / MODEL_FILE).read_bytes())
    content[offset + 200 : offset + 1200] = b"\xff" * 1000
    path.write_bytes(content)
    with pytest.raises((ExportError, ModelError)) as caught:
        read_source(path)
    assert caught.value.exit_code == 5


def test_labels_pick_columns_of_the_head_in_the_order_asked_for(run: Path) -> None:
    whole, part = read_source(run), read_source(run, labels=("happy", "neutral", "fear"))
    np.testing.assert_allclose(answers(part.model), answers(whole.model)[:, [1, 0, 6]], rtol=1e-6)
    assert part.info.labels == ("happy", "neutral", "fear")
    assert part.info.prior == pytest.approx(dict.fromkeys(part.info.labels, 1 / 3), abs=1e-5)


def test_a_model_of_another_origin_is_told_its_labels_and_data(tmp_path: Path, make_data: DataMaker) -> None:
    model, data = head(), make_data(train=2, valid=1)
    model.save(tmp_path / "bare.keras")
    for source in (model, tmp_path / "bare.keras"):
        with pytest.raises(UsageError, match="give them with --labels, one for each logit in order, and --data"):
            read_source(source)
        found = read_source(source, labels=LABELS, data=data)
        assert (found.info.labels, found.info.dataset) == (LABELS, "blobs")
        assert found.info.prior == pytest.approx(dict.fromkeys(LABELS, 1 / 7), abs=1e-5)
        np.testing.assert_allclose(answers(found.model), answers(model), rtol=1e-6)
    with pytest.raises(DataError, match="and not joy"):
        read_source(model, labels=(*LABELS[:6], "joy"), data=data)


def test_probabilities_are_turned_back_into_logits(make_data: DataMaker) -> None:
    model = head("softmax")
    found = answers(read_source(model, labels=LABELS, data=make_data(train=1)).model)
    powers = np.exp(found - found.max(1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(1, keepdims=True), answers(model), rtol=1e-5)


def test_a_sequential_model_becomes_a_functional_one(make_data: DataMaker) -> None:
    layers = [keras.Input((48, 48, 1), dtype="uint8"), *head().layers[1:]]
    model = keras.Sequential(layers)
    found = read_source(model, labels=LABELS, data=make_data(train=1)).model
    assert not isinstance(found, keras.Sequential)
    np.testing.assert_allclose(answers(found), answers(model), rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: head(dtype="float32"), "takes float32 faces"),
        (lambda: keras.Model((given := keras.Input((48, 48, 1), dtype="uint8")), given), "one logit for each of 7"),
        (lambda: head("relu"), "ends in the layer answer"),
    ],
    ids=["scaled outside", "no logits", "no linear head"],
)
def test_a_model_of_another_form_is_refused(make_data: DataMaker, model: object, says: str) -> None:
    with pytest.raises(ExportError, match=says):
        read_source(model(), labels=LABELS, data=make_data(train=1))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("changes", "labels", "error", "says"),
    [
        ({"labels": LABELS[:5]}, (), ExportError, "one logit for each of 5 labels"),
        ({}, ("neutral", "joy"), UsageError, "and not joy"),
    ],
    ids=["too few labels", "unknown label"],
)
def test_a_source_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, object], labels: tuple[str, ...], error: type[EdgeInferError], says: str
) -> None:
    path = tmp_path / "odd.keras"
    save_model(used_core("edgenet"), info(**changes), path)  # type: ignore[arg-type]
    with pytest.raises(error, match=says):
        read_source(path, labels=labels)
