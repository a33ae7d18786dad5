"""Rewriting of a Keras model to the published form: raw uint8 faces to float32 logits, in a flat Functional model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import EdgeInferError
from edgeinfer.expression.probabilities import softmax
from edgeinfer.model.verify import sample_pictures
from edgeinfer.results import Colour
from edgeinfer_export.convert.head import find_logits, select_columns
from edgeinfer_export.convert.network import (
    flatten,
    is_functional,
    is_mixed,
    takes_floats,
    to_model_input,
    with_float32,
)
from edgeinfer_export.errors import ExportError, first_line
from edgeinfer_export.options import InputRange

CHECK_IMAGES = 4
"""Number of generated images on which the rewritten model is compared with the original one."""
TOLERANCE = 1e-3
"""Largest accepted difference, relative to the largest output or 1."""
MIXED_TOLERANCE = 0.1
"""The same for a model that computes in 16 bits, of which bfloat16 keeps two to three decimal digits."""


def to_logits_model(
    name: str,
    model: keras.Model,
    labels: tuple[str, ...],
    selected: tuple[str, ...],
    input_range: InputRange | None = None,
    colour: Colour = "rgb",
) -> keras.Model:
    """Return a Functional model from (B, H, W, C) uint8 to the selected logits; the weights are shared if possible.

    Args:
        name: Name of the model in error messages.
        model: Any Keras model.
        labels: Labels in the order of its outputs.
        selected: Labels to keep, in the order of the result.
        input_range: Range of the pixels that a model with float inputs expects; None requires a scaling layer inside.
        colour: Channel order of the input.

    Raises:
        UsageError: The range of the pixels is not known.
        ExportError: The model does not map faces to logits, or the rewritten model returns different values.
    """
    _check_signature(name, model, len(labels))
    if selected == labels and input_range is None and _is_published_form(model):
        return model
    columns = [labels.index(label) for label in selected]
    mixed = is_mixed(model)
    try:
        image, output = flatten(name, with_float32(name, model) if mixed else model, input_range, colour)
        logits = find_logits(name, output)
        tensor = logits.tensor if selected == labels else select_columns(logits.tensor, columns)
        rewritten = keras.Model(image, tensor, name=model.name)
        images = sample_pictures(CHECK_IMAGES, model.inputs[0].shape[1:], seed=0)
        expected = _predict(model, to_model_input(model, images, input_range, colour))[..., columns]
        actual = np.asarray(rewritten.predict_on_batch(images), dtype=np.float32)
    except EdgeInferError:
        raise
    except Exception as error:  # Keras raises ValueError, TypeError and others for unsupported structures
        raise ExportError(f"{name} cannot be rewritten to logits: {first_line(error)}") from error
    if logits.from_softmax:
        actual, expected = _softmax(actual), _shares(expected)
    elif np.allclose(actual.sum(axis=1), 1, atol=1e-4) and (actual >= 0).all():
        raise ExportError(
            f"{name} ends with the layer {logits.layer}, whose values are probabilities: expected logits or a softmax "
            "as the last layer"
        )
    difference = np.abs(actual - expected).max() / max(1.0, float(np.abs(expected).max()))
    if not difference <= (MIXED_TOLERANCE if mixed else TOLERANCE):  # NaN also fails
        raise ExportError(
            f"{name} returns different values after rewriting to logits (relative difference {difference:.2g}): "
            "end the model with a Dense layer that is linear or has the softmax activation"
        )
    return rewritten


def _check_signature(name: str, model: keras.Model, labels: int) -> None:
    if isinstance(model, keras.Sequential) and not model.built:
        raise ExportError(f"{name} has no fixed input size: put keras.Input((height, width, channels)) in front")
    if not is_functional(model):
        raise ExportError(
            f"{name} is a subclassed model of the class {type(model).__name__}, whose layers cannot be read: define "
            "it as keras.Sequential or with the functional API"
        )
    for kind, tensors in (("input", model.inputs), ("output", model.outputs)):
        if len(tensors) != 1:
            names = ", ".join(tensor.name for tensor in tensors)
            raise ExportError(f"{name} has {len(tensors)} {kind}s ({names}): expected one {kind}")
    given, returned = model.inputs[0].shape, model.outputs[0].shape
    if len(given) != 4 or len(returned) != 2 or returned[-1] != labels:
        raise ExportError(
            f"{name} maps {given} to {returned}: expected one batch of faces and one logit for each of {labels} labels"
        )
    if given[-1] not in (1, 3) or None in given[1:]:
        raise ExportError(
            f"{name} takes faces of shape {given[1:]}: expected a fixed height and width and 1 or 3 channels, channels "
            "last, for example keras.Input((48, 48, 1))"
        )


def _is_published_form(model: keras.Model) -> bool:
    """Return True if a model needs no rewriting, like models from `edgeinfer-train fit`."""
    head, image = model.layers[-1], model.inputs[0]
    return (
        not isinstance(model, keras.Sequential)
        and (image.dtype, image.shape[0]) == ("uint8", None)
        and isinstance(head, keras.layers.Dense)
        and head.activation is keras.activations.linear
        and not any(isinstance(layer, keras.Model) for layer in model.layers)
        and not takes_floats(model)
        and not is_mixed(model)
        and not isinstance(model.input, dict)
        and isinstance(model.output, keras.KerasTensor)
    )


def _predict(model: keras.Model, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return the outputs of the original model, which may accept a single batch size only."""
    size = model.inputs[0].shape[0] or len(images)
    outputs = []
    for start in range(0, len(images), size):
        part = images[start : start + size]
        batch = np.resize(part, (size, *part.shape[1:]))
        named = not isinstance(model, keras.Sequential) and isinstance(model.input, dict)
        result = model.predict_on_batch(dict.fromkeys(model.input, batch) if named else batch)
        outputs.append(np.asarray(keras.tree.flatten(result)[0], np.float32)[: len(part)])
    return np.concatenate(outputs)


def _shares(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of selected columns of a softmax or a log-softmax."""
    return _softmax(outputs) if (outputs < 0).any() else outputs / outputs.sum(axis=1, keepdims=True)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return softmax(logits).astype(np.float32)
