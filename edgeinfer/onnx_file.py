"""What an ONNX file holds, read from its protobuf wire format without the `onnx` package.

Only what decides whether a stranger's model may be loaded: metadata, inputs, outputs, operator domains and
where its tensors lie. Field numbers are those of onnx/onnx.proto3; the encoding is described at
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeinfer.errors import ModelError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class OnnxSummary:
    """The part of a model file that is judged before it is run.

    Attributes:
        metadata: `metadata_props`.
        inputs: names of the graph's inputs, initializers left out.
        outputs: names of the graph's outputs.
        domains: every operator domain that a node or an opset import names; "" is ONNX itself.
        external_data: whether any tensor lies in another file.
    """

    metadata: dict[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    domains: frozenset[str]
    external_data: bool


def summarize(data: bytes) -> OnnxSummary:
    """Read the summary of a serialized `ModelProto`.

    Raises:
        ModelError: the bytes are no ONNX model.
    """
    try:
        return _summarize(memoryview(data))
    except (IndexError, ValueError) as error:
        raise ModelError(f"not an ONNX model: {error}") from error


def _summarize(data: memoryview) -> OnnxSummary:
    metadata: dict[str, str] = {}
    domains: set[str] = set()
    graphs = []
    for number, value in _fields(data):
        if number == 7:  # graph
            graphs.append(_message(value))
        elif number == 8:  # opset_import: domain = 1
            domains.add(_text(_message(value), 1))
        elif number == 14:  # metadata_props: key = 1, value = 2
            metadata[_text(_message(value), 1)] = _text(_message(value), 2)
    if len(graphs) != 1:
        raise ValueError("it holds no graph")
    inputs: list[str] = []
    outputs: list[str] = []
    initializers: set[str] = set()
    for number, value in _fields(graphs[0]):
        if number == 5:  # initializer: name = 8
            initializers.add(_text(_message(value), 8))
        elif number in (11, 12):  # input, output: name = 1
            (inputs if number == 11 else outputs).append(_text(_message(value), 1))
    external = _walk(graphs[0], domains, 0)
    named = tuple(name for name in inputs if name not in initializers)
    return OnnxSummary(metadata, named, tuple(outputs), frozenset(domains), external)


def _walk(graph: memoryview, domains: set[str], depth: int) -> bool:
    """Collect the domains of all nodes, subgraphs included; whether any tensor is external."""
    if depth > _MAX_DEPTH:
        raise ValueError("its subgraphs are nested too deeply")
    external = False
    for number, value in _fields(graph):
        if number == 5:  # initializer
            external |= _is_external(_message(value))
        elif number == 15:  # sparse_initializer: values = 1, indices = 2
            external |= any(_is_external(_message(v)) for n, v in _fields(_message(value)) if n in (1, 2))
        elif number == 1:  # node: attribute = 5, domain = 7
            node = _message(value)
            domains.add(_text(node, 7))
            for field, attribute in _fields(node):
                if field == 5:
                    external |= _walk_attribute(_message(attribute), domains, depth)
    return external


def _walk_attribute(attribute: memoryview, domains: set[str], depth: int) -> bool:
    external = False
    for number, value in _fields(attribute):
        if number in (5, 10):  # t, tensors
            external |= _is_external(_message(value))
        elif number in (6, 11):  # g, graphs
            external |= _walk(_message(value), domains, depth + 1)
    return external


def _is_external(tensor: memoryview) -> bool:
    return any(n == 13 or (n == 14 and v == 1) for n, v in _fields(tensor))  # external_data, data_location


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, value
        elif kind in (_FIXED64, _FIXED32, _BYTES):
            if kind == _BYTES:
                length, position = _varint(data, position)
            else:
                length = 8 if kind == _FIXED64 else 4
            if position + length > len(data):
                raise ValueError("it ends in the middle")
            yield number, data[position : position + length]
            position += length
        else:
            raise ValueError("its encoding is damaged")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("its encoding is damaged")


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("its encoding is damaged")
    return value


def _text(message: memoryview, number: int) -> str:
    found = ""
    for field, value in _fields(message):
        if field == number:
            found = bytes(_message(value)).decode("utf-8")
    return found
