"""Reading of models: run folders, `.keras` files, models without metadata, and rejected models."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from edgeinfer.errors import EdgeInferError, ModelError, ModelNotFoundError, UsageError
from edgeinfer.expression.probabilities import softmax
from edgeinfer_export.convert.source import read_source
from edgeinfer_export.errors import ExportError
from edgeinfer_train.errors import DataError
from edgeinfer_train.networks.model import MODEL_FILE, save_model

from ..conftest import LABELS, DataMaker, build_network, make_info

FACES = np.random.default_rng(3).integers(0, 256, (5, 48, 48, 1), dtype=np.uint8)


def predict(model: keras.Model) -> np.ndarray:
    return np.asarray(model.predict_on_batch(FACES))


def bare_model(activation: str = "linear") -> keras.Model:
    """Build a small network that `edgeinfer-train fit` did not write."""
    image = keras.Input((48, 48, 1), dtype="uint8", name="picture")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(image)))
    return keras.Model(image, keras.layers.Dense(7, activation=activation, name="answer")(features))


def test_run_folder_and_its_model_file_give_the_same_source(run: Path) -> None:
    folder, file = read_source(run), read_source(run / MODEL_FILE)
    assert folder.info == file.info == make_info("edgenet")
    assert (folder.name, folder.colour) == (str(run / MODEL_FILE), "grey")


@pytest.mark.parametrize(
    ("content", "error"),
    [(None, ModelNotFoundError), (b"", ModelError), (b"\x00" * 5000, ModelError), ("truncated", ModelError)],
    ids=["missing", "empty", "random", "truncated"],
)
def test_invalid_model_file_has_exit_code_5(
    tmp_path: Path, run: Path, content: bytes | str | None, error: type[ModelError]
) -> None:
    path = tmp_path / "bad.keras"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else (run / MODEL_FILE).read_bytes()[:-2000])
    with pytest.raises(error) as caught:
        read_source(path)
    assert caught.value.exit_code == 5


def test_damaged_weights_are_rejected(tmp_path: Path, run: Path) -> None:
    path = tmp_path / "damaged.keras"
    with zipfile.ZipFile(run / MODEL_FILE) as old:
        offset = old.getinfo("model.weights.h5").header_offset
    content = bytearray((run / MODEL_FILE).read_bytes())
    content[offset + 200 : offset + 1200] = b"\xff" * 1000
    path.write_bytes(content)
    with pytest.raises((ExportError, ModelError)) as caught:
        read_source(path)
    assert caught.value.exit_code == 5


def test_labels_select_columns_of_the_head_in_the_given_order(run: Path) -> None:
    whole, part = read_source(run), read_source(run, labels=("happy", "neutral", "fear"))
    np.testing.assert_allclose(predict(part.model), predict(whole.model)[:, [1, 0, 6]], rtol=1e-6)
    assert part.info.labels == ("happy", "neutral", "fear")
    assert part.info.prior == pytest.approx(dict.fromkeys(part.info.labels, 1 / 3), abs=1e-5)


def test_model_without_metadata_requires_labels_and_data(tmp_path: Path, make_data: DataMaker) -> None:
    model, data = bare_model(), make_data(train=2, valid=1)
    model.save(tmp_path / "bare.keras")
    for source in (model, tmp_path / "bare.keras"):
        with pytest.raises(UsageError, match="pass `labels`, one for each logit in order, and `data`"):
            read_source(source)
        result = read_source(source, labels=LABELS, data=data)
        assert (result.info.labels, result.info.dataset) == (LABELS, "blobs")
        assert result.info.prior == pytest.approx(dict.fromkeys(LABELS, 1 / 7), abs=1e-5)
        np.testing.assert_allclose(predict(result.model), predict(model), rtol=1e-6)
    with pytest.raises(DataError, match=", not joy"):
        read_source(model, labels=(*LABELS[:6], "joy"), data=data)


def test_softmax_output_is_replaced_by_logits(make_data: DataMaker) -> None:
    model = bare_model("softmax")
    logits = predict(read_source(model, labels=LABELS, data=make_data(train=1)).model)
    np.testing.assert_allclose(softmax(logits), predict(model), rtol=1e-5)


def test_sequential_model_becomes_functional(make_data: DataMaker) -> None:
    layers = [keras.Input((48, 48, 1), dtype="uint8"), *bare_model().layers[1:]]
    model = keras.Sequential(layers)
    functional = read_source(model, labels=LABELS, data=make_data(train=1)).model
    assert not isinstance(functional, keras.Sequential)
    np.testing.assert_allclose(predict(functional), predict(model), rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: keras.Model((image := keras.Input((48, 48, 1), dtype="uint8")), image), "one logit for each of 7"),
        (lambda: bare_model("relu"), "ends with the layer answer"),
    ],
    ids=["no logits", "nonlinear head"],
)
def test_model_with_an_unsupported_signature_is_rejected(make_data: DataMaker, model: object, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        read_source(model(), labels=LABELS, data=make_data(train=1))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("changes", "labels", "error", "message"),
    [
        ({"labels": LABELS[:5]}, (), ExportError, "one logit for each of 5 labels"),
        ({}, ("neutral", "joy"), UsageError, ", not joy"),
    ],
    ids=["too few labels", "unknown label"],
)
def test_labels_that_do_not_match_the_model_are_rejected(
    tmp_path: Path, changes: dict[str, object], labels: tuple[str, ...], error: type[EdgeInferError], message: str
) -> None:
    path = tmp_path / "odd.keras"
    save_model(build_network("edgenet"), make_info(**changes), path)  # type: ignore[arg-type]
    with pytest.raises(error, match=message):
        read_source(path, labels=labels)
