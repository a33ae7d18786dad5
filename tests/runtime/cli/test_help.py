from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import typer

from edgeinfer.cli.app import app
from edgeinfer.options.fields import OptionGroup, option_fields
from edgeinfer.options.groups import BATCH_GROUPS, RUN_GROUPS
from tools.cli import edgeinfer

HEAVY = ("cv2", "numpy", "onnxruntime", "tensorflow", "keras", "tf2onnx", "onnx", "pandas", "matplotlib", "rich")


@pytest.mark.parametrize(("command", "groups"), [("run", RUN_GROUPS), ("batch", BATCH_GROUPS)])
def test_help_lists_options_in_titled_groups(command: str, groups: tuple[type[OptionGroup], ...]) -> None:
    text = edgeinfer(command, "--help").stdout
    titles = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    assert titles == list(dict.fromkeys(["Arguments", *(group.title for group in groups), "Options"]))
    for field in (field for group in groups for field in option_fields(group)):
        assert f"  {field.flag} " in text


@pytest.mark.parametrize("command", ["run", "batch", "bench", "report", "models", "devices", "doctor"])
def test_help_contains_no_type_of_the_parser(command: str) -> None:
    text = edgeinfer(command, "--help").stdout
    assert not re.search(r"<(int|float|path|str)", text)
    assert not re.search(r"[\[{][a-z]", text.splitlines()[0]), "arguments are in capitals"


def test_wrong_number_is_named_plainly() -> None:
    done = edgeinfer("run", "--max-frames", "abc")
    assert done.returncode == 2
    assert "Invalid value for '--max-frames': 'abc' is not a valid integer." in done.stderr


def test_help_of_run_begins_with_the_outputs() -> None:
    text = edgeinfer("run", "--help").stdout
    output, detection = text.index("\nOutput:"), text.index("\nDetection:")
    assert output < text.index("--save-video") < detection < text.index("--detect-every")


def test_bench_help_lists_the_groups_it_shares_with_run() -> None:
    text = edgeinfer("bench", "--help").stdout
    for words in ("Detection:", "--cascade", "Model:", "--prior", "Capture:", "--rotate", "--json FILE"):
        assert words in text


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["batch", "--help"], ["--version"]])
def test_help_imports_no_heavy_package(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom edgeinfer.cli.app import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_importing_the_library_installs_no_signal_handlers() -> None:
    code = (
        "import signal\nbefore = [signal.getsignal(n) for n in signal.valid_signals()]\n"
        "import edgeinfer\n[getattr(edgeinfer, name) for name in edgeinfer.__all__]\n"
        "print(before == [signal.getsignal(n) for n in signal.valid_signals()])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_list_of_commands_has_their_own_summaries_and_loads_none_of_them() -> None:
    group: Any = typer.main.get_command(app)
    for name, (_, summary) in group.entries.items():
        assert group.commands[name].help.splitlines()[0] == summary
    code = (
        "import sys\nfrom edgeinfer.cli.app import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([module for module, _ in {dict(group.entries)!r}.values() if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
