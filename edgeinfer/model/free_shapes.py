"""Removal of fixed picture sizes from a network, without the `onnx` package.

Field numbers are those of onnx/onnx.proto3, as in `onnx_reader`.
"""

from __future__ import annotations

from edgeinfer.errors import ModelError
from edgeinfer.model.onnx_reader import spans

_GRAPH, _INPUT, _OUTPUT, _VALUE_INFO = 7, 11, 12, 13
_FLOAT = 1  # TensorProto.DataType


def with_free_size(data: bytes, name: str, channels: int) -> bytes:
    """Return a model whose input accepts one picture of any size.

    The shape of the input becomes (1, channels, height, width), in which the last two are free. The shapes of outputs
    and intermediate values, which depend on them, are removed.

    Args:
        data: Serialized `ModelProto` that passed its admission rules.
        name: Name of the input, a float32 tensor.
        channels: Number of channels of the picture.

    Raises:
        ModelError: The bytes are not an ONNX model.
    """
    parts = []
    try:
        for number, value, start, end in spans(memoryview(data)):
            parts.append(_encode(number, _free_graph(value, name, channels)) if number == _GRAPH else data[start:end])
    except (IndexError, ValueError) as error:
        raise ModelError(f"not an ONNX model: {error}") from error
    return b"".join(parts)


def _free_graph(graph: memoryview | int, name: str, channels: int) -> bytes:
    if isinstance(graph, int):
        raise ValueError("its encoding is damaged")
    parts = []
    for number, value, start, end in spans(graph):
        if number == _VALUE_INFO:
            continue
        declared = _name(value) if number in (_INPUT, _OUTPUT) else ""
        if number == _INPUT and declared == name:
            parts.append(_encode(number, _value(name, _shape(channels))))
        elif number == _OUTPUT:
            parts.append(_encode(number, _value(declared, b"")))
        else:
            parts.append(bytes(graph[start:end]))
    return b"".join(parts)


def _name(value_info: memoryview | int) -> str:
    """Return the name of a ValueInfoProto."""
    if isinstance(value_info, int):
        raise ValueError("its encoding is damaged")
    names = [
        bytes(v).decode("utf-8") for number, v, _, _ in spans(value_info) if number == 1 and not isinstance(v, int)
    ]
    return names[-1] if names else ""


def _value(name: str, shape: bytes) -> bytes:
    """Return a ValueInfoProto: name = 1, type = 2; a float tensor with a shape, if it is not empty."""
    tensor = _encode_integer(1, _FLOAT) + (_encode(2, shape) if shape else b"")
    return _encode(1, name.encode()) + _encode(2, _encode(1, tensor))


def _shape(channels: int) -> bytes:
    """Return a TensorShapeProto of repeated dim = 1, each with dim_value = 1 or dim_param = 2."""
    fixed = (_encode(1, _encode_integer(1, size)) for size in (1, channels))
    free = (_encode(1, _encode(2, side)) for side in (b"height", b"width"))
    return b"".join((*fixed, *free))


def _encode(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _encode_integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))
