"""Rewriting of Keras models: nested models inlined, float32 layers, and a uint8 input that is scaled in the graph."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras.src.models.functional import Functional
from numpy.typing import NDArray

from edgeinfer.errors import UsageError
from edgeinfer.model.card import INPUT_NAME
from edgeinfer.results import Colour
from edgeinfer_export.convert.pixels import pixel_scale
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import InputRange

TRAINING_ONLY = frozenset(
    """
    ActivityRegularization AlphaDropout AugMix CutMix Dropout GaussianDropout GaussianNoise MixUp RandAugment
    RandomApply RandomBrightness RandomChoice RandomColorDegeneration RandomColorJitter RandomContrast
    RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert
    RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation
    RandomZoom SpatialDropout1D SpatialDropout2D SpatialDropout3D
    """.split()  # noqa: SIM905 - a list of literals would be three times as long
)
"""Layers that return their input at inference."""
OTHER_FLOATS = frozenset({"float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"})
MAX_SPAN = 32.0
"""Largest range of the values after the scaling layers for pixels 0..255. A larger one indicates inputs of 0..1."""
MAX_VALUES = 2**28
"""Maximum number of values that all layers together compute for one face."""


def is_functional(model: Any) -> bool:
    """Return True if the layers of a model and their connections are known to Keras."""
    return isinstance(model, keras.Sequential) or (
        isinstance(model, Functional) and type(model).call is Functional.call
    )


def takes_floats(model: keras.Model) -> bool:
    """Return True if a model takes floating-point pixels."""
    return "float" in model.inputs[0].dtype


def is_mixed(model: keras.Model) -> bool:
    """Return True if a layer computes in a floating-point type other than float32."""
    return any(layer.compute_dtype in OTHER_FLOATS for layer in _layers(model))


def with_float32(name: str, model: keras.Model) -> keras.Model:
    """Return a copy of a model whose layers compute in float32, with the same weights."""
    for layer in _layers(model):
        if getattr(layer, "quantization_mode", None):
            raise ExportError(f"{name} has the quantized layer {layer.name}: export the model before its quantization")
    copy = type(model).from_config(_replace_floats(model.get_config()))
    copy.set_weights([np.asarray(weights).astype("float32") for weights in model.get_weights()])
    return copy


def flatten(name: str, model: keras.Model, input_range: InputRange | None, colour: Colour) -> tuple[Any, Any]:
    """Rebuild a model on a uint8 input, with the layers of nested models inlined and the weights shared.

    Args:
        name: Name of the model in error messages.
        model: Sequential or Functional model with one input and one output.
        input_range: Range of the pixels that a model with float inputs expects; None requires a scaling layer.
        colour: Channel order of the input.

    Returns:
        Input and output tensor.

    Raises:
        UsageError: The range of the pixels is not known, or given for a model that takes integers.
        ExportError: The model computes too many values.
    """
    image = keras.Input(model.inputs[0].shape[1:], dtype="uint8", name=INPUT_NAME)
    if not takes_floats(model):
        if input_range is not None:
            raise UsageError(f"{name} takes {model.inputs[0].dtype} faces, for which `input_range` has no effect")
        pixels = image
    elif input_range in (None, "0..255"):
        pixels = keras.ops.cast(image, "float32")
    else:
        scale, offset = pixel_scale(name, input_range, channels=image.shape[-1], colour=colour)
        pixels = keras.layers.Rescaling(scale, offset, dtype="float32", name="pixel_range")(image)
    output = _inline(model, pixels)
    network = keras.Model(image, output)
    values = sum(int(np.prod([n or 1 for n in tensor.shape])) for tensor in _tensors(network))
    if values > MAX_VALUES:
        raise ExportError(f"{name} computes {values} values for one face: at most {MAX_VALUES} are accepted")
    if takes_floats(model) and input_range is None and not _is_scaled(network):
        raise UsageError(
            f"{name} takes {model.inputs[0].dtype} faces and contains no layer that scales pixels of 0..255, so the "
            "range of its training pixels is unknown: pass `input_range` (0..1, -1..1, 0..255 or imagenet), or put a "
            "Rescaling layer in front and save the model again"
        )
    return image, output


def to_model_input(
    model: keras.Model, images: NDArray[np.uint8], input_range: InputRange | None, colour: Colour
) -> NDArray[Any]:
    """Return pixels as the original model takes them.

    Args:
        model: Original model.
        images: (N, H, W, C) uint8.
        input_range: Range of the pixels that the model expects, as in `flatten`.
        colour: Channel order of the images.
    """
    if not takes_floats(model):
        return images
    scale, offset = pixel_scale(model.name, input_range or "0..255", channels=images.shape[-1], colour=colour)
    return images * scale + offset


def _inline(model: keras.Model, tensor: Any) -> Any:
    """Apply the layers of a model to a tensor."""
    tensor = _cast(tensor, model.inputs[0].dtype)
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            tensor = _call(layer, tensor)
        return tensor
    outputs = model._run_through_graph(
        [tensor], operation_fn=lambda operation: lambda *a, **k: _call(operation, *a, **k)
    )
    flat = keras.tree.flatten(outputs)
    return flat[0] if len(flat) == 1 else outputs


def _call(operation: Any, *arguments: Any, **options: Any) -> Any:
    if type(operation).__name__ in TRAINING_ONLY:
        tensor = arguments[0]
        return tensor if "float" in tensor.dtype else _cast(tensor, operation.compute_dtype)
    if is_functional(operation) and len(operation.inputs) == 1 and len(arguments) == 1:
        flat = keras.tree.flatten(arguments[0])
        if len(flat) == 1 and len(flat[0].shape) == len(operation.inputs[0].shape):
            return _inline(operation, flat[0])
    return operation(*arguments, **options)


def _cast(tensor: Any, dtype: str) -> Any:
    return tensor if tensor.dtype == dtype else keras.ops.cast(tensor, dtype)


def _is_scaled(network: keras.Model) -> bool:
    """Return True if a network maps pixels of 0..255 to a small range before its first layer with weights.

    Normalization layers count as scaling, because their statistics depend on the range of the training pixels.
    """
    for operation in network.operations:
        if getattr(operation, "weights", None) and not type(operation).__name__.endswith("Normalization"):
            scaled = keras.Model(network.inputs, operation._inbound_nodes[-1].input_tensors[0])
            shape = (1, *network.input_shape[1:])
            levels = np.concatenate([np.full(shape, level, np.uint8) for level in (0, 255)])
            return bool(np.ptp(np.asarray(scaled.predict_on_batch(levels)), axis=0).max() <= MAX_SPAN)
    return False


def _tensors(network: keras.Model) -> list[Any]:
    return [tensor for operation in network.operations for node in operation._inbound_nodes for tensor in node.outputs]


def _layers(model: keras.Model) -> list[Any]:
    return [layer for layer in model._flatten_layers() if not isinstance(layer, keras.layers.InputLayer)]


def _replace_floats(config: Any) -> Any:
    """Return the configuration of a model with float32 in place of every other floating-point type."""
    if isinstance(config, dict):
        if config.get("class_name") in ("DTypePolicy", "FloatDTypePolicy"):
            name = config["config"]["name"]
            return {**config, "config": {"name": "float32" if name in OTHER_FLOATS else name}}
        return {
            key: "float32"
            if key == "dtype" and isinstance(value, str) and value in OTHER_FLOATS
            else _replace_floats(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_replace_floats(value) for value in config)
    return config
