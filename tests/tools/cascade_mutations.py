"""Seeded mutations of bytes, numbers and elements in cascade files."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from tools.mutations import Mutation

NUMBERS = (
    b"0", b"-1", b"1", b"2", b"3", b"7", b"19", b"20", b"24", b"255", b"256", b"1000", b"100000", b"-100000",
    b"2147483647", b"-2147483648", b"4294967296", b"99999999999999999999", b"1e38", b"-1e38", b"1e-45", b"1e400",
    b"0.5", b"-0.5", b"nan", b"inf", b"-inf", b".Nan", b".Inf", b"0x10", b"1_0", b"", b"x", b"1 1", b"\xff",
)  # fmt: skip
_NUMBER = re.compile(rb"[-+]?[0-9][0-9.]*(?:[eE][-+]?[0-9]+)?")
_ELEMENT = re.compile(rb"<([A-Za-z_]+)>[^<]*</\1>")
_TAG = re.compile(rb"</?[A-Za-z_]+[^>]*>")


def cascade_mutations(data: bytes, *, seed: int, count: int) -> Iterator[Mutation]:
    """Yield mutations of a cascade.

    Args:
        data: Content of a valid cascade file.
        seed: Any integer.
        count: Number of mutations.
    """
    positions = {
        name: [found.span() for found in pattern.finditer(data)]
        for name, pattern in (("number", _NUMBER), ("element", _ELEMENT), ("tag", _TAG))
    }
    for index in range(count):
        rng = random.Random(f"{seed} {index}")
        changes = [_mutate(data, positions, rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        mutated, last = data, len(data)
        names = []
        for start, end, content, name in sorted(changes, reverse=True):
            if end <= last:
                mutated, last = mutated[:start] + content + mutated[end:], start
                names.append(name)
        yield Mutation(index, ", ".join(names), mutated)


def _mutate(
    data: bytes, positions: dict[str, list[tuple[int, int]]], rng: random.Random
) -> tuple[int, int, bytes, str]:
    """Return one change: start, end and new content of a span, and the name of the change."""
    operation = rng.choice(
        (
            "number",
            "number",
            "number",
            "exchange",
            "delete",
            "duplicate",
            "move",
            "tag",
            "truncate",
            "flip",
            "overwrite",
        )
    )
    if operation in ("number", "exchange"):
        start, end = rng.choice(positions["number"])
        other = rng.choice(positions["number"])
        content = rng.choice(NUMBERS) if operation == "number" else data[slice(*other)]
    elif operation in ("delete", "duplicate", "move"):
        start, end = rng.choice(positions["element"])
        other = rng.choice(positions["element"])
        repeated = data[start:end] * rng.choice((2, 2, 5, 1000))
        content = {"delete": b"", "duplicate": repeated, "move": data[slice(*other)]}[operation]
    elif operation == "tag":
        start, end = rng.choice(positions["tag"])
        content = rng.choice((b"", data[slice(*rng.choice(positions["tag"]))]))
    elif operation == "truncate":
        start, end, content = rng.randrange(len(data)), len(data), b""
    else:
        start = rng.randrange(len(data))
        end = start + (1 if operation == "flip" else rng.choice((4, 16, 100)))
        content = bytes([data[start] ^ 1 << rng.randrange(8)]) if operation == "flip" else rng.randbytes(end - start)
    return start, end, content, operation
