"""Fixtures of the report's tests: reading of results without the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinfer.readers.batch_list import BatchEntry
from edgeinfer.readers.files import ResultFile
from edgeinfer.readers.select import read_result
from edgeinfer.report.builder import RecordingBuilder
from edgeinfer.report.recording import Recording


@pytest.fixture
def read() -> Callable[..., list[Recording]]:
    """Function that returns the recordings of a result file."""

    def read_recordings(path: Path, entry: BatchEntry | None = None) -> list[Recording]:
        found: list[Recording] = []
        builder = RecordingBuilder(ResultFile(path, path.name, None, entry, True, path.parent), found.append)
        read_result(path, builder)
        builder.close()
        return found

    return read_recordings
