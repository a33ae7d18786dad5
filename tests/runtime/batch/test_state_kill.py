"""Tests of the state of a batch after its process was killed at any moment."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.batch.jobs import BatchSource
from edgeinfer.readers.batch_list import STATE_FOLDER
from tools.batch_sources import Batch, result_text, source


class Killed(BaseException):
    """End of the process at a certain operation."""


@pytest.fixture
def sources(tmp_path: Path) -> list[BatchSource]:
    return [source(tmp_path, path) for path in ("a.mp4", "b/c.mp4", os.fsdecode(b"d\xe9.mp4"))]


def check_results(batch: Batch, sources: list[BatchSource], pending: list[str]) -> None:
    """Check that the results of all sources that are not pending are those of the batch."""
    for item in sources:
        if item.path not in pending:
            for suffix in batch.formats:
                assert (batch.out / f"{item.result}.{suffix}").read_text() == result_text(item, batch)


def test_manifest_cut_at_any_byte(tmp_path: Path, sources: list[BatchSource]) -> None:
    batch = Batch(tmp_path)
    batch.process(sources)
    manifest = batch.out / STATE_FOLDER / "manifest.jsonl"
    data = manifest.read_bytes()
    ends = [number + 1 for number, byte in enumerate(data) if byte == ord("\n")]
    generator = random.Random(1)
    for length in range(ends[0], len(data) + 1):
        manifest.write_bytes(data[:length])
        missing = [item.path for item, end in zip(sources, ends, strict=True) if end > length]
        if length in ends or generator.random() < 0.05:
            assert batch.process(sources) == missing
            missing = []
        assert batch.pending(sources) == missing


@pytest.mark.parametrize("seed", range(3))
def test_kill_at_any_operation_of_a_call_with_other_settings(
    tmp_path: Path, sources: list[BatchSource], seed: int
) -> None:
    first = Batch(tmp_path, formats=("csv", "jsonl"))
    second = replace(first, settings="b")
    first.process(sources)
    saved = tmp_path / "saved"
    first.out.rename(saved)
    for operation in count():
        shutil.copytree(saved, first.out)
        finished = not is_killed(lambda: second.process(sources), operation, random.Random(f"{seed} {operation}"))
        for batch in (first, second):
            check_results(batch, sources, batch.pending(sources))
        again = second.process(sources)
        check_results(second, sources, [])
        assert [row["status"] for row in second.rows()] == ["done"] * 3
        shutil.rmtree(first.out)
        if finished:
            assert again == []
            break
    assert operation > 15


def test_kill_at_any_operation_of_a_fresh_call(tmp_path: Path, sources: list[BatchSource]) -> None:
    batch = Batch(tmp_path)
    batch.process(sources)
    saved = tmp_path / "saved"
    batch.out.rename(saved)
    for operation in count():
        shutil.copytree(saved, batch.out)
        fresh = replace(batch, fresh=True)
        finished = not is_killed(lambda: fresh.process(sources), operation, random.Random(operation))  # noqa: B023
        batch.process(sources)
        check_results(batch, sources, [])
        assert [row["status"] for row in batch.rows()] == ["done"] * 3
        shutil.rmtree(batch.out)
        if finished:
            break
    assert operation > 8


def is_killed(work: Callable[[], object], operation: int, generator: random.Random) -> bool:
    """Do a work that is killed at an operation on files, which may be done in part; return False if it ended before."""
    numbers = count()

    def killing(function: Callable[..., Any], partly: Callable[..., Any] | None = None) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if next(numbers) < operation:
                return function(*arguments, **options)
            if partly is not None:
                partly(*arguments, **options)
            elif generator.random() < 0.5:
                function(*arguments, **options)
            raise Killed

        return wrapped

    def write_partly(descriptor: int, data: bytes, position: int) -> None:
        write(descriptor, data[: generator.randrange(len(data) + 1)], position)

    write = os.pwrite
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", killing(os.pwrite, write_partly))
        for name in ("fsync", "ftruncate"):
            patch.setattr(os, name, killing(getattr(os, name)))
        for name in ("replace", "mkdir"):
            patch.setattr(Path, name, killing(getattr(Path, name)))
        try:
            work()
        except Killed:
            return True
    return False
