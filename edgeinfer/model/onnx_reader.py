"""What an ONNX file holds, read from its protobuf wire format without the `onnx` package.

Only what decides whether a stranger's model may be loaded: metadata, inputs, outputs, operators with their
integers, and the sizes of tensors. Field numbers are those of onnx/onnx.proto3; the encoding is described at
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from edgeinfer.errors import ModelError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_FIELDS = 1_000_000
_MAX_RANK = 8
# TensorProto fields that hold elements, with the bytes of one; 0 for variable-length integers.
_TYPED = {4: 4, 5: 0, 7: 0, 10: 8, 11: 0}
# AttributeProto fields of a flat graph: name, f, i, s, t, floats, ints, doc_string, type.
_PLAIN_ATTRIBUTE = frozenset({1, 2, 3, 4, 5, 7, 8, 13, 20})

Fields = list[tuple[int, memoryview | int]]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A stored tensor.

    Attributes:
        name: "" inside an attribute.
        kind: element type, a number of TensorProto.DataType.
        dims: its shape.
        held: elements stored in typed fields.
        raw_bytes: bytes stored in raw form.
        external: whether it lies in another file.
    """

    name: str
    kind: int
    dims: tuple[int, ...]
    held: int
    raw_bytes: int
    external: bool


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph.

    Attributes:
        kind: operator type.
        integers: name and values of each attribute that holds integers.
    """

    kind: str
    integers: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class OnnxSummary:
    """The part of a model file that is judged before it is run.

    Attributes:
        metadata: `metadata_props`.
        inputs: names of the graph's inputs, initializers left out.
        outputs: names of the graph's outputs.
        domains: every operator domain that a node or an opset import names; "" is ONNX itself.
        nodes: of the graph.
        tensors: of the graph and of attributes.
        dims: every fixed dimension that the graph declares for a value.
        extras: what it holds beyond a flat graph of plain tensors, such as "functions".
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
    """Read the summary of a serialized `ModelProto`.

    Raises:
        ModelError: the bytes are no ONNX model.
    """
    try:
        return _Reader().model(memoryview(data))
    except (IndexError, ValueError) as error:
        raise ModelError(f"not an ONNX model: {error}") from error


def graph_digest(data: bytes) -> str:
    """SHA-256 of a serialized `ModelProto` without its `metadata_props`, hexadecimal.

    The bytes of all other top-level fields are taken in file order, so a changed card leaves the digest as it is.

    Raises:
        ModelError: the bytes are no ONNX model.
    """
    digest = hashlib.sha256()
    try:
        for number, _, start, end in _spans(memoryview(data)):
            if number != 14:
                digest.update(data[start:end])
    except (IndexError, ValueError) as error:
        raise ModelError(f"not an ONNX model: {error}") from error
    return digest.hexdigest()


class _Reader:
    """Reads messages until they are damaged or hold more fields than any real model."""

    def __init__(self) -> None:
        self._left = _MAX_FIELDS
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
            raise ValueError("it holds no graph")
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
                described = self._fields(_message(value))
                self._type(described)
                if number != 13:
                    (inputs if number == 11 else outputs).append(_text(described, 1))
            elif number == 15:
                self._extras.add("sparse tensors")
        return inputs, outputs, nodes

    def _node(self, data: memoryview) -> Node:
        fields = self._fields(data)
        integers = tuple(self._attribute(_message(value)) for number, value in fields if number == 5)
        # Input, output, name, op_type, domain: onnxruntime trips over names that are no text.
        texts = {n: bytes(_message(value)).decode("utf-8") for n, value in fields if n in (1, 2, 3, 4, 7)}
        self._domains.add(texts.get(7, ""))
        return Node(texts.get(4, ""), tuple(pair for pair in integers if pair[1]))

    def _attribute(self, data: memoryview) -> tuple[str, tuple[int, ...]]:
        fields = self._fields(data)
        if not {number for number, _ in fields} <= _PLAIN_ATTRIBUTE:
            self._extras.add("subgraphs, lists of texts or other unusual attributes")
        tensor = _only(fields, 5)
        if tensor is not None:
            self._tensors.append(self._tensor(tensor))
        return _text(fields, 1), tuple(_integers(fields, 3, 8))

    def _tensor(self, data: memoryview) -> Tensor:
        fields = self._fields(data)
        dims = tuple(_integers(fields, 1))
        if len(dims) > _MAX_RANK:
            raise ValueError(f"a tensor has {len(dims)} dimensions")
        kinds = [value for number, value in fields if number == 2]
        if not (kinds and isinstance(kinds[-1], int)):
            raise ValueError("a tensor has no type")
        external = any(number == 13 or (number == 14 and value != 0) for number, value in fields)
        raw = _only(fields, 9)
        return Tensor(_text(fields, 8), kinds[-1], dims, _held(fields), 0 if raw is None else len(raw), external)

    def _type(self, described: Fields) -> None:
        """Note the fixed dimensions of a ValueInfoProto: type.tensor_type.shape.dim.dim_value."""
        data = _only(described, 2)
        kinds = [] if data is None else self._fields(data)
        if any(number not in (1, 6) for number, _ in kinds):  # tensor_type, denotation
            self._extras.add("values that are no tensors")
        tensor = _only(kinds, 1)
        shape = None if tensor is None else _only(self._fields(tensor), 2)
        for number, value in [] if shape is None else self._fields(shape):
            if number == 1:
                self._dims += _integers(self._fields(_message(value)), 1)

    def _fields(self, data: memoryview) -> Fields:
        found: Fields = []
        for number, value, _, _ in _spans(data):
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"it has more than {_MAX_FIELDS} fields")
            found.append((number, value))
        return found


def _spans(data: memoryview) -> Iterator[tuple[int, memoryview | int, int, int]]:
    """Number, value, start and end of each field, its key included in the span."""
    position, size = 0, len(data)
    while position < size:
        start = position
        # Most keys and lengths fill one byte, not worth a call.
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
                raise ValueError("it ends in the middle")
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
    """The signed integers of repeated fields, one to a field or packed."""
    for number, value in fields:
        if number in numbers:
            position = 0
            packed = [value] if isinstance(value, int) else []
            while not isinstance(value, int) and position < len(value):
                item, position = _varint(value, position)
                packed.append(item)
            yield from ((item & 2**64 - 1) - (2**64 if item & 2**63 else 0) for item in packed)


def _held(fields: Fields) -> int:
    """How many elements the typed fields of a tensor hold."""
    held = 0
    for number, value in fields:
        if number in _TYPED:
            size = _TYPED[number]
            if isinstance(value, int):
                held += 1
            elif size:
                held += len(value) // size
            else:  # each integer ends with a byte below 128
                held += sum(byte < 0x80 for byte in value)
    return held


def _only(fields: Fields, number: int) -> memoryview | None:
    """The one message or run of bytes with a number; protobuf would merge two."""
    found = [_message(value) for field, value in fields if field == number]
    if len(found) > 1:
        raise ValueError("its encoding is damaged")
    return found[0] if found else None


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("its encoding is damaged")
    return value


def _text(fields: Fields, number: int) -> str:
    """The last text with a number, as in protobuf; all of them must be UTF-8."""
    texts = [bytes(_message(value)).decode("utf-8") for field, value in fields if field == number]
    return texts[-1] if texts else ""
