"""Fixtures that run the examples in a subprocess, as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.patience import PATIENCE

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def examples() -> Path:
    """Return the folder of the examples."""
    return Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def run() -> Run:
    """Return a function that runs Python with arguments and additional environment variables."""

    def run_python(*arguments: str | Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, arguments)]
        environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120 * PATIENCE
        )

    return run_python
