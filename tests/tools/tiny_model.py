"""Writer of a 2 kB edgeinfer model, so that the tests of the runtime do not need the `onnx` package.

The logits depend on brightness: logit k of an 8x8 face with the mean grey level g, 0..255, is `BIAS[k] + SLOPE[k] * g`.
Dark faces have the first label, neutral, and bright ones the second, happy.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LABELS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")
SLOPE = (0.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0)
BIAS = (6.0, -6.0, -2.0, -2.0, -2.0, -2.0, -2.0)
SIDE = 8
_UINT8, _INT64, _FLOAT = 2, 7, 1


def varint(value: int) -> bytes:
    """Return a protobuf variable-length integer."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def put(number: int, value: int | str | bytes) -> bytes:
    """Return one protobuf field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(
    name: str, dims: tuple[int, ...], values: tuple[float, ...] | tuple[int, ...], *, external: bool = False
) -> bytes:
    """Return a TensorProto of int64 if every value is an int, or else of float32."""
    integers = all(isinstance(v, int) for v in values)
    data = struct.pack(f"<{len(values)}{'q' if integers else 'f'}", *values)
    content = put(13, put(1, "location") + put(2, "weights.bin")) + put(14, 1) if external else put(9, data)
    return b"".join(put(1, d) for d in dims) + put(2, _INT64 if integers else _FLOAT) + put(8, name) + content


def value_info(name: str, kind: int, dims: tuple[int | str, ...]) -> bytes:
    """Return a ValueInfoProto; a str in `dims` is a named, dynamic dimension."""
    shape = b"".join(put(1, put(1, d) if isinstance(d, int) else put(2, d)) for d in dims)
    return put(1, name) + put(2, put(1, put(1, kind) + put(2, shape)))


def node(kind: str, inputs: tuple[str, ...], output: str, *, attributes: bytes = b"", domain: str = "") -> bytes:
    """Return a NodeProto."""
    named = b"".join(put(1, name) for name in inputs) + put(2, output) + put(4, kind) + attributes
    return named + (put(7, domain) if domain else b"")


def metadata(labels: Sequence[str] = LABELS, /, **changes: str | None) -> dict[str, str]:
    """Return the edgeinfer metadata; a keyword replaces a value, and None removes its key."""
    values: dict[str, str | None] = {
        "schema": "1",
        "labels": json.dumps(list(labels)),
        "input": json.dumps(
            {
                "height": SIDE,
                "width": SIDE,
                "channels": 1,
                "layout": "NHWC",
                "dtype": "uint8",
                "colour": "grey",
            }
        ),
        "crop": json.dumps({"margin": 0.0}),
        "temperature": "1.0",
        "prior": json.dumps(dict.fromkeys(labels, 1 / len(labels))),
        "metrics": json.dumps({"accuracy": 1.0}),
        "dataset": "grey levels",
        "version": "0",
        "license": "Apache-2.0",
        "intended_use": "tests",
        "prohibited_use": "anything else",
        **changes,
    }
    return {f"edgeinfer.{key}": value for key, value in values.items() if value is not None}


def model_bytes(
    *,
    keys: dict[str, str] | None = None,
    inputs: tuple[str, ...] = ("image",),
    output: str = "logits",
    domain: str = "",
    external: bool = False,
    logits: int = len(LABELS),
    extra: bytes = b"",
    between: bytes = b"",
    pooled: str = "mean",
) -> bytes:
    """Return a serialized ModelProto.

    With an argument other than `keys`, `between` and `pooled`, it violates an admission rule.

    Args:
        keys: Metadata; None for `metadata()`.
        inputs: Names of the inputs.
        output: Name of the output.
        domain: Operator domain of one node.
        external: True to store the slope in another file.
        logits: Number of logits.
        extra: Fields at the end of the graph.
        between: Fields of the graph before the product with the slope.
        pooled: Name of the value that is multiplied by the slope.
    """
    cast = put(5, put(1, "to") + put(3, _FLOAT) + put(20, 2))
    axes = put(5, put(1, "axes") + put(8, 1) + put(8, 2) + put(20, 7))
    keep = put(5, put(1, "keepdims") + put(3, 0) + put(20, 2))
    graph = b"".join(
        [
            put(1, node("Cast", (inputs[0],), "grey", attributes=cast)),
            put(1, node("ReduceMean", ("grey",), "mean", attributes=axes + keep)),
            between,
            put(1, node("MatMul", (pooled, "slope"), "tilted", domain=domain)),
            put(1, node("Add", ("tilted", "bias"), output)),
            put(2, "tiny"),
            put(5, tensor("slope", (1, logits), (SLOPE + SLOPE[-1:] * logits)[:logits], external=external)),
            put(5, tensor("bias", (logits,), (BIAS + BIAS[-1:] * logits)[:logits])),
            *(put(11, value_info(name, _UINT8, ("batch", SIDE, SIDE, 1))) for name in inputs),
            put(12, value_info(output, _FLOAT, ("batch", logits))),
            extra,
        ]
    )
    opsets = put(8, put(1, "") + put(2, 13)) + (put(8, put(1, domain) + put(2, 1)) if domain else b"")
    props = b"".join(put(14, put(1, k) + put(2, v)) for k, v in (metadata() if keys is None else keys).items())
    return put(1, 8) + opsets + put(7, graph) + props


def write_labelled_model(path: Path, labels: Sequence[str]) -> Path:
    """Write a model with some labels and return its path."""
    return write_model(path, keys=metadata(labels), logits=len(labels))


def write_model(path: Path, **options: Any) -> Path:
    """Write `model_bytes(**options)` to a file and return its path."""
    path.write_bytes(model_bytes(**options))
    return path
