"""Head of an exported model: softmax removed, labels selected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from edgeinfer.model.card import OUTPUT_NAME
from edgeinfer_export.errors import ExportError

SOFTMAX = frozenset({"Softmax", "LogSoftmax", "softmax", "log_softmax"})
"""Layers, operations and activations. The softmax of logits equals that of their log-softmax."""
RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze"})
NONLINEAR = frozenset(
    """
    Celu Elu ELU Exp Gelu Glu HardSigmoid HardSilu HardSwish HardTanh LeakyReLU LeakyRelu LogSigmoid Mish PReLU Relu
    ReLU Relu6 Selu Sigmoid Silu Softplus Softsign Square Tanh
    """.split()  # noqa: SIM905 - a list of literals would be three times as long
)


@dataclass(frozen=True, slots=True)
class Logits:
    """Output of a network without its softmax.

    Attributes:
        tensor: (B, K) float32 logits.
        from_softmax: True if a softmax was removed.
        layer: Name of the layer that produces the logits.
    """

    tensor: Any
    from_softmax: bool
    layer: str


def find_logits(name: str, output: Any) -> Logits:
    """Return the logits of a network, without the softmax at its end.

    Args:
        name: Name of the model in error messages.
        output: Output tensor of a model without nested models.

    Raises:
        ExportError: The network ends with a nonlinear function other than softmax.
    """
    tensor, reshapes = output, []
    operation, inputs = _producer(tensor)
    while inputs and (_is_identity(operation) or type(operation).__name__ in RESHAPES):
        reshapes += [] if _is_identity(operation) else [operation]
        tensor = inputs[0]
        operation, inputs = _producer(tensor)
    kind, activation = type(operation).__name__, _activation(operation)
    if kind in SOFTMAX or (kind == "Activation" and activation in SOFTMAX):
        _check_axis(name, operation, tensor)
        return Logits(_apply(reshapes, inputs[0]), True, _producer(inputs[0])[0].name)
    if activation in SOFTMAX:
        return Logits(_apply(reshapes, _linear_twin(operation, inputs)), True, operation.name)
    if kind in NONLINEAR or activation not in (None, "linear"):
        function = kind if activation in (None, "linear") else activation
        raise ExportError(
            f"{name} ends with the layer {operation.name} ({function}), whose values are not logits: end the model "
            "with a Dense layer that is linear or has the softmax activation, and train it again"
        )
    return Logits(_apply(reshapes, tensor), False, operation.name)


def select_columns(logits: Any, columns: list[int]) -> Any:
    """Return the columns of logits in the given order, in the head itself if it is a dense layer."""
    operation, inputs = _producer(logits)
    if not isinstance(operation, keras.layers.Dense) or _activation(operation) != "linear":
        return keras.ops.take(logits, columns, axis=-1)
    head = keras.layers.Dense(len(columns), dtype="float32", name=OUTPUT_NAME, use_bias=operation.use_bias)
    selected = head(*inputs)
    head.set_weights([weights[..., columns] for weights in operation.get_weights()])
    return selected


def _producer(tensor: Any) -> tuple[Any, list[Any]]:
    """Return the operation that produces a tensor, and its input tensors."""
    operation, node, _ = tensor._keras_history
    return operation, operation._inbound_nodes[node].input_tensors


def _activation(operation: Any) -> str | None:
    function = getattr(operation, "activation", None)
    return None if function is None else getattr(function, "__name__", type(function).__name__)


def _check_axis(name: str, operation: Any, tensor: Any) -> None:
    axis = getattr(operation, "axis", -1)
    if axis not in (-1, len(tensor.shape) - 1, [-1], (-1,)):
        raise ExportError(f"{name} ends with the layer {operation.name}, a softmax over axis {axis}: expected axis -1")


def _is_identity(operation: Any) -> bool:
    kind = type(operation).__name__
    return kind in ("Identity", "Cast") or (kind == "Activation" and _activation(operation) == "linear")


def _linear_twin(layer: Any, inputs: list[Any]) -> Any:
    """Return the output of a layer with the same weights, without its activation."""
    twin = type(layer).from_config({**layer.get_config(), "activation": "linear", "name": OUTPUT_NAME})
    output = twin(*inputs)
    twin.set_weights(layer.get_weights())
    return output


def _apply(reshapes: list[Any], tensor: Any) -> Any:
    for operation in reversed(reshapes):
        tensor = operation(tensor)
    return tensor
