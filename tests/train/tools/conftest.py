from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[3] / "train" / "tools"


def load_tool(name: str) -> ModuleType:
    """Import a script of train/tools by its path."""
    spec = importlib.util.spec_from_file_location(f"train_tool_{name}", TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def width_tool() -> ModuleType:
    return load_tool("set_width")


@pytest.fixture(scope="session")
def pack_tool() -> ModuleType:
    return load_tool("pack")


@pytest.fixture(scope="session")
def dlib_tool() -> ModuleType:
    return load_tool("convert_dlib_resnet")


@pytest.fixture
def run_tool(restored_terminal: None) -> Callable[..., int]:
    """Return a function that runs a tool in this process and returns its exit code."""
    from edgeinfer.cli.terminal import execute

    def run(tool: ModuleType, *arguments: object) -> int:
        return execute(lambda: tool.main([str(argument) for argument in arguments]), "tool")

    return run
