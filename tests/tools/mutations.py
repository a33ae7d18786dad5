"""Seeded mutations of ONNX files.

Half of the mutations change bytes. The other half parse the protobuf messages, change some fields and serialize all
messages with correct lengths, so that the damage is only detected in the graph itself. Byte mutations skip the stored
weights, where most changes would have no effect.
"""

from __future__ import annotations

import random
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Fields that are messages, by kind of message and by field number in onnx.proto3.
MESSAGES = {
    "model": {7: "graph", 8: "opset", 14: "entry"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor"},
    "value": {2: "type"},
    "type": {1: "tensor_type"},
    "tensor_type": {2: "shape"},
    "shape": {1: "dimension"},
}
WEIGHTS = {("tensor", 9), ("tensor", 4), ("tensor", 5), ("tensor", 7)}
NUMBERS = (
    0, 1, 2, 3, 7, 8, 16, 255, 256, 1000, 65535, 65536, 10**6, 2**24, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1,
    2**63, -1, -2, -8, -65536, -(2**31), -(2**62),
)  # fmt: skip
FLOATS = (0.0, -0.0, float("nan"), float("inf"), -1e38, 1e38, 1e-45, -1.0)
OPERATORS = (
    "Add", "MatMul", "Gemm", "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "Reshape",
    "Expand", "Tile", "Pad", "Resize", "Concat", "Split", "Gather", "Slice", "Transpose", "Squeeze", "Shape",
    "ConstantOfShape", "Range", "OneHot", "If", "Loop", "Scan", "NonZero", "RandomNormal", "SequenceConstruct",
    "DequantizeLinear", "Identity",
)  # fmt: skip
Field = list[Any]  # number, wire type, and an int, bytes or a list of fields


@dataclass(frozen=True, slots=True)
class Mutation:
    """A mutated model.

    Attributes:
        index: Number of the mutation, from 0.
        description: Names of the changes.
        data: Content of the mutated file.
    """

    index: int
    description: str
    data: bytes


def mutations(data: bytes, *, seed: int, count: int) -> Iterator[Mutation]:
    """Yield mutations of a model, alternately changing its messages and its bytes.

    Args:
        data: Content of a valid ONNX file.
        seed: Any integer.
        count: Number of mutations.
    """
    positions: list[int] = []
    assert serialize(parse(data, positions=positions)) == data
    for index in range(count):
        rng = random.Random(f"{seed} {index}")
        description, mutated = mutate_bytes(data, positions, rng) if index % 2 else mutate_messages(data, rng)
        yield Mutation(index, description, mutated)


def varint(value: int) -> bytes:
    """Return a protobuf variable-length integer of 64 bits."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the integer at a position and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def parse(data: bytes, kind: str = "model", base: int = 0, positions: list[int] | None = None) -> list[Field]:
    """Return the fields of a message and append the positions of all bytes other than weights to `positions`."""
    fields: list[Field] = []
    position = 0
    while position < len(data):
        start = position
        key, position = read_varint(data, position)
        number, wire = key >> 3, key & 7
        value: Any
        if wire == 0:
            value, position = read_varint(data, position)
            end = position
        else:
            length, position = read_varint(data, position) if wire == 2 else ({1: 8, 5: 4}[wire], position)
            end = position + length
            value = data[position:end]
        inner = MESSAGES.get(kind, {}).get(number)
        if positions is not None:
            positions.extend(range(base + start, base + (position if inner or (kind, number) in WEIGHTS else end)))
        if inner:
            value = parse(value, inner, base + position, positions)
        fields.append([number, wire, value])
        position = end
    return fields


def serialize(fields: list[Field]) -> bytes:
    """Return the encoding of a message; lengths are computed from the content."""
    out = []
    for number, wire, value in fields:
        content: Any = serialize(value) if isinstance(value, list) else value
        body = varint(content) if wire == 0 else varint(len(content)) + content if wire == 2 else content
        out.append(varint(number << 3 | wire) + body)
    return b"".join(out)


def mutate_bytes(data: bytes, positions: list[int], rng: random.Random) -> tuple[str, bytes]:
    """Return the name of a byte mutation and the mutated content."""
    mutated = bytearray(data)
    first, second = sorted(rng.sample(positions, 2))
    size = rng.choice((1, 4, 16, 100, 1000))
    operation = rng.choice(("flip", "overwrite", "truncate", "duplicate", "delete", "swap", "large number"))
    if operation == "flip":
        for position in rng.sample(positions, rng.choice((1, 1, 2, 16))):
            mutated[position] ^= 1 << rng.randrange(8)
    elif operation == "overwrite":
        mutated[first : first + size] = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    elif operation == "truncate":
        del mutated[first:]
    elif operation == "duplicate":
        mutated[second:second] = mutated[first : first + size]
    elif operation == "delete":
        del mutated[first : first + size]
    elif operation == "swap":
        size = min(size, second - first)
        mutated[first : first + size], mutated[second : second + size] = (
            mutated[second : second + size],
            mutated[first : first + size],
        )
    else:
        mutated[first : first + 1] = varint(rng.choice(NUMBERS))
    return operation, bytes(mutated)


def list_fields(fields: list[Field], kind: str = "model") -> list[tuple[str, list[Field], int]]:
    """Return all fields of a message and of the messages in it as (kind of message, its fields, index)."""
    listed = []
    for index, (number, _, value) in enumerate(fields):
        listed.append((kind, fields, index))
        if isinstance(value, list):
            listed += list_fields(value, MESSAGES[kind][number])
    return listed


def mutate_messages(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Return the names of message mutations and the mutated content."""
    tree = parse(data)
    operations = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        groups = defaultdict(list)
        for kind, fields, index in list_fields(tree):
            groups[kind, fields[index][0]].append((fields, index))
        # Each kind of field is equally likely, regardless of the number of its fields.
        (kind, number), group = rng.choice(sorted(groups.items(), key=lambda item: item[0]))
        fields, index = rng.choice(group)
        other, other_index = rng.choice(group)
        operation = rng.choice(("change", "change", "change", "delete", "copy", "exchange", "replace"))
        if operation == "change":
            fields[index] = [number, fields[index][1], changed_value(kind, fields[index], rng)]
        elif operation == "delete":
            del fields[index]
        elif operation == "copy":
            fields[index:index] = [fields[index]] * rng.choice((1, 2, 50))
        elif operation == "exchange":
            fields[index], other[other_index] = other[other_index], fields[index]
        else:
            fields[index] = other[other_index]
        operations.append(f"{operation} {kind}.{number}")
    return ", ".join(operations), serialize(tree)


def changed_value(kind: str, field: Field, rng: random.Random) -> Any:
    """Return a random value for a field."""
    number, wire, value = field
    if wire == 0:
        return rng.choice((*NUMBERS, value + 1, value - 1))
    if wire == 5:
        return struct.pack("<f", rng.choice(FLOATS))
    if isinstance(value, list):
        return rng.sample(value, len(value))
    if (kind, number) == ("node", 4):
        return rng.choice(OPERATORS).encode()
    if (kind, number) in WEIGHTS and len(value) <= 256 and rng.random() < 0.5:
        return b"".join(struct.pack("<Q", rng.choice(NUMBERS) & 2**64 - 1) for _ in range(len(value) // 8 + 1))[
            : len(value)
        ]
    return rng.choice((b"", value[: len(value) // 2], value * 2, value[::-1], rng.randbytes(len(value)), b"image"))
