"""Reader for the protobuf wire format of ONNX files, without the `onnx` package.

It reads only what the admission rules need: metadata, inputs, outputs, operators with their integer attributes, and
tensor sizes. Field numbers are those of onnx/onnx.proto3; the encoding is described at
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edgeinfer.errors import ModelError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_FIELDS = 1_000_000
_MAX_RANK = 8
MAX_VALUES = 64
"""Maximum number of elements of a tensor whose values are read; shapes, axes and scales are short."""
# TensorProto fields with elements, and the bytes per element; 0 for variable-length integers.
_TYPED = {4: 4, 5: 0, 7: 0, 10: 8, 11: 0}
# AttributeProto fields of a flat graph: name, f, i, s, t, floats, ints, doc_string, type.
_PLAIN_ATTRIBUTE = frozenset({1, 2, 3, 4, 5, 7, 8, 13, 20})

Fields = list[tuple[int, memoryview | int]]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A stored tensor.

    Attributes:
        name: Name in the graph; "" inside an attribute.
        data_type: Element type, a value of TensorProto.DataType.
        dims: Shape.
        typed_elements: Number of elements in typed fields.
        raw_bytes: Number of bytes in the raw field.
        external: True if the content is in another file.
        values: Elements, if there are at most `MAX_VALUES` int64, int32 or float32 ones.
    """

    name: str
    data_type: int
    dims: tuple[int, ...]
    typed_elements: int
    raw_bytes: int
    external: bool
    values: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a graph.

    Attributes:
        op_type: Operator type.
        integers: Name and values of each integer attribute.
        inputs: Names of the inputs; "" for an optional input that is absent.
        outputs: Names of the outputs.
        auto_pad: Value of the string attribute `auto_pad`, or "".
        tensor: Tensor attribute, or None.
    """

    op_type: str
    integers: tuple[tuple[str, tuple[int, ...]], ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    auto_pad: str = ""
    tensor: Tensor | None = None


@dataclass(frozen=True, slots=True)
class OnnxSummary:
    """The parts of a model file that the admission rules check.

    Attributes:
        metadata: Content of `metadata_props`.
        inputs: Names of the graph inputs without initializers.
        outputs: Names of the graph outputs.
        domains: Operator domains of all nodes and opset imports; "" is ONNX itself.
        nodes: Nodes of the graph.
        tensors: Tensors of the graph and of attributes.
        dims: All fixed dimensions that the graph declares for values.
        extras: Constructs beyond a flat graph of plain tensors, such as "functions".
    """

    metadata: dict[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    domains: frozenset[str]
    nodes: tuple[Node, ...]
    tensors: tuple[Tensor, ...]
    dims: tuple[int, ...]
    extras: frozenset[str]


def summarize(data: bytes) -> OnnxSummary:
    """Return the summary of a serialized `ModelProto`.

    Raises:
        ModelError: The bytes are not an ONNX model.
    """
    try:
        return _Reader().model(memoryview(data))
    except (IndexError, ValueError) as error:
        raise ModelError(f"not an ONNX model: {error}") from error


def graph_digest(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of a serialized `ModelProto` without its `metadata_props`.

    The digest covers the bytes of all other top-level fields in file order, so changed metadata does not affect it.

    Raises:
        ModelError: The bytes are not an ONNX model.
    """
    digest = hashlib.sha256()
    try:
        for number, _, start, end in spans(memoryview(data)):
            if number != 14:
                digest.update(data[start:end])
    except (IndexError, ValueError) as error:
        raise ModelError(f"not an ONNX model: {error}") from error
    return digest.hexdigest()


class _Reader:
    """Reader of one model; it stops at the first error, or after more fields than any real model has."""

    def __init__(self) -> None:
        self._remaining_fields = _MAX_FIELDS
        self._tensors: list[Tensor] = []
        self._dims: list[int] = []
        self._domains: set[str] = set()
        self._extras: set[str] = set()

    def model(self, data: memoryview) -> OnnxSummary:
        metadata: dict[str, str] = {}
        graphs = []
        for number, value in self._fields(data):
            if number == 7:
                graphs.append(_message(value))
            elif number == 8:  # opset_import: domain = 1
                self._domains.add(_text(self._fields(_message(value)), 1))
            elif number == 14:  # metadata_props: key = 1, value = 2
                entry = self._fields(_message(value))
                metadata[_text(entry, 1)] = _text(entry, 2)
            elif number in (20, 25):
                self._extras.add("functions" if number == 25 else "training steps")
        if len(graphs) != 1:
            raise ValueError("it does not contain exactly one graph")
        inputs, outputs, nodes = self._graph(graphs[0])
        stored = {tensor.name for tensor in self._tensors}
        return OnnxSummary(
            metadata, tuple(name for name in inputs if name not in stored), tuple(outputs), frozenset(self._domains),
            tuple(nodes), tuple(self._tensors), tuple(self._dims), frozenset(self._extras),
        )  # fmt: skip

    def _graph(self, data: memoryview) -> tuple[list[str], list[str], list[Node]]:
        inputs: list[str] = []
        outputs: list[str] = []
        nodes: list[Node] = []
        for number, value in self._fields(data):
            if number == 1:
                nodes.append(self._node(_message(value)))
            elif number == 5:  # initializer
                self._tensors.append(self._tensor(_message(value)))
            elif number in (11, 12, 13):  # input, output, value_info: name = 1, type = 2
                value_info = self._fields(_message(value))
                self._add_dims(value_info)
                if number != 13:
                    (inputs if number == 11 else outputs).append(_text(value_info, 1))
            elif number == 15:
                self._extras.add("sparse tensors")
        return inputs, outputs, nodes

    def _node(self, data: memoryview) -> Node:
        fields = self._fields(data)
        attributes = [self._attribute(_message(value)) for number, value in fields if number == 5]
        # Input, output, name, op_type, domain: onnxruntime fails on names that are not valid UTF-8.
        texts = [(n, bytes(_message(value)).decode("utf-8")) for n, value in fields if n in (1, 2, 3, 4, 7)]
        last = dict(texts)
        self._domains.add(last.get(7, ""))
        return Node(
            last.get(4, ""),
            tuple((name, integers) for name, integers, _, _ in attributes if integers),
            tuple(text for number, text in texts if number == 1),
            tuple(text for number, text in texts if number == 2),
            next((text for name, _, text, _ in attributes if name == "auto_pad"), ""),
            next((tensor for *_, tensor in attributes if tensor is not None), None),
        )

    def _attribute(self, data: memoryview) -> tuple[str, tuple[int, ...], str, Tensor | None]:
        """Return the name, the integers, the string and the tensor of an attribute."""
        fields = self._fields(data)
        if not {number for number, _ in fields} <= _PLAIN_ATTRIBUTE:
            self._extras.add("subgraphs, string lists or other unsupported attributes")
        content = _only(fields, 5)
        tensor = None if content is None else self._tensor(content)
        if tensor is not None:
            self._tensors.append(tensor)
        name = _text(fields, 1)
        if name == "keep_aspect_ratio_policy" and _text(fields, 4) != "stretch":
            self._extras.add("sizes that depend on an aspect ratio")
        return name, tuple(_integers(fields, 3, 8)), _text(fields, 4) if name == "auto_pad" else "", tensor

    def _tensor(self, data: memoryview) -> Tensor:
        fields = self._fields(data)
        dims = tuple(_integers(fields, 1))
        if len(dims) > _MAX_RANK:
            raise ValueError(f"a tensor has {len(dims)} dimensions")
        data_types = [value for number, value in fields if number == 2]
        if not (data_types and isinstance(data_types[-1], int)):
            raise ValueError("a tensor has no data type")
        external = any(number == 13 or (number == 14 and value != 0) for number, value in fields)
        raw = _only(fields, 9)
        raw_bytes = 0 if raw is None else len(raw)
        typed_elements = _count_typed_elements(fields)
        values = None
        if max(raw_bytes // 8, typed_elements) <= MAX_VALUES:
            values = _values(fields, data_types[-1], raw)
        return Tensor(_text(fields, 8), data_types[-1], dims, typed_elements, raw_bytes, external, values)

    def _add_dims(self, value_info: Fields) -> None:
        """Collect the fixed dimensions of a ValueInfoProto: type.tensor_type.shape.dim.dim_value."""
        data = _only(value_info, 2)
        types = [] if data is None else self._fields(data)
        if any(number not in (1, 6) for number, _ in types):  # tensor_type, denotation
            self._extras.add("values other than tensors")
        tensor = _only(types, 1)
        shape = None if tensor is None else _only(self._fields(tensor), 2)
        for number, value in [] if shape is None else self._fields(shape):
            if number == 1:
                self._dims += _integers(self._fields(_message(value)), 1)

    def _fields(self, data: memoryview) -> Fields:
        fields: Fields = []
        for number, value, _, _ in spans(data):
            self._remaining_fields -= 1
            if self._remaining_fields < 0:
                raise ValueError(f"it has more than {_MAX_FIELDS} fields")
            fields.append((number, value))
        return fields


def spans(data: memoryview) -> Iterator[tuple[int, memoryview | int, int, int]]:
    """Yield the number, value, start and end of each field. The span includes the key."""
    position, size = 0, len(data)
    while position < size:
        start = position
        # Fast path: most keys and lengths are a single byte.
        key, position = (data[position], position + 1) if data[position] < 0x80 else _varint(data, position)
        number, kind = key >> 3, key & 7
        if not 0 < number < 2**29:
            raise ValueError("its encoding is damaged")
        value: memoryview | int
        if kind == _VARINT:
            value, position = _varint(data, position)
        elif kind in (_FIXED64, _FIXED32, _BYTES):
            if kind == _BYTES:
                length, position = (data[position], position + 1) if data[position] < 0x80 else _varint(data, position)
            else:
                length = 8 if kind == _FIXED64 else 4
            if position + length > size:
                raise ValueError("it is truncated")
            value = data[position : position + length]
            position += length
        else:
            raise ValueError("its encoding is damaged")
        yield number, value, start, position


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ValueError("its encoding is damaged")


def _integers(fields: Fields, *numbers: int) -> Iterator[int]:
    """Yield the signed integers of repeated fields, packed or not."""
    for number, value in fields:
        if number in numbers:
            position = 0
            packed = [value] if isinstance(value, int) else []
            while not isinstance(value, int) and position < len(value):
                item, position = _varint(value, position)
                packed.append(item)
            yield from ((item & 2**64 - 1) - (2**64 if item & 2**63 else 0) for item in packed)


def _count_typed_elements(fields: Fields) -> int:
    """Return the number of elements in the typed fields of a tensor."""
    count = 0
    for number, value in fields:
        if number in _TYPED:
            size = _TYPED[number]
            if isinstance(value, int):
                count += 1
            elif size:
                count += len(value) // size
            else:  # the last byte of each integer is below 128
                count += sum(byte < 0x80 for byte in value)
    return count


def _values(fields: Fields, data_type: int, raw: memoryview | None) -> tuple[float, ...] | None:
    """Return the elements of a small int64, int32 or float32 tensor, or None for other types."""
    code, number = {7: ("q", 7), 6: ("i", 5), 1: ("f", 4)}.get(data_type, ("", 0))
    if not code:
        return None
    if raw is not None:
        size = struct.calcsize(code)
        return struct.unpack(f"<{len(raw) // size}{code}", raw[: len(raw) // size * size])
    if code != "f":
        return tuple(_integers(fields, number))
    packed = b"".join(bytes(value) for field, value in fields if field == number and not isinstance(value, int))
    return struct.unpack(f"<{len(packed) // 4}f", packed[: len(packed) // 4 * 4])


def _only(fields: Fields, number: int) -> memoryview | None:
    """Return the only message or byte string of a field; a second one, which protobuf would merge, is an error."""
    messages = [_message(value) for field, value in fields if field == number]
    if len(messages) > 1:
        raise ValueError("its encoding is damaged")
    return messages[0] if messages else None


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("its encoding is damaged")
    return value


def _text(fields: Fields, number: int) -> str:
    """Return the last string of a field, as protobuf does; all of its strings must be valid UTF-8."""
    texts = [bytes(_message(value)).decode("utf-8") for field, value in fields if field == number]
    return texts[-1] if texts else ""
