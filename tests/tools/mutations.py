"""Damages a model in seeded ways and reads a picture with each, in a child process of its own.

    python mutations.py MODEL PICTURE FOLDER SEED COUNT

prints a JSON line for each mutation: what was done, the child's exit code (negative: the signal that ended
it), what it said, and its peak memory in MB. Half of the mutations work on bytes; the other half takes the
file's messages apart, changes some and puts all together again with right lengths, so that the damage is not
noticed before the graph is looked at. Those on bytes leave stored weights alone, where most flips would land.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import struct
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

# Which fields of a message are messages, by their number in onnx.proto3.
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
CPU_SECONDS, MEMORY, CHILDREN = 5, 4 << 30, 2
STUCK_SECONDS = 120  # a child that waits for ever; on a busy machine it may have to wait for its turn

Field = list[Any]  # number, wire type, and an int, bytes or a list of fields


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def parse(data: bytes, kind: str = "model", base: int = 0, light: list[int] | None = None) -> list[Field]:
    """The fields of a message; `light` collects the places of all bytes that are no weights."""
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
        if light is not None:
            light.extend(range(base + start, base + (position if inner or (kind, number) in WEIGHTS else end)))
        if inner:
            value = parse(value, inner, base + position, light)
        fields.append([number, wire, value])
        position = end
    return fields


def serialize(fields: list[Field]) -> bytes:
    out = []
    for number, wire, value in fields:
        content: Any = serialize(value) if isinstance(value, list) else value
        body = varint(content) if wire == 0 else varint(len(content)) + content if wire == 2 else content
        out.append(varint(number << 3 | wire) + body)
    return b"".join(out)


def damage_bytes(data: bytes, light: list[int], chance: random.Random) -> tuple[str, bytes]:
    damaged = bytearray(data)
    first, second = sorted(chance.sample(light, 2))
    size = chance.choice((1, 4, 16, 100, 1000))
    what = chance.choice(("flip", "overwrite", "truncate", "duplicate", "delete", "swap", "blow up"))
    if what == "flip":
        for place in chance.sample(light, chance.choice((1, 1, 2, 16))):
            damaged[place] ^= 1 << chance.randrange(8)
    elif what == "overwrite":
        damaged[first : first + size] = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
    elif what == "truncate":
        del damaged[first:]
    elif what == "duplicate":
        damaged[second:second] = damaged[first : first + size]
    elif what == "delete":
        del damaged[first : first + size]
    elif what == "swap":
        size = min(size, second - first)
        damaged[first : first + size], damaged[second : second + size] = (
            damaged[second : second + size],
            damaged[first : first + size],
        )
    else:
        damaged[first : first + 1] = varint(chance.choice(NUMBERS))
    return what, bytes(damaged)


def places(fields: list[Field], kind: str = "model") -> list[tuple[str, list[Field], int]]:
    """Every field of a message and the messages in it: kind of message, its fields, index."""
    found = []
    for index, (number, _, value) in enumerate(fields):
        found.append((kind, fields, index))
        if isinstance(value, list):
            found += places(value, MESSAGES[kind][number])
    return found


def damage_messages(data: bytes, chance: random.Random) -> tuple[str, bytes]:
    tree = parse(data)
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        groups = defaultdict(list)
        for kind, fields, index in places(tree):
            groups[kind, fields[index][0]].append((fields, index))
        # Each sort of field is as likely as any other, however often it occurs.
        (kind, number), group = chance.choice(sorted(groups.items(), key=lambda item: item[0]))
        fields, index = chance.choice(group)
        other, place = chance.choice(group)
        what = chance.choice(("change", "change", "change", "delete", "copy", "exchange", "replace"))
        if what == "change":
            fields[index] = [number, fields[index][1], changed(kind, fields[index], chance)]
        elif what == "delete":
            del fields[index]
        elif what == "copy":
            fields[index:index] = [fields[index]] * chance.choice((1, 2, 50))
        elif what == "exchange":
            fields[index], other[place] = other[place], fields[index]
        else:
            fields[index] = other[place]
        done.append(f"{what} {kind}.{number}")
    return ", ".join(done), serialize(tree)


def changed(kind: str, field: Field, chance: random.Random) -> Any:
    number, wire, value = field
    if wire == 0:
        return chance.choice((*NUMBERS, value + 1, value - 1))
    if wire == 5:
        return struct.pack("<f", chance.choice(FLOATS))
    if isinstance(value, list):
        return chance.sample(value, len(value))
    if (kind, number) == ("node", 4):
        return chance.choice(OPERATORS).encode()
    if (kind, number) in WEIGHTS and len(value) <= 256 and chance.random() < 0.5:
        return b"".join(struct.pack("<Q", chance.choice(NUMBERS) & 2**64 - 1) for _ in range(len(value) // 8 + 1))[
            : len(value)
        ]
    return chance.choice(
        (b"", value[: len(value) // 2], value * 2, value[::-1], chance.randbytes(len(value)), b"image")
    )


def start(arguments: list[str], said: Path) -> int:
    """Run the command line in a child with bounded time and memory; give its process id."""
    from edgeinfer.cli.app import app
    from edgeinfer.system.terminal import execute

    child = os.fork()
    if child:
        return child
    output = os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(STUCK_SECONDS)
    os._exit(execute(lambda: app(arguments), "edgeinfer"))


def main(model: Path, picture: str, folder: Path, seed: int, count: int) -> None:
    data = model.read_bytes()
    light: list[int] = []
    assert serialize(parse(data, light=light)) == data
    warm_up()
    running: dict[int, tuple[str, Path]] = {}
    for index in range(count):
        chance = random.Random(f"{seed} {index}")
        what, damaged = damage_bytes(data, light, chance) if index % 2 else damage_messages(data, chance)
        path = folder / f"{index}.onnx"
        path.write_bytes(damaged)
        if len(running) == CHILDREN:
            report(running)
        command = ["run", picture, "--detector", "none", "--quiet", "--model", str(path)]
        running[start(command, path.with_suffix(".txt"))] = (f"{index}: {what}", path)
    while running:
        report(running)


def warm_up() -> None:
    """Import what a run imports, once for all children: a run without a source ends before a session exists."""
    from edgeinfer.cli.app import app
    from edgeinfer.system.terminal import execute

    sink = os.open(os.devnull, os.O_WRONLY)
    kept = os.dup(2)
    os.dup2(sink, 2)
    execute(lambda: app(["run", "no-such-source", "--detector", "none"]), "edgeinfer")
    os.dup2(kept, 2)


def report(running: dict[int, tuple[str, Path]]) -> None:
    child, status, used = os.wait4(-1, 0)
    what, path = running.pop(child)
    text = path.with_suffix(".txt")
    said = text.read_text(errors="replace").replace(str(path), "MODEL")
    code = os.waitstatus_to_exitcode(status)
    print(json.dumps({"what": what, "code": code, "said": said, "peak_mb": used.ru_maxrss // 1024}), flush=True)
    path.unlink()
    text.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
